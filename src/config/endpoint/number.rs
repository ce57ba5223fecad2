//! Numbers in the specification of an endpoint.

use std::fmt;

use crate::config::c_number;

/// A decimal number of any length, as scanf(3) reads it, perhaps with blanks around it.
pub(super) struct Number<'a> {
    negative: bool,
    /// The digits without leading zeros; empty for 0.
    digits: &'a str,
}

impl<'a> Number<'a> {
    /// Reads a number. Returns `None` if `text` is none.
    pub(super) fn parse(text: &'a [u8]) -> Option<Number<'a>> {
        let (negative, digits) = c_number::split_sign(trim_blanks(text));
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let digits = std::str::from_utf8(digits).ok()?.trim_start_matches('0');
        // There is no negative zero.
        let negative = negative && !digits.is_empty();
        Some(Number { negative, digits })
    }

    /// Returns the number, unless the type has no such value.
    pub(super) fn value<T: std::str::FromStr + Default>(&self) -> Option<T> {
        match (self.negative, self.digits) {
            (true, _) => None,
            (false, "") => Some(T::default()),
            (false, digits) => digits.parse().ok(),
        }
    }
}

impl fmt::Display for Number<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.negative { "-" } else { "" };
        let digits = if self.digits.is_empty() { "0" } else { self.digits };
        write!(f, "{sign}{digits}")
    }
}

fn trim_blanks(mut text: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = text
        && c_number::is_blank(*first)
    {
        text = rest;
    }
    while let [rest @ .., last] = text
        && c_number::is_blank(*last)
    {
        text = rest;
    }
    text
}
