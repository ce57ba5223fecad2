//! Reads configuration files as Python's configparser does in its default settings, because the
//! files are shared with programs that use it: full-line comments, `=` or `:`, keys in any case,
//! values over several indented lines, a `[DEFAULT]` section, `%(key)s` interpolation, several
//! files as one configuration.
//!
//! Three differences on purpose, all where Python refuses the whole configuration. A `%` that begins
//! neither `%%` nor `%(` stays what it is. A section or a key that is twice in one file is merged as
//! if it were in two files, with a warning. A line that is neither a section nor a key spoils its
//! section and no other.

use std::collections::{BTreeMap, BTreeSet};

use crate::manage::limits::{EXPANSION_MAX, REFERENCES_MAX};

/// The keys of one section, in lower case, and their values as they stand in the file.
type Section = BTreeMap<String, String>;

/// The content of a file, or of several files.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Ini {
    sections: BTreeMap<String, Section>,
    /// The names of the sections, in the order in which they first appear.
    order: Vec<String>,
    defaults: Section,
    /// The values of keys that neither a section nor DEFAULT has.
    built_in: Section,
    /// The sections with a line that could not be read.
    spoiled: BTreeSet<String>,
    /// The lines that could not be read.
    pub problems: Vec<IniError>,
    /// Sections and keys that are there twice.
    pub warnings: Vec<IniError>,
    /// Where the sections and keys of a file are.
    layout: Vec<SectionLines>,
}

/// What is wrong with a line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IniError {
    /// The number of the line, from 1.
    pub line: usize,
    /// What is wrong with the line.
    pub what: String,
}

/// The lines of a section, each a number from 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SectionLines {
    pub(super) name: String,
    /// The line with the name.
    pub(super) header: usize,
    /// Each key with its first line and its last line.
    pub(super) keys: Vec<(String, usize, usize)>,
}

impl Ini {
    /// Parses the text of a file.
    pub fn parse(text: &str) -> Ini {
        let mut parser = Parser::default();
        for (number, line) in lines(text).into_iter().enumerate() {
            parser.number = number;
            if let Err(what) = parser.line(line) {
                parser.spoil();
                parser.ini.problems.push(IniError { line: number + 1, what });
            }
        }
        parser.ini
    }

    /// Adds a file that is read after this one. Of a key that is in both, the later value counts.
    /// Problems, warnings and places of lines stay with their file and are not added.
    pub fn merge(&mut self, later: Ini) {
        for name in later.order {
            if !self.sections.contains_key(&name) {
                self.order.push(name);
            }
        }
        for (name, keys) in later.sections {
            self.sections.entry(name).or_default().extend(keys);
        }
        self.defaults.extend(later.defaults);
        self.spoiled.extend(later.spoiled);
    }

    /// Sets the value of a key that no file has.
    pub(super) fn set_built_in(&mut self, key: &str, value: &str) {
        self.built_in.insert(key.to_owned(), value.to_owned());
    }

    /// The names of the sections, without DEFAULT, in the order in which they first appear.
    pub fn sections(&self) -> impl Iterator<Item = &str> {
        self.order.iter().map(String::as_str)
    }

    /// Returns true if there is a section of this name.
    pub(crate) fn has_section(&self, name: &str) -> bool {
        self.sections.contains_key(name)
    }

    /// Returns true if a line of the section could not be read.
    pub(super) fn is_spoiled(&self, name: &str) -> bool {
        self.spoiled.contains(name)
    }

    /// Returns true if a file gives the section the key, by itself or by DEFAULT.
    pub(crate) fn is_given(&self, section: &str, key: &str) -> bool {
        let own = self.sections.get(section);
        own.is_some_and(|own| own.contains_key(key)) || self.defaults.contains_key(key)
    }

    /// Returns true if there is a key in DEFAULT.
    pub(crate) fn has_defaults(&self) -> bool {
        !self.defaults.is_empty()
    }

    /// Returns true if DEFAULT and all sections but `name` have the same keys and values here and
    /// there.
    pub(super) fn is_same_beside(&self, other: &Ini, name: &str) -> bool {
        let beside = |ini: &Ini| {
            let mut sections = ini.sections.clone();
            sections.remove(name);
            sections
        };
        self.defaults == other.defaults && beside(self) == beside(other)
    }

    /// Where the sections and keys of the file are.
    pub(super) fn layout(&self) -> &[SectionLines] {
        &self.layout
    }

    /// The value of `key` in `section`, or else in DEFAULT, with its references replaced. `None` if
    /// neither has the key.
    ///
    /// # Errors
    /// What is wrong with a reference.
    pub fn get(&self, section: &str, key: &str) -> Result<Option<String>, String> {
        let mut left = EXPANSION_MAX;
        self.raw(section, key)
            .map(|raw| self.interpolate(section, key, raw, 1, &mut left))
            .transpose()
    }

    fn raw(&self, section: &str, key: &str) -> Option<&str> {
        let own = self.sections.get(section)?;
        let value = own.get(key).or_else(|| self.defaults.get(key));
        value.or_else(|| self.built_in.get(key)).map(String::as_str)
    }

    fn interpolate(
        &self,
        section: &str,
        key: &str,
        raw: &str,
        depth: usize,
        left: &mut usize,
    ) -> Result<String, String> {
        if depth > REFERENCES_MAX {
            return Err(format!("{key}: refers to itself"));
        }
        *left =
            left.checked_sub(raw.len() + 1).ok_or_else(|| format!("{key}: becomes too long"))?;
        let mut value = String::new();
        let mut rest = raw;
        while let Some((before, after)) = rest.split_once('%') {
            value.push_str(before);
            rest = if let Some(after) = after.strip_prefix('%') {
                value.push('%');
                after
            } else if let Some(reference) = after.strip_prefix('(') {
                let (name, after) = reference
                    .split_once(")s")
                    .filter(|(name, _)| !name.contains(')'))
                    .ok_or_else(|| format!("{key}: \"%(\" without \")s\""))?;
                let name = name.to_lowercase();
                let other = self
                    .raw(section, &name)
                    .ok_or_else(|| format!("{key}: refers to {name}, which is not there"))?;
                value.push_str(&self.interpolate(section, &name, other, depth + 1, left)?);
                after
            } else {
                value.push('%');
                after
            };
        }
        value.push_str(rest);
        Ok(value)
    }
}

/// Escapes a value, so that [`Ini::get`] returns the same value.
///
/// # Errors
/// A value that a file can't hold.
pub fn escaped(value: &str) -> Result<String, String> {
    if value.trim() != value || value.contains(|letter: char| letter.is_control()) {
        return Err("has blanks at an end, a line end or another control character".to_owned());
    }
    Ok(value.replace('%', "%%"))
}

/// The lines of a text, without their ends. Python reads text with these three line ends.
pub(super) fn lines(text: &str) -> Vec<&str> {
    let without_end = |line| {
        let line: &str = line;
        let line = line.strip_suffix('\n').unwrap_or(line);
        line.strip_suffix('\r').unwrap_or(line)
    };
    lines_with_ends(text).into_iter().map(without_end).collect()
}

/// The lines of a text, each with its end.
pub(super) fn lines_with_ends(text: &str) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['\r', '\n']) {
        let length = if rest.get(at..at + 2) == Some("\r\n") { 2 } else { 1 };
        let (line, behind) = rest.split_at(at + length);
        lines.push(line);
        rest = behind;
    }
    lines.push(rest);
    lines
}

#[derive(Default)]
struct Parser {
    ini: Ini,
    /// The number of the current line, from 0.
    number: usize,
    /// The current section; `None` before the first and after a line that could not be read.
    section: Option<String>,
    /// True after a line that could not be read: nothing counts until the next section.
    is_lost: bool,
    /// The key whose value an indented line continues.
    key: Option<String>,
    /// The number of blanks before that key.
    indent: usize,
    /// The number of empty lines since, which belong to the value if the next line continues it.
    empty: usize,
}

impl Parser {
    fn line(&mut self, line: &str) -> Result<(), String> {
        let text = line.trim();
        if text.starts_with(['#', ';']) {
            return Ok(());
        }
        if text.is_empty() {
            self.empty += 1;
            return Ok(());
        }
        let indent = line.chars().take_while(|letter| letter.is_whitespace()).count();
        if let Some(key) = self.key.clone()
            && indent > self.indent
        {
            let lines = "\n".repeat(self.empty + 1);
            self.empty = 0;
            if let Some(value) = self.keys().and_then(|keys| keys.get_mut(&key)) {
                value.push_str(&lines);
                value.push_str(text);
            }
            let number = self.number;
            if let Some((_, _, last)) = self.section_lines().and_then(|lines| lines.keys.last_mut())
            {
                *last = number;
            }
            return Ok(());
        }
        self.indent = indent;
        self.empty = 0;
        if let Some(name) = header(text) {
            self.begin(name);
            return Ok(());
        }
        if self.is_lost { Ok(()) } else { self.assign(text) }
    }

    fn begin(&mut self, name: &str) {
        self.key = None;
        self.is_lost = false;
        self.section = Some(name.to_owned());
        let (header, keys) = (self.number, Vec::new());
        self.ini.layout.push(SectionLines { name: name.to_owned(), header, keys });
        if name == DEFAULT {
            return;
        }
        if self.ini.sections.contains_key(name) {
            self.warn(format!("section [{name}] is there twice; both count"));
        } else {
            self.ini.sections.insert(name.to_owned(), Section::new());
            self.ini.order.push(name.to_owned());
        }
    }

    fn assign(&mut self, text: &str) -> Result<(), String> {
        let Some((key, value)) = text.split_once(['=', ':']) else {
            return Err(format!("neither a [section] nor \"key = value\": {text}"));
        };
        let key = key.trim_end().to_lowercase();
        let Some(keys) = self.keys() else {
            return Err("text before the first [section]".to_owned());
        };
        if key.is_empty() {
            return Err(format!("no key: {text}"));
        }
        if keys.insert(key.clone(), value.trim().to_owned()).is_some() {
            self.warn(format!("{key} is there twice; this line counts"));
        }
        let number = self.number;
        if let Some(lines) = self.section_lines() {
            lines.keys.push((key.clone(), number, number));
        }
        self.key = Some(key);
        Ok(())
    }

    /// Drops the lines up to the next section: a section whose name could not be read must not
    /// give its keys to the section before it.
    fn spoil(&mut self) {
        self.key = None;
        self.is_lost = true;
        self.ini.spoiled.extend(self.section.take().filter(|name| name != DEFAULT));
    }

    fn warn(&mut self, what: String) {
        self.ini.warnings.push(IniError { line: self.number + 1, what });
    }

    fn section_lines(&mut self) -> Option<&mut SectionLines> {
        self.ini.layout.last_mut()
    }

    fn keys(&mut self) -> Option<&mut Section> {
        match self.section.as_deref()? {
            DEFAULT => Some(&mut self.ini.defaults),
            name => self.ini.sections.get_mut(name),
        }
    }
}

/// The name of a section: what stands between the first bracket and the last.
fn header(text: &str) -> Option<&str> {
    let (name, _) = text.strip_prefix('[')?.rsplit_once(']')?;
    (!name.is_empty()).then_some(name)
}

const DEFAULT: &str = "DEFAULT";

#[cfg(test)]
mod tests;
