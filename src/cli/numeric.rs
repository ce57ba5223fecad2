//! The numbers among the options, read as procServ reads them: atoi(3) and no complaint. Unlike
//! procServ this program says when another number counts than the one that was given.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use nix::sys::signal::Signal;

use super::Stderr;
use crate::config::{c_number, endpoint};

/// The values in force; starts with the defaults.
pub(super) struct Numbers {
    pub(super) holdoff: u32,
    pub(super) grace_period: u32,
    /// True if the number was given, so that it is not the default.
    pub(super) grace_given: bool,
    pub(super) core_size: Option<u64>,
    pub(super) kill_signal: i32,
}

impl Default for Numbers {
    fn default() -> Self {
        Numbers {
            holdoff: 15,
            grace_period: 0,
            grace_given: false,
            core_size: None,
            kill_signal: 9,
        }
    }
}

impl Numbers {
    /// Takes `value` as the value of the option `id`, if that one has a number. A value that is
    /// refused leaves the one before in force.
    pub(super) fn read(&mut self, id: &str, value: &OsStr, stderr: &mut Stderr) {
        let text = value.as_bytes();
        let mut exact = c_number::integer(text, 10);
        let used = match id {
            "holdoff" => {
                self.holdoff = u32::try_from(c_number::atoi(text)).unwrap_or(self.holdoff);
                Some(self.holdoff.into())
            }
            "grace-period" => {
                if let Ok(number) = u32::try_from(c_number::atoi(text)) {
                    (self.grace_period, self.grace_given) = (number, true);
                }
                Some(self.grace_period.into())
            }
            "coresize" => {
                self.core_size = u64::try_from(c_number::atoll(text)).ok().or(self.core_size);
                self.core_size
            }
            "killsig" => {
                if let Some(signal) = signal_named(text) {
                    self.kill_signal = signal;
                    return;
                }
                let number = c_number::atoi(text).unsigned_abs();
                if number > 31 {
                    let kept = self.kill_signal;
                    let text =
                        format!("invalid kill signal {number} (>31) - using default ({kept})");
                    return stderr.say(text.as_bytes());
                }
                self.kill_signal = i32::try_from(number).unwrap_or(self.kill_signal);
                exact = exact.abs();
                Some(number.into())
            }
            "port" | "logport" => {
                if let Some((text, mode)) = endpoint::odd_permissions(value) {
                    warn(text, id, &format!("{mode:o}"), stderr);
                }
                return;
            }
            _ => return,
        };
        let (_, digits) = c_number::split_sign(text);
        if !digits.iter().all(u8::is_ascii_digit) || used.map(i128::from) != Some(exact) {
            let used = used.map_or("the default".to_string(), |number| number.to_string());
            warn(text, id, &used, stderr);
        }
    }
}

/// Says that the option `id` has another value than this `text` means.
fn warn(text: &[u8], id: &str, used: &str, stderr: &mut Stderr) {
    let option = format!("' for --{id} - using {used}");
    stderr.warn(&[b"invalid number '", text, option.as_bytes()].concat());
}

/// The number of the signal `TERM` or `SIGTERM`, in letters of either case.
fn signal_named(text: &[u8]) -> Option<i32> {
    let name = std::str::from_utf8(text).ok()?.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    format!("SIG{name}").parse::<Signal>().ok().map(|signal| signal as i32)
}
