//! Numbers as the C library reads them: leading blanks, a sign, digits, and no error.

/// isspace(3) of the C locale; unlike `u8::is_ascii_whitespace` it has the vertical tab.
pub(crate) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// Takes one sign off the front: whether it was a minus, and the rest.
pub(crate) fn split_sign(text: &[u8]) -> (bool, &[u8]) {
    match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    }
}

/// strtol(3) with a `base` up to 10 and room for more than a long: what follows the digits is
/// ignored, no digits are 0, too many are the nearest `i128`.
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

/// atoi(3) of the C libraries on 64 bits: strtol(3) cut to an int.
#[allow(clippy::cast_possible_truncation)]
pub(crate) fn atoi(text: &[u8]) -> i32 {
    atoll(text) as i32
}

/// atoll(3): as much as fits.
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
