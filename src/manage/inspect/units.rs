//! What systemd knows of units (`systemctl show`, org.freedesktop.systemd1(5)).

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::bounded;
use crate::manage::limits::{SHOWN_AT_ONCE, SYSTEMCTL_TIMEOUT};
use crate::manage::registry::{Registry, Scope};
use crate::manage::timestamp;

/// The properties of a unit that commands look at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct UnitStatus {
    properties: BTreeMap<String, String>,
}

impl UnitStatus {
    /// The value of a property, empty if systemd has none.
    pub(crate) fn get(&self, property: &str) -> &str {
        self.properties.get(property).map_or("", String::as_str)
    }

    /// The time in a property whose name ends with `Timestamp`.
    pub(crate) fn time(&self, property: &str) -> Option<SystemTime> {
        let millis = timestamp::parse(self.get(property), 0).ok()?;
        Some(UNIX_EPOCH + Duration::from_millis(u64::try_from(millis).ok()?))
    }

    /// Returns true if the unit is in the state `failed`, or waits for its next start after a
    /// failure.
    pub(crate) fn has_failed(&self) -> bool {
        self.get("ActiveState") == "failed" || self.restarts_itself()
    }

    /// Returns true if systemd starts the unit again soon (`Restart=`).
    pub(crate) fn restarts_itself(&self) -> bool {
        self.get("SubState").starts_with("auto-restart")
    }

    /// Returns true if a condition of the unit does not hold, so that a start did nothing.
    pub(crate) fn was_skipped(&self) -> bool {
        self.get("ConditionResult") == "no" && self.get("ActiveState") == "inactive"
    }

    /// Why the unit has failed.
    pub(crate) fn failure(&self) -> String {
        let status = self.get("ExecMainStatus");
        match self.get("Result") {
            "exit-code" => match EXIT_STATUS.iter().find(|(number, ..)| *number == status) {
                Some((number, name, meaning)) => format!("{meaning} ({number}/{name})"),
                None => format!("exit status {status}"),
            },
            "signal" => format!("killed by signal {status}"),
            "core-dump" => format!("killed by signal {status}, with a core dump"),
            "start-limit-hit" => "started too often in too short a time".to_owned(),
            "resources" => "systemd could not prepare its start".to_owned(),
            "oom-kill" => "killed for lack of memory".to_owned(),
            "success" | "" => "no reason given".to_owned(),
            other => other.to_owned(),
        }
    }
}

/// Exit statuses by which systemd says why it could not execute a program (systemd.exec(5)).
const EXIT_STATUS: [(&str, &str, &str); 10] = [
    ("200", "CHDIR", "its directory can't be entered"),
    ("203", "EXEC", "its program can't be executed"),
    ("209", "STDOUT", "its standard output can't be opened"),
    ("214", "SETSCHEDULER", "its scheduling can't be set"),
    ("216", "GROUP", "its group does not exist"),
    ("217", "USER", "its user does not exist"),
    ("218", "CAPABILITIES", "its capabilities can't be set"),
    ("226", "NAMESPACE", "its file system can't be set up"),
    ("228", "SECCOMP", "its system call filter can't be set"),
    ("233", "RUNTIME_DIRECTORY", "its run directory can't be made"),
];

const PROPERTIES: &str = "Id,LoadState,ActiveState,SubState,Result,ExecMainStatus,NRestarts,\
    ConditionResult,UnitFileState,StateChangeTimestamp,ExecMainExitTimestamp";

/// The status of each of these units, by name.
///
/// # Errors
/// Why systemd can't be asked, in a few words.
pub(crate) fn show(
    registry: &Registry,
    units: &[String],
) -> Result<BTreeMap<String, UnitStatus>, String> {
    let mut found = BTreeMap::new();
    // A busy systemd needs seconds for a thousand units.
    for units in units.chunks(SHOWN_AT_ONCE) {
        let words = ["show", "--property", PROPERTIES, "--"];
        let words = words.into_iter().chain(units.iter().map(String::as_str));
        let text = ask(registry, &words.collect::<Vec<_>>())?;
        found.extend(text.split("\n\n").filter_map(block));
    }
    Ok(found)
}

/// The same in one call: of many units, those that are loaded.
///
/// # Errors
/// Those of [`show`].
pub(crate) fn show_together(
    registry: &Registry,
    units: &[String],
) -> Result<BTreeMap<String, UnitStatus>, String> {
    if units.len() <= SHOWN_AT_ONCE {
        return show(registry, units);
    }
    let text = ask(registry, &["show", "--property", PROPERTIES, "--", "procserv-*.service"])?;
    Ok(text.split("\n\n").filter_map(block).collect())
}

/// The names of the loaded units that a pattern of instance names matches.
///
/// # Errors
/// Those of [`show`].
pub(crate) fn loaded(registry: &Registry, pattern: &str) -> Result<Vec<String>, String> {
    let unit = format!("procserv-{pattern}.service");
    let text = ask(registry, &["list-units", "--all", "--plain", "--full", "--no-legend", &unit])?;
    let name = |line: &str| {
        let unit = line.split_whitespace().next()?;
        Some(unit.strip_prefix("procserv-")?.strip_suffix(".service")?.to_owned())
    };
    Ok(text.lines().filter_map(name).collect())
}

/// What systemctl prints. systemd may not answer, or not for long.
fn ask(registry: &Registry, words: &[&str]) -> Result<String, String> {
    let mut command = Command::new("systemctl");
    // Times are shown in the time zone of the caller, whose abbreviation says little.
    command.env("TZ", "UTC");
    if registry.scope == Scope::User {
        command.arg("--user");
    }
    command.args(words);
    bounded::output(command, SYSTEMCTL_TIMEOUT)
}

fn block(text: &str) -> Option<(String, UnitStatus)> {
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    let properties: BTreeMap<String, String> =
        pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    Some((properties.get("Id")?.clone(), UnitStatus { properties }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_a_unit_has_failed() {
        let text =
            "Id=procserv-a.service\nActiveState=failed\nResult=exit-code\nExecMainStatus=217\n";
        let (name, status) = block(text).unwrap();
        assert_eq!(name, "procserv-a.service");
        assert!(status.has_failed() && !status.was_skipped());
        assert_eq!(status.time("StateChangeTimestamp"), None);
        assert_eq!(status.failure(), "its user does not exist (217/USER)");
        assert_eq!(block("ActiveState=failed\n"), None);
        let (_, status) = block("Id=a\nT=Mon 2026-11-30 13:07:34 UTC\nU=n/a\nV=").unwrap();
        let time = UNIX_EPOCH + Duration::from_secs(1_796_044_054);
        assert_eq!(["T", "U", "V"].map(|it| status.time(it)), [Some(time), None, None]);
    }
}
