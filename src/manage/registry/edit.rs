//! Changes of configuration files that keep all lines which the change is not about: comments, other
//! sections, other keys.

use super::ini::{Ini, lines, lines_with_ends};

/// The file without a section, in which comments behind the section's last key stay.
///
/// # Errors
/// A file that can't be changed without changing other sections.
pub(crate) fn without_section(text: &str, name: &str) -> Result<String, String> {
    let drop = section_lines(text, name);
    let kept: String = keep(text, |number| !drop.contains(&number));
    unchanged_beside(text, kept, name)
}

/// The lines of one section of a file.
pub(crate) fn only_section(text: &str, name: &str) -> String {
    let keep_these = section_lines(text, name);
    keep(text, |number| keep_these.contains(&number))
}

/// Returns true if a file has nothing but empty lines.
pub(crate) fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}

/// Returns true if a section of a file has a key.
pub(crate) fn has_key(text: &str, name: &str, key: &str) -> bool {
    let ini = Ini::parse(text);
    let mut sections = ini.layout().iter().filter(|section| section.name == name);
    sections.any(|section| section.keys.iter().any(|(other, ..)| other == key))
}

/// The file with another value of a key of a section, which may have the key or not. Without a value
/// the key is removed.
///
/// # Errors
/// A file without the section, or that can't be changed without changing other sections.
pub(crate) fn with_value(
    text: &str,
    name: &str,
    key: &str,
    value: Option<&str>,
) -> Result<String, String> {
    let ini = Ini::parse(text);
    let sections = || ini.layout().iter().filter(|section| section.name == name);
    let section = sections().next_back().ok_or_else(|| format!("has no section [{name}]"))?;
    let places: Vec<(usize, usize)> = sections()
        .flat_map(|section| &section.keys)
        .filter(|(other, ..)| other == key)
        .map(|(_, first, last)| (*first, *last))
        .collect();
    let plain = lines(text);
    let all = lines_with_ends(text);
    let model = section.keys.last().map_or(section.header, |(_, first, _)| *first);
    let end = section.keys.last().map_or(section.header, |(_, _, last)| *last);
    let mut new = String::new();
    for (number, line) in all.iter().enumerate() {
        let old = places.iter().find(|(first, last)| (*first..=*last).contains(&number));
        if old.is_none() {
            new.push_str(line);
        }
        // The line behind which, or in the place of which, the value goes.
        let (at, like) = places.last().map_or((end, model), |(first, _)| (*first, *first));
        if number == at
            && let Some(value) = value
        {
            let like = plain.get(like).copied().unwrap_or_default();
            let blanks: String = like.chars().take_while(|letter| letter.is_whitespace()).collect();
            if !new.is_empty() && !new.ends_with(['\n', '\r']) {
                new.push_str(line_end(text));
            }
            new.push_str(&format!("{blanks}{key} = {value}{}", line_end(text)));
        }
    }
    unchanged_beside(text, new, name)
}

/// The kind of line end that a text has.
fn line_end(text: &str) -> &'static str {
    if text.contains("\r\n") { "\r\n" } else { "\n" }
}

fn keep(text: &str, is_kept: impl Fn(usize) -> bool) -> String {
    let all = lines_with_ends(text).into_iter().enumerate();
    all.filter(|(number, _)| is_kept(*number)).map(|(_, line)| line).collect()
}

/// The numbers of the lines of a section: up to the last one before the next section that is neither
/// empty nor a comment.
fn section_lines(text: &str, name: &str) -> Vec<usize> {
    let ini = Ini::parse(text);
    let plain = lines(text);
    let mut headers = ini.layout().iter().peekable();
    let mut found = Vec::new();
    while let Some(section) = headers.next() {
        let next = headers.peek().map_or(plain.len(), |next| next.header);
        if section.name != name {
            continue;
        }
        let is_content = |number: &usize| {
            let line = plain.get(*number).map(|line| line.trim()).unwrap_or_default();
            !line.is_empty() && !line.starts_with(['#', ';'])
        };
        let last = (section.header..next).rev().find(is_content).unwrap_or(section.header);
        found.extend(section.header..=last);
    }
    found
}

/// Checks that all sections but `name` are the same in both texts.
fn unchanged_beside(old: &str, new: String, name: &str) -> Result<String, String> {
    match Ini::parse(old).is_same_beside(&Ini::parse(&new), name) {
        true => Ok(new),
        false => Err("another section would change; edit the file by hand".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str =
        "# all\n[DEFAULT]\nuser = x\n\n[a]\n# of a\nport = 1\n  2\n; before b\n[b]\r\n";

    #[test]
    fn a_section_goes_and_comments_stay() {
        let left = without_section(FILE, "a").unwrap();
        assert_eq!(left, "# all\n[DEFAULT]\nuser = x\n\n; before b\n[b]\r\n");
        assert_eq!(only_section(FILE, "a"), "[a]\n# of a\nport = 1\n  2\n");
        assert_eq!(without_section("\n[a]\nx=1", "a").unwrap(), "\n");
    }

    #[test]
    fn a_value_is_set_where_it_was() {
        let set = |text, key, value| with_value(text, "a", key, value).unwrap();
        let text = "[a]\nport = 1\n  2\n\n# c\n[b]\n";
        assert_eq!(set(text, "port", Some("3")), "[a]\nport = 3\n\n# c\n[b]\n");
        assert_eq!(set(text, "user", Some("u")), "[a]\nport = 1\n  2\nuser = u\n\n# c\n[b]\n");
        assert_eq!(set(text, "port", None), "[a]\n\n# c\n[b]\n");
        assert_eq!(set("[a]", "x", Some("1")), "[a]\nx = 1\n");
        assert_eq!(set("[a]\n  y = 1\n  [b]\n", "x", Some("1")), "[a]\n  y = 1\n  x = 1\n  [b]\n");
        // Of a key that is there twice the last counts, and it alone stays.
        assert_eq!(set("[a]\nx=1\n[b]\n[a]\nx=2\n", "x", Some("3")), "[a]\n[b]\n[a]\nx = 3\n");
        assert!(with_value("[b]\n", "a", "x", Some("1")).is_err());
    }
}
