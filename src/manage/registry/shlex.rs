//! A command line as one text and as words, by the rules of Python's `shlex.split`, because
//! programs in Python read the same files. The crates `shlex` and `shell-words` differ from Python:
//! for them `#` begins a comment, and between double quotes a backslash also escapes `$`, `` ` ``
//! and a line end. `tests/cli/shlex.rs` compares this module with Python.

/// Splits a text into words.
///
/// # Errors
/// A quotation that is not closed, or a backslash at the end.
pub fn split(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            ' ' | '\t' | '\r' | '\n' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match letters.next() {
                        None => return Err("a ' is not closed".to_owned()),
                        Some('\'') => break,
                        Some(letter) => word.push(letter),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match letters.next() {
                        None => return Err("a \" is not closed".to_owned()),
                        Some('"') => break,
                        Some('\\') => match letters.next() {
                            None => return Err("a \" is not closed".to_owned()),
                            Some(escaped @ ('"' | '\\')) => word.push(escaped),
                            Some(other) => word.extend(['\\', other]),
                        },
                        Some(letter) => word.push(letter),
                    }
                }
            }
            '\\' => match letters.next() {
                None => return Err("ends in a backslash".to_owned()),
                Some(letter) => word.get_or_insert_default().push(letter),
            },
            letter => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    Ok(words)
}

/// Joins words to one text, which [`split`], Python and a POSIX shell split into the same words.
pub fn join<S: AsRef<str>>(words: &[S]) -> String {
    let quoted: Vec<_> = words.iter().map(|word| quote(word.as_ref())).collect();
    quoted.join(" ")
}

fn quote(word: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "@%_-+=:,./^".contains(letter);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\"'\"'"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_as_a_shell_makes_them() {
        let split = |text| split(text).unwrap();
        assert_eq!(split("  a 'b c'\"d\\\"\\n\" \\' "), ["a", "b cd\"\\n", "'"]);
        assert_eq!(split("'' \"\""), ["", ""]);
        assert_eq!(split(""), [""; 0]);
    }

    #[test]
    fn open_ends_are_errors() {
        for text in ["'a", "\"a", "a\\", "\"\\"] {
            assert!(split(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn joined_words_come_apart_again(words in prop::collection::vec("[ -~\n\t]{0,8}", 0..6)) {
            prop_assert_eq!(split(&join(&words)).unwrap(), words);
        }
    }
}
