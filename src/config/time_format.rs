//! The conversions of `--timefmt` and `--logstamp` that strftime(3) does not have: `%3N`, `%6N` and
//! `%9N`, the first digits of the fraction of the second, as in date(1).

use std::borrow::Cow;

/// Returns true if `format` shows a fraction of the second.
pub fn has_fraction(format: &[u8]) -> bool {
    matches!(with_fraction(format, 0), Cow::Owned(_))
}

/// Returns `format` with the digits of `nanos`, nanoseconds since the second began, in the place of
/// each conversion for the fraction of the second. `%%` stands for a percent sign, also before `3N`.
pub fn with_fraction(format: &[u8], nanos: u32) -> Cow<'_, [u8]> {
    let mut made: Option<Vec<u8>> = None;
    let mut rest = format;
    let mut copied = 0;
    while let Some(at) = rest.iter().position(|&byte| byte == b'%') {
        let conversion = rest.get(at + 1..).unwrap_or_default();
        let digits = match conversion {
            [digits @ (b'3' | b'6' | b'9'), b'N', ..] => Some(usize::from(digits - b'0')),
            _ => None,
        };
        let begin = format.len() - conversion.len() - 1;
        if let Some(digits) = digits {
            let made = made.get_or_insert_default();
            made.extend_from_slice(format.get(copied..begin).unwrap_or_default());
            made.extend(format!("{nanos:09}").bytes().take(digits));
            copied = begin + 3;
        }
        // The character behind the percent sign begins no other conversion.
        rest = conversion.get(1..).unwrap_or_default();
    }
    match made {
        None => Cow::Borrowed(format),
        Some(mut made) => {
            made.extend_from_slice(format.get(copied..).unwrap_or_default());
            Cow::Owned(made)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{has_fraction, with_fraction};

    #[test]
    fn fractions_are_the_first_digits() {
        for (format, nanos, shown) in [
            ("[%T.%3N] ", 7_008_009, "[%T.007] "),
            ("%3N %6N %9N", 999_999_999, "999 999999 999999999"),
            ("%3N%3N", 120_000_000, "120120"),
            ("%%%3N", 1_000_000, "%%001"),
        ] {
            assert_eq!(with_fraction(format.as_bytes(), nanos), shown.as_bytes(), "{format}");
            assert!(has_fraction(format.as_bytes()), "{format}");
        }
    }

    #[test]
    fn everything_else_is_left_to_strftime() {
        for format in ["", "%", "%%3N", "%%%%9N", "%N", "%2N", "%3", "%3n", "3N", "%T %c", "%E3N"] {
            assert_eq!(with_fraction(format.as_bytes(), 5), format.as_bytes(), "{format}");
            assert!(!has_fraction(format.as_bytes()), "{format}");
        }
    }
}
