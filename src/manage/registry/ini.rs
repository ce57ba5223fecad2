//! Reads configuration files as Python's configparser does in its default settings, because the
//! files are shared with programs that use it: full-line comments, `=` or `:`, keys in any case,
//! values over several indented lines, a `[DEFAULT]` section, `%(key)s` interpolation.
//!
//! One difference on purpose: a `%` that begins neither `%%` nor `%(` stays what it is, where
//! Python refuses the whole file.

use std::collections::BTreeMap;

use crate::manage::limits::{EXPANSION_MAX, REFERENCES_MAX};

/// The keys of one section, in lower case, and their values as they stand in the file.
type Section = BTreeMap<String, String>;

/// The content of a file.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Ini {
    sections: BTreeMap<String, Section>,
    defaults: Section,
}

/// Why a file can't be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IniError {
    /// The number of the line, from 1.
    pub line: usize,
    /// What is wrong with the line.
    pub what: String,
}

impl Ini {
    /// Parses the text of a file.
    ///
    /// # Errors
    /// Everything that Python's parser refuses: text before the first section, a line that is
    /// neither a section nor a key with its value, a section or key that is there twice.
    pub fn parse(text: &str) -> Result<Ini, IniError> {
        let mut parser = Parser::default();
        // Python reads text with these three line ends.
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        for (index, line) in text.split('\n').enumerate() {
            parser.line(line).map_err(|what| IniError { line: index + 1, what })?;
        }
        Ok(parser.ini)
    }

    /// The names of the sections, without DEFAULT.
    pub fn sections(&self) -> impl Iterator<Item = &str> {
        self.sections.keys().map(String::as_str)
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
        own.get(key).or_else(|| self.defaults.get(key)).map(String::as_str)
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

#[derive(Default)]
struct Parser {
    ini: Ini,
    /// The current section; `None` before the first.
    section: Option<String>,
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
            return Ok(());
        }
        self.indent = indent;
        self.empty = 0;
        if let Some(name) = header(text) {
            return self.begin(name);
        }
        self.assign(text)
    }

    fn begin(&mut self, name: &str) -> Result<(), String> {
        self.key = None;
        self.section = Some(name.to_owned());
        if name != DEFAULT && self.ini.sections.insert(name.to_owned(), Section::new()).is_some() {
            return Err(format!("section [{name}] is there twice"));
        }
        Ok(())
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
            return Err(format!("{key} is there twice"));
        }
        self.key = Some(key);
        Ok(())
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
