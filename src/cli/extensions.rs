//! Values of the options that procServ does not have. They are strict: a wrong value is an error
//! that names the option, and nothing is started.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use super::matches::Matches;
use super::numeric::Numbers;
use crate::config::control_char;
use crate::config::endpoint::{Endpoint, EndpointError};
use crate::config::listen::{ListenTarget, ListenUri};
use crate::config::network::AllowedNetworks;
use crate::config::{MessageStyle, OverlapOptions, Rotation, StopInput, WindowPolicy, WindowSize};
use crate::limits::{HISTORY_OPTION_MAX, LOG_KEEP, LOG_KEEP_MAX, OVERLAP_GRACE, STOP_INPUT_WAIT};

/// Returns `--history`, in bytes.
pub(super) fn history(given: Matches) -> Result<usize, String> {
    let Some(text) = given.value("history") else {
        return Ok(0);
    };
    let size = size(text.as_bytes()).and_then(|size| usize::try_from(size).ok());
    size.filter(|&size| size <= HISTORY_OPTION_MAX).ok_or_else(|| {
        let text = text.to_string_lossy();
        format!("invalid size '{text}' for --history (bytes, or with k or M, up to 64M)")
    })
}

/// Returns the networks of all `--allow-from` options.
pub(super) fn allow_from(given: Matches) -> Result<Option<AllowedNetworks>, String> {
    let mut networks = None;
    for list in given.values("allow-from") {
        let list = list.to_string_lossy();
        networks.get_or_insert_with(AllowedNetworks::default).add(&list).map_err(|net| {
            format!(
                "invalid network '{net}' for --allow-from \
                 ([user=|logger=|viewer=] ADDRESS or ADDRESS/BITS)"
            )
        })?;
    }
    Ok(networks)
}

/// Returns the endpoint of `--api`.
pub(super) fn api(given: Matches) -> Result<Option<Endpoint>, Vec<u8>> {
    let parse = |spec: OsString| {
        Endpoint::parse_api(&spec).map_err(|error| {
            let head = [b"invalid endpoint '", spec.as_bytes(), b"' for --api "].concat();
            match error {
                EndpointError::UnknownUser(_) | EndpointError::UnknownGroup(_) => {
                    [head, b"(".to_vec(), error.message(OsStr::new("")), b")".to_vec()].concat()
                }
                _ => [head, b"(unix:PATH or unix:USER:GROUP:PERM:PATH)".to_vec()].concat(),
            }
        })
    };
    given.value("api").map(parse).transpose()
}

/// Returns `--compat`.
pub(super) fn message_style(given: Matches) -> Result<MessageStyle, String> {
    match given.value("compat") {
        None => Ok(MessageStyle::Current),
        Some(version) if version == "2.7" => Ok(MessageStyle::V2_7),
        Some(other) => {
            let other = other.to_string_lossy();
            Err(format!("invalid version '{other}' for --compat (only 2.7)"))
        }
    }
}

/// Returns true unless `--crlf` says that line ends of telnet clients stay as they are.
pub(super) fn join_line_ends(given: Matches) -> Result<bool, String> {
    match given.value("crlf") {
        None => Ok(true),
        Some(how) if how == "join" => Ok(true),
        Some(how) if how == "keep" => Ok(false),
        Some(other) => {
            let other = other.to_string_lossy();
            Err(format!("invalid value '{other}' for --crlf (join or keep)"))
        }
    }
}

/// Returns `--window`.
pub(super) fn window(given: Matches) -> Result<WindowPolicy, String> {
    let Some(text) = given.value("window") else {
        return Ok(WindowPolicy::Unset);
    };
    if text == "follow" {
        return Ok(WindowPolicy::Follow);
    }
    let cells = |text: &[u8]| digits(text).and_then(|cells| u16::try_from(cells).ok());
    let mut parts = text.as_bytes().splitn(2, |&byte| byte == b'x');
    match (parts.next().and_then(cells), parts.next().and_then(cells)) {
        (Some(columns @ 1..), Some(rows @ 1..)) => {
            Ok(WindowPolicy::Fixed(WindowSize { columns, rows }))
        }
        _ => {
            let text = text.to_string_lossy();
            Err(format!("invalid size '{text}' for --window (follow, or COLSxROWS as in 80x24)"))
        }
    }
}

/// Returns `--term`, which is the name of a file of terminfo(5), too.
pub(super) fn term(given: Matches) -> Result<Option<OsString>, String> {
    let Some(name) = given.value("term") else {
        return Ok(None);
    };
    let good = |byte: &u8| byte.is_ascii_graphic() && !b"/|,".contains(byte);
    if name.is_empty() || !name.as_bytes().iter().all(good) {
        let name = name.to_string_lossy();
        return Err(format!(
            "invalid name '{name}' for --term (a terminal type, as xterm-256color)"
        ));
    }
    Ok(Some(name))
}

/// Returns `--holdoff-max`, in seconds. Without the option that is `holdoff`.
pub(super) fn holdoff_max(given: Matches, holdoff: u32) -> Result<u32, String> {
    let Some(value) = given.value("holdoff-max") else {
        return Ok(holdoff);
    };
    let Some(most) = digits(value.as_bytes()).and_then(|most| u32::try_from(most).ok()) else {
        let shown = String::from_utf8_lossy(value.as_bytes());
        return Err(format!("--holdoff-max needs a number of seconds, not '{shown}'"));
    };
    match holdoff {
        0 => Err("--holdoff-max needs a --holdoff that can be doubled, not 0".to_owned()),
        _ if most < holdoff => {
            Err(format!("--holdoff-max {most} is less than the holdoff time, {holdoff}"))
        }
        _ => Ok(most),
    }
}

/// Checks `--notify`, `--ready` and `--fdstore` together. They need `--foreground`: the first
/// process of a daemon exits at once, by which a service manager knows that the server is ready.
pub(super) fn check_notify(given: Matches, notify: bool) -> Result<(), &'static str> {
    let text = given.value("ready");
    match text.as_ref().map(|text| text.as_bytes()) {
        Some(b"") => Err("--ready needs a text"),
        Some(text) if text.contains(&b'\n') => Err("--ready looks for a text within one line"),
        Some(_) if !given.has("foreground") => Err("--ready needs --foreground"),
        None if given.has("fdstore") && !given.has("foreground") => {
            Err("--fdstore needs --foreground")
        }
        None if notify && !given.has("foreground") => Err("--notify needs --foreground"),
        Some(_) | None => Ok(()),
    }
}

/// Returns true if there is `--console`.
pub(super) fn console(given: Matches) -> Result<bool, &'static str> {
    match given.has("console") {
        true if !given.has("foreground") => Err("--console needs --foreground"),
        given => Ok(given),
    }
}

/// Returns the sockets for the child.
pub(super) fn listen(given: Matches) -> Result<Vec<ListenUri>, Vec<u8>> {
    let mut all: Vec<ListenUri> = Vec::new();
    for text in given.values("listen") {
        let wrong =
            |problem: &str| [b"--listen ", text.as_bytes(), b" ", problem.as_bytes()].concat();
        let uri = ListenUri::parse(text).map_err(wrong)?;
        let twice = |other: &ListenUri| {
            other.place == uri.place && matches!(uri.place, ListenTarget::Descriptor(_))
        };
        if all.iter().any(twice) {
            return Err(wrong("is given twice"));
        }
        all.push(uri);
    }
    Ok(all)
}

/// Returns `--overlap` with the options that belong to it.
pub(super) fn overlap(
    given: Matches,
    numbers: &Numbers,
) -> Result<Option<OverlapOptions>, Vec<u8>> {
    let command = given.value("reloadcmd");
    let Some(text) = given.value("overlap") else {
        return match command {
            Some(_) => Err(b"--reloadcmd needs --overlap".to_vec()),
            None => Ok(None),
        };
    };
    if given.value("child-pidfile").is_some() {
        return Err(
            b"--overlap does not go with --child-pidfile: a daemon is not replaced".to_vec()
        );
    }
    let Some(after) = digits(text.as_bytes()).and_then(|after| u32::try_from(after).ok()) else {
        return Err([b"--overlap ", text.as_bytes(), b" is no number of milliseconds"].concat());
    };
    let command = match command
        .as_ref()
        .map(|text| (text.as_bytes(), control_char::parse_list(text.as_bytes()).count()))
    {
        None | Some((b"", _)) => None,
        Some((text, 1)) => control_char::parse_command(text),
        Some((text, _)) => {
            return Err([b"--reloadcmd ", text, b" is no single character"].concat());
        }
    };
    let grace = if numbers.grace_given { numbers.grace_period } else { OVERLAP_GRACE };
    Ok(Some(OverlapOptions {
        after: Duration::from_millis(after.into()),
        grace: Duration::from_secs(grace.into()),
        command,
    }))
}

/// Returns `--stop-input` with the time that the child has after it.
pub(super) fn stop_input(given: Matches, numbers: &Numbers) -> Result<Option<StopInput>, Vec<u8>> {
    let Some(text) = given.value("stop-input") else {
        return Ok(None);
    };
    let takes: &[u8] = br"--stop-input needs a text (^A to ^Z, ^^, \r \n \t \e \\ \^)";
    let text = match control_char::parse_text(text.as_bytes()) {
        Ok(text) if text.is_empty() => return Err(takes.to_vec()),
        Ok(text) => text,
        Err(escape) => return Err([takes, b", not '", escape, b"'"].concat()),
    };
    let wait = if numbers.grace_given { numbers.grace_period } else { STOP_INPUT_WAIT };
    Ok(Some(StopInput { text, wait: Duration::from_secs(wait.into()) }))
}

/// Returns true if there is `--log-plain`.
pub(super) fn log_plain(given: Matches) -> Result<bool, &'static str> {
    match given.has("log-plain") {
        true if given.value("logfile").is_none() => Err("--log-plain needs --logfile"),
        given => Ok(given),
    }
}

/// Returns `--log-rotate`.
pub(super) fn log_rotate(given: Matches) -> Result<Option<Rotation>, String> {
    let has_file = given.value("logfile").is_some_and(|file| file != "-");
    rotate(given, "log-rotate", has_file, "--logfile with a file")
}

/// The value of `--events` that is no file.
const JOURNAL: &str = "journal";

/// Returns the file of `--events`: of several, the last one counts.
pub(super) fn events_file(given: Matches) -> Option<PathBuf> {
    given.values("events").filter(|value| *value != JOURNAL).last().map(PathBuf::from)
}

/// Returns true if there is `--events journal`, beside a file or alone.
pub(super) fn events_journal(given: Matches) -> bool {
    given.values("events").any(|value| value == JOURNAL)
}

/// Returns `--events-rotate`.
pub(super) fn events_rotate(given: Matches) -> Result<Option<Rotation>, String> {
    let needs = if events_journal(given) { "--events with a file" } else { "--events" };
    rotate(given, "events-rotate", events_file(given).is_some(), needs)
}

/// Returns true if there is `--record-input`.
pub(super) fn record_input(given: Matches) -> Result<bool, &'static str> {
    match given.has("record-input") {
        true if given.value("events").is_none() => Err("--record-input needs --events"),
        given => Ok(given),
    }
}

/// Returns the value of an option that rotates a file. The option needs the file, which there is if
/// `has_file` is true.
fn rotate(
    given: Matches,
    option: &str,
    has_file: bool,
    needs: &str,
) -> Result<Option<Rotation>, String> {
    let Some(rule) = given.value(option) else {
        return Ok(None);
    };
    if !has_file {
        return Err(format!("--{option} needs {needs}"));
    }
    let wrong = || format!("--{option} needs a size (1000, 64k, 10M, 2G) and perhaps ,<keep>");
    rotation(rule.as_bytes()).map(Some).ok_or_else(wrong)
}

/// Reads `SIZE[,KEEP]`.
fn rotation(text: &[u8]) -> Option<Rotation> {
    let mut parts = text.splitn(2, |&byte| byte == b',');
    let size = size(parts.next()?).filter(|&size| size > 0)?;
    let keep = match parts.next() {
        Some(keep) => u32::try_from(digits(keep)?).ok()?,
        None => LOG_KEEP,
    };
    (1..=LOG_KEEP_MAX).contains(&keep).then_some(Rotation { size, keep })
}

/// Reads a number of bytes: digits, and perhaps k, M or G, in either case, for powers of 1024.
fn size(text: &[u8]) -> Option<u64> {
    let (number, shift) = match text {
        [number @ .., b'k' | b'K'] => (number, 10),
        [number @ .., b'm' | b'M'] => (number, 20),
        [number @ .., b'g' | b'G'] => (number, 30),
        number => (number, 0),
    };
    digits(number)?.checked_mul(1 << shift)
}

/// Reads a number that consists of digits only.
fn digits(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    // `parse` would accept a sign.
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in [
            ("0", 0),
            ("1", 1),
            ("007", 7),
            ("3k", 3072),
            ("64K", 64 << 10),
            ("64M", 64 << 20),
            ("1m", 1 << 20),
            ("0M", 0),
            ("2G", 2 << 30),
            ("2g", 2 << 30),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(size(text.as_bytes()), Some(bytes), "{text}");
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
            "1T",
            "1kM",
            "1kk",
            "0x10",
            "1\u{e9}",
            "18446744073709551616",
            "18446744073709551615k",
        ] {
            assert_eq!(size(text.as_bytes()), None, "{text}");
        }
    }
}
