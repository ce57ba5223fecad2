//! Numbers as the C library reads them (strtol(3)): leading blanks, a sign, digits, and no errors.

/// Returns true for the bytes of isspace(3) in the C locale. They include the vertical tab, unlike
/// those of `u8::is_ascii_whitespace`.
pub(crate) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// Takes one sign off the front. Returns true if it is a minus, and the rest of the text.
pub(crate) fn split_sign(text: &[u8]) -> (bool, &[u8]) {
    match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    }
}

/// Reads a number as strtol(3) does, with a `base` up to 10, but with the range of `i128`: what
/// follows the digits is ignored, a text without digits is 0, and a number out of range is the
/// nearest in it.
pub(crate) fn integer(text: &[u8], base: u8) -> i128 {
    let start = text.iter().take_while(|&&byte| is_blank(byte)).count();
    let (negative, digits) = split_sign(text.get(start..).unwrap_or_default());
    let magnitude = digits
        .iter()
        .map(|byte| byte.wrapping_sub(b'0'))
        .take_while(|&digit| digit < base)
        .fold(0_i128, |value, digit| {
            value.saturating_mul(base.into()).saturating_add(digit.into())
        });
    if negative { -magnitude } else { magnitude }
}

/// Reads a number as atoi(3) of 64-bit C libraries does: strtol(3), of which the lower 32 bits are
/// taken.
#[allow(clippy::cast_possible_truncation)]
pub(crate) fn atoi(text: &[u8]) -> i32 {
    atoll(text) as i32
}

/// Reads a number as atoll(3) does: out of range, the nearest in it.
pub(crate) fn atoll(text: &[u8]) -> i64 {
    let nearest = integer(text, 10).clamp(i64::MIN.into(), i64::MAX.into());
    i64::try_from(nearest).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_c_library_reads() {
        for (text, base, value) in [
            ("", 10, 0),
            ("x", 10, 0),
            ("5s", 10, 5),
            (" \t\n\x0b\x0c\r+007 8", 10, 7),
            ("-12", 10, -12),
            ("- 12", 10, 0),
            ("--1", 10, 0),
            ("0x10", 10, 0),
            ("0778", 8, 0o77),
        ] {
            assert_eq!(integer(text.as_bytes(), base), value, "{text:?}");
        }
        assert_eq!(integer("9".repeat(60).as_bytes(), 10), i128::MAX);
        assert_eq!(integer(("-".to_string() + &"9".repeat(60)).as_bytes(), 10), -i128::MAX);
    }
}
