//! Patterns of instance names, in a shell's notation (glob(7)): `*`, `?`, `[a-z]`, `[!x]`.

use clap::ArgMatches;
use glob::Pattern;

use crate::manage::error::CommandError;

/// The patterns of a command line.
#[derive(Debug)]
pub(crate) struct Patterns(Vec<Pattern>);

impl Patterns {
    /// The patterns that a command was given.
    ///
    /// # Errors
    /// Those of [`Patterns::parse`].
    pub(crate) fn from_matches(matches: &ArgMatches) -> Result<Patterns, CommandError> {
        let texts: Vec<&String> = matches.get_many("pattern").into_iter().flatten().collect();
        Patterns::parse(&texts)
    }

    /// Reads patterns.
    ///
    /// # Errors
    /// A text that is not a pattern.
    pub(crate) fn parse<S: AsRef<str>>(texts: &[S]) -> Result<Patterns, CommandError> {
        let read = |text: &S| {
            let text = text.as_ref();
            Pattern::new(text).map_err(|_| {
                CommandError::usage(format!(
                    "{text} is not a pattern: a [ is not closed, or there are several * in a row"
                ))
            })
        };
        texts.iter().map(read).collect::<Result<_, _>>().map(Patterns)
    }

    /// Returns true if one of the patterns matches the whole of `name`, or if there are no
    /// patterns.
    pub(crate) fn selects(&self, name: &str) -> bool {
        self.0.is_empty() || self.0.iter().any(|pattern| pattern.matches(name))
    }

    /// The first pattern that matches none of `names`.
    pub(crate) fn unused(&self, names: &[&str]) -> Option<&str> {
        let unused = |pattern: &&Pattern| !names.iter().any(|name| pattern.matches(name));
        self.0.iter().find(unused).map(Pattern::as_str)
    }

    /// The patterns as they were given.
    pub(crate) fn texts(&self) -> Vec<&str> {
        self.0.iter().map(Pattern::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(texts: &[&str]) -> Patterns {
        Patterns::parse(texts).unwrap()
    }

    #[test]
    fn as_a_shell_does() {
        for (pattern, name) in [
            ("*", ""),
            ("*", "ioc"),
            ("i*c", "ioc"),
            ("i*c", "ic"),
            ("*a*b", "xaxbab"),
            ("ioc?", "ioc1"),
            ("ioc[0-3x]", "ioc2"),
            ("ioc[0-3x]", "iocx"),
            ("[!a]b", "bb"),
            ("[]a]", "]"),
            ("a.b", "a.b"),
        ] {
            assert!(patterns(&[pattern]).selects(name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("", "a"),
            ("a", ""),
            ("i*c", "iocs"),
            ("ioc?", "ioc"),
            ("ioc[0-3]", "ioc4"),
            ("[!a]b", "ab"),
            ("a.b", "axb"),
            ("*a*b", "ba"),
        ] {
            assert!(!patterns(&[pattern]).selects(name), "{pattern} {name}");
        }
    }
    #[test]
    fn what_is_no_pattern_is_named() {
        for text in ["[", "[a", "x[!", "a**b", "***"] {
            let error = Patterns::parse(&["a", text]).unwrap_err();
            assert!(error.code == 2 && error.text.starts_with(text), "{error:?}");
        }
    }

    #[test]
    fn no_pattern_selects_all() {
        assert!(patterns(&[]).selects("a"));
        assert!(patterns(&["b", "a*"]).selects("ab") && !patterns(&["b", "a*"]).selects("c"));
        assert_eq!(patterns(&["b", "a*"]).unused(&["ab", "c"]), Some("b"));
    }
}
