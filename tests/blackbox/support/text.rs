//! Byte strings compared whole: only what no two runs share is masked.

use super::TestEnv;
use std::fmt::Write;
use std::path::Path;

/// Words after which a number is a PID.
const PID_PREFIXES: [&str; 5] =
    ["server PID: ", "\" PID: ", "\" is: ", "sigChild for process ", "spawning daemon process: "];

/// Panics unless `actual`, masked, is `expected` in the words of the program under test.
///
/// `\n` in `expected` stands for CR LF; `<pid>`, `<time>`, `<dir>` and `<version>` for what is
/// masked.
pub(super) fn assert_console(env: &TestEnv, dir: &Path, actual: &[u8], expected: &str) {
    let expected = env.translate(expected).replace('\n', "\r\n");
    let masked = mask(env, dir, actual);
    assert!(
        masked == expected.as_bytes(),
        "expected:\n{}\ngot:\n{}",
        show(expected.as_bytes()),
        show(&masked)
    );
}

/// Panics unless `actual`, masked, is `expected`, line ends as they are.
pub(super) fn assert_plain(env: &TestEnv, dir: &Path, actual: &[u8], expected: &str) {
    let masked = mask(env, dir, actual);
    assert!(
        masked == expected.as_bytes(),
        "expected:\n{}\ngot:\n{}",
        show(expected.as_bytes()),
        show(&masked)
    );
}

fn mask(env: &TestEnv, dir: &Path, text: &[u8]) -> Vec<u8> {
    let text = replace(text, dir.as_os_str().as_encoded_bytes(), b"<dir>");
    let mut text = replace(&text, env.version().as_bytes(), b"<version>");
    for prefix in PID_PREFIXES {
        text = mask_pids(&text, prefix.as_bytes());
    }
    mask_times(&text)
}

fn replace(text: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut result = Vec::new();
    let mut rest = text;
    while let Some(at) = find(rest, from) {
        result.extend_from_slice(&rest[..at]);
        result.extend_from_slice(to);
        rest = &rest[at + from.len()..];
    }
    result.extend_from_slice(rest);
    result
}

fn mask_pids(text: &[u8], prefix: &[u8]) -> Vec<u8> {
    let mut result = Vec::new();
    let mut rest = text;
    while let Some(at) = find(rest, prefix) {
        let (head, tail) = rest.split_at(at + prefix.len());
        let digits = tail.iter().take_while(|byte| byte.is_ascii_digit()).count();
        result.extend_from_slice(head);
        if digits > 0 {
            result.extend_from_slice(b"<pid>");
        }
        rest = &tail[digits..];
    }
    result.extend_from_slice(rest);
    result
}

/// Masks what has the shape of `%c` in the C locale.
fn mask_times(text: &[u8]) -> Vec<u8> {
    const SHAPE: &[u8] = b"Aaa Aaa _9 99:99:99 9999";
    let mut result = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.first() {
        let fits = rest.len() >= SHAPE.len()
            && rest.iter().zip(SHAPE).all(|(byte, shape)| match shape {
                b'A' => byte.is_ascii_uppercase(),
                b'a' => byte.is_ascii_lowercase(),
                b'9' => byte.is_ascii_digit(),
                b'_' => *byte == b' ' || byte.is_ascii_digit(),
                other => byte == other,
            });
        if fits {
            result.extend_from_slice(b"<time>");
            rest = &rest[SHAPE.len()..];
        } else {
            result.push(*first);
            rest = &rest[1..];
        }
    }
    result
}

/// Where `needle` begins in `haystack`.
pub fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    if needle.is_empty() {
        return Some(0);
    }
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// The number that follows the first `prefix` in the text.
pub fn number_after(text: &[u8], prefix: &str) -> i32 {
    let at = find(text, prefix.as_bytes())
        .unwrap_or_else(|| panic!("no {prefix:?} in:\n{}", show(text)));
    let digits = text[at + prefix.len()..].iter().take_while(|byte| byte.is_ascii_digit());
    let digits: String = digits.map(|byte| char::from(*byte)).collect();
    digits.parse().unwrap_or_else(|_| panic!("no number after {prefix:?} in:\n{}", show(text)))
}

/// Bytes for people: one line a line, everything unprintable escaped, the line ends too. Of a long
/// text only the ends.
pub fn show(bytes: &[u8]) -> String {
    const SHOWN: usize = 2000;
    let mut text = String::new();
    let (head, tail) = match bytes.len().checked_sub(2 * SHOWN) {
        Some(_) => (&bytes[..SHOWN], &bytes[bytes.len() - SHOWN..]),
        None => (bytes, &[][..]),
    };
    show_lines(&mut text, head);
    if !tail.is_empty() {
        let _ = writeln!(text, "... {} bytes ...", bytes.len() - 2 * SHOWN);
        show_lines(&mut text, tail);
    }
    text
}

fn show_lines(text: &mut String, bytes: &[u8]) {
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let _ = writeln!(text, "    {}", line.escape_ascii());
    }
}
