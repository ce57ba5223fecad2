//! Patterns of instance names, as a shell has them: `*`, `?`, `[a-z]`, `[!x]`.

/// Whether one of the patterns describes `name`. Without one a command is about all.
pub fn selects(patterns: &[&str], name: &str) -> bool {
    patterns.is_empty() || patterns.iter().any(|pattern| matches(pattern, name))
}

/// Whether the whole of `name` is what `pattern` describes.
pub fn matches(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    fits(&pattern, &name)
}

fn fits(pattern: &[char], name: &[char]) -> bool {
    // Where the last star stood, and how much of the name it has taken. Going back further than to
    // the last star never helps.
    let (mut rest, mut left) = (pattern, name);
    let mut star: Option<(&[char], &[char])> = None;
    loop {
        if let Some(('*', after)) = rest.split_first().map(|(first, after)| (*first, after)) {
            star = Some((after, left));
            rest = after;
            continue;
        }
        match (one(rest, left.first()), left.split_first()) {
            (Some(after), Some((_, tail))) => (rest, left) = (after, tail),
            _ if rest.is_empty() && left.is_empty() => return true,
            _ => match star {
                Some((after, taken)) => match taken.split_first() {
                    Some((_, tail)) => {
                        star = Some((after, tail));
                        (rest, left) = (after, tail);
                    }
                    None => return false,
                },
                None => return false,
            },
        }
    }
}

/// The rest of a pattern whose first element, not a star, is what `letter` is.
fn one<'a>(pattern: &'a [char], letter: Option<&char>) -> Option<&'a [char]> {
    let (&first, after) = pattern.split_first()?;
    let &letter = letter?;
    match first {
        '?' => Some(after),
        '[' => match set(after) {
            Some((inside, negated, rest)) => (contains(inside, letter) != negated).then_some(rest),
            None => (letter == '[').then_some(after),
        },
        _ => (letter == first).then_some(after),
    }
}

/// What stands in brackets, whether it is negated, and what follows. A `]` right at the start is one
/// of the letters.
fn set(after: &[char]) -> Option<(&[char], bool, &[char])> {
    let (negated, inside) = match after {
        ['!', inside @ ..] => (true, inside),
        inside => (false, inside),
    };
    let end = inside.iter().skip(1).position(|&letter| letter == ']')? + 1;
    Some((inside.get(..end)?, negated, inside.get(end + 1..)?))
}

fn contains(mut set: &[char], letter: char) -> bool {
    loop {
        set = match set {
            [low, '-', high, rest @ ..] => {
                if (*low..=*high).contains(&letter) {
                    return true;
                }
                rest
            }
            [one, rest @ ..] => {
                if *one == letter {
                    return true;
                }
                rest
            }
            [] => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            ("[", "["),
            ("a.b", "a.b"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
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
            ("[a", "a"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }
}
