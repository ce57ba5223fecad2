//! Core dumps, as coredumpctl(1) lists them.

use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::manage::inspect::bounded;
use crate::manage::inspect::ends::End;
use crate::manage::limits::{CORE_LATE, COREDUMPCTL_TIMEOUT};
use crate::manage::registry::{Registry, Scope, unit_name};
use crate::manage::timestamp;

/// A core dump of a process of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Core {
    pub(super) pid: i64,
    time: SystemTime,
    /// True if the file is still there.
    pub(super) is_kept: bool,
}

/// Returns true if a child that ended so may have left a core dump. A shell exits with 128 and the
/// number of the signal that has ended its command.
pub(super) fn may_have_one(end: &End) -> bool {
    let signal = end.signal.or(end.code.map(|code| code - 128));
    // SIGQUIT, SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV, SIGSYS (signal(7)).
    signal.is_some_and(|signal| [3, 4, 5, 6, 7, 8, 11, 31].contains(&signal))
}

/// The core dumps of an instance since `since`. None without coredumpctl, or if it does not answer.
pub(super) fn list(registry: &Registry, name: &str, since: SystemTime) -> Vec<Core> {
    // coredumpctl knows the core dumps of this machine, not those of an image.
    if registry.root.is_some() {
        return Vec::new();
    }
    let mut command = Command::new("coredumpctl");
    let since = since.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    command.env("TZ", "UTC").args(["list", "--no-pager", "--no-legend", "--quiet"]);
    command.arg(format!("--since=@{since}"));
    let field = match registry.scope {
        Scope::System => "COREDUMP_UNIT",
        Scope::User => "COREDUMP_USER_UNIT",
    };
    command.arg(format!("{field}={}", unit_name(name)));
    let text = bounded::output(command, COREDUMPCTL_TIMEOUT).unwrap_or_default();
    text.lines().filter_map(core).collect()
}

/// Reads a line: weekday, date, time, zone, PID, UID, GID, signal, state of the file.
fn core(line: &str) -> Option<Core> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let millis = timestamp::parse(&words.get(..4)?.join(" "), 0).ok()?;
    let time = UNIX_EPOCH + Duration::from_millis(u64::try_from(millis).ok()?);
    let is_kept = matches!(words.get(8), Some(&("present" | "truncated" | "journal")));
    Some(Core { pid: words.get(4)?.parse().ok()?, time, is_kept })
}

/// The core dump of what ended so, or of one of its processes.
pub(super) fn of<'c>(cores: &'c [Core], end: &End) -> Option<&'c Core> {
    let ended = end.time.filter(|_| may_have_one(end))?;
    // The life of a server is not known.
    let started = ended.checked_sub(end.life.map_or(CORE_LATE, Duration::from_secs))?;
    let is_in_time =
        |core: &&Core| core.time + CORE_LATE >= started && core.time <= ended + CORE_LATE;
    let in_time = || cores.iter().rev().filter(is_in_time);
    in_time().find(|core| Some(core.pid) == end.pid).or_else(|| in_time().next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_coredumpctl() {
        let line = "Mon 2026-11-30 13:07:34 UTC 5919 1001 1001 SIGSEGV present /opt/ioc 20.1K";
        let time = UNIX_EPOCH + Duration::from_secs(1_796_044_054);
        assert_eq!(core(line), Some(Core { pid: 5919, time, is_kept: true }));
        assert!(
            core("Mon 2026-11-30 13:07:34 UTC 7 0 0 SIGSEGV missing").is_some_and(|it| !it.is_kept)
        );
        for line in ["", "No coredumps found.", "Mon 2026-11-30 13:07:34 UTC x", "a b c d 7"] {
            assert_eq!(core(line), None);
        }
    }
}
