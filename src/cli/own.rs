//! Values of the options that procServ doesn't have. They are strict: what is wrong with one is an
//! error that names it, and nothing is started.

use super::Given;
use crate::config::Wording;
use crate::limits::REPLAY_MAX;
use crate::network::Networks;

/// `--history`, in bytes.
pub(super) fn history(given: &Given) -> Result<usize, String> {
    let Some(text) = given.value("history") else {
        return Ok(0);
    };
    text.to_str().and_then(size).filter(|&size| size <= REPLAY_MAX).ok_or_else(|| {
        let text = text.to_string_lossy();
        format!("invalid size '{text}' for --history (bytes, or with k or M, up to 64M)")
    })
}

/// `--allow-from`: the networks of all of them.
pub(super) fn allow_from(given: &Given) -> Result<Option<Networks>, String> {
    let mut networks = None;
    for list in given.values("allow-from") {
        let list = list.to_string_lossy();
        networks.get_or_insert_with(Networks::default).add(&list).map_err(|net| {
            format!("invalid network '{net}' for --allow-from (ADDRESS or ADDRESS/BITS)")
        })?;
    }
    Ok(networks)
}

/// `--compat`.
pub(super) fn wording(given: &Given) -> Result<Wording, String> {
    match given.value("compat") {
        None => Ok(Wording::Current),
        Some(version) if version == "2.7" => Ok(Wording::Of2_7),
        Some(other) => {
            let other = other.to_string_lossy();
            Err(format!("invalid version '{other}' for --compat (only 2.7)"))
        }
    }
}

/// A number of bytes: digits, and `k` or `M` for 1024 or 1024² of them.
fn size(text: &str) -> Option<usize> {
    let (digits, unit) = match text.as_bytes() {
        [.., b'k'] => (text.strip_suffix('k')?, 1 << 10),
        [.., b'M'] => (text.strip_suffix('M')?, 1 << 20),
        _ => (text, 1),
    };
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse::<usize>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes_have_units() {
        let sizes = [("0", 0), ("1", 1), ("007", 7), ("3k", 3072), ("64M", 64 << 20), ("0M", 0)];
        for (text, bytes) in sizes {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
        for text in [
            "",
            "k",
            "M",
            " 1",
            "1 ",
            "1 k",
            "+1",
            "-1",
            "1.5M",
            "1K",
            "1m",
            "1G",
            "1kM",
            "1kk",
            "0x10",
            "1\u{e9}",
            "18446744073709551616",
            "18446744073709551615M",
        ] {
            assert_eq!(size(text), None, "{text}");
        }
    }
}
