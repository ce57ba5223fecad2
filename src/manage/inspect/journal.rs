//! What the journal tells of instances beside their output: how much of the output it has dropped, and
//! how servers have ended (systemd.journal-fields(7), sd-messages(3)).

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::unistd::Uid;
use serde_json::Value;

use super::bounded;
use super::ends::ServerExit;
use crate::manage::limits::{JOURNAL_ENTRIES, JOURNAL_SINCE, JOURNAL_TIMEOUT};
use crate::manage::registry::{Registry, Scope};

/// "Suppressed N messages from UNIT", by journald.
const DROPPED: &str = "a596d6fe7bfa4994828e72309e95d61e";

/// "Main process exited, code=killed, status=9/KILL", by systemd, unless a process ended in good order.
const EXITED: &str = "98e322203f7a4ed290d09fe03c09fe15";

const FIELDS: &str = "--output-fields=MESSAGE_ID,N_DROPPED,EXIT_CODE,EXIT_STATUS,UNIT,USER_UNIT,\
    OBJECT_SYSTEMD_UNIT,OBJECT_SYSTEMD_USER_UNIT,OBJECT_SYSTEMD_OWNER_UID,_UID";

/// What is known of an instance.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Notes {
    /// The lines that journald dropped within the last 24 hours.
    pub(crate) dropped: u64,
    /// How its servers ended within that time, newest first.
    pub(crate) exits: Vec<ServerExit>,
}

/// What is known of all instances, by name. Nothing of a journal that can't be read, or that takes
/// longer than [`JOURNAL_TIMEOUT`]; of many entries, only the newest [`JOURNAL_ENTRIES`] count.
pub(crate) fn notes(registry: &Registry) -> BTreeMap<String, Notes> {
    if registry.root.is_some() {
        return BTreeMap::new();
    }
    let since = SystemTime::now().checked_sub(JOURNAL_SINCE).unwrap_or(UNIX_EPOCH);
    let since = since.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut command = Command::new("journalctl");
    command.args(["--output=json", FIELDS, "--quiet", "--no-pager"]);
    // Before systemd 256, --lines has the oldest entries since a time unless they are reversed.
    command.args([
        "--reverse",
        &format!("--lines={JOURNAL_ENTRIES}"),
        &format!("--since=@{since}"),
    ]);
    // Alternatives, as both are of the same field.
    command.args([DROPPED, EXITED].map(|id| format!("MESSAGE_ID={id}")));
    let text = bounded::output(command, JOURNAL_TIMEOUT).unwrap_or_default();
    of_entries(&text, registry.scope)
}

fn of_entries(text: &str, scope: Scope) -> BTreeMap<String, Notes> {
    let mut all: BTreeMap<String, Notes> = BTreeMap::new();
    for entry in text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        let Some(name) = instance(&entry, scope) else { continue };
        let notes = all.entry(name.to_owned()).or_default();
        match field(&entry, "MESSAGE_ID") {
            Some(DROPPED) => notes.dropped += number(&entry, "N_DROPPED").unwrap_or(0),
            Some(EXITED) => notes.exits.extend(exit(&entry)),
            _ => {}
        }
    }
    all
}

/// The instance of an entry, if the instance is of this scope and, in that of a user, of this user.
fn instance(entry: &Value, scope: Scope) -> Option<&str> {
    let (fields, owner) = match scope {
        Scope::System => (["UNIT", "OBJECT_SYSTEMD_UNIT"], None),
        Scope::User => (["USER_UNIT", "OBJECT_SYSTEMD_USER_UNIT"], Some(Uid::current())),
    };
    let unit = fields.iter().find_map(|name| field(entry, name))?;
    // The messages of systemd are of its own user, those of journald name the user.
    let user = number(entry, "OBJECT_SYSTEMD_OWNER_UID").or_else(|| number(entry, "_UID"));
    let is_ours = owner.is_none_or(|owner| user == Some(owner.as_raw().into()));
    is_ours.then(|| unit.strip_prefix("procserv-")?.strip_suffix(".service"))?
}

fn exit(entry: &Value) -> Option<ServerExit> {
    let status = i64::try_from(number(entry, "EXIT_STATUS")?).ok()?;
    let has_exited = field(entry, "EXIT_CODE")? == "exited";
    let (code, signal) = if has_exited { (Some(status), None) } else { (None, Some(status)) };
    let micros = number(entry, "__REALTIME_TIMESTAMP")?;
    let time = UNIX_EPOCH.checked_add(Duration::from_micros(micros))?;
    Some(ServerExit { code, signal, time })
}

fn field<'e>(entry: &'e Value, name: &str) -> Option<&'e str> {
    entry.get(name)?.as_str()
}

fn number(entry: &Value, name: &str) -> Option<u64> {
    field(entry, name)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn entries_count_for_their_instance() {
        let uid = Uid::current().to_string();
        let entries = [
            json!({ "MESSAGE_ID": DROPPED, "N_DROPPED": "7", "OBJECT_SYSTEMD_UNIT": "procserv-a.b.service" }),
            json!({ "MESSAGE_ID": DROPPED, "N_DROPPED": "8", "OBJECT_SYSTEMD_UNIT": "procserv-a.b.service" }),
            json!({ "MESSAGE_ID": DROPPED, "N_DROPPED": "9", "OBJECT_SYSTEMD_UNIT": "other.service" }),
            json!({ "MESSAGE_ID": DROPPED, "N_DROPPED": "3", "OBJECT_SYSTEMD_UNIT": "user@1.service",
                "OBJECT_SYSTEMD_USER_UNIT": "procserv-u.service", "_UID": "0",
                "OBJECT_SYSTEMD_OWNER_UID": uid }),
            json!({ "MESSAGE_ID": DROPPED, "N_DROPPED": "4", "OBJECT_SYSTEMD_UNIT": "user@1.service",
                "OBJECT_SYSTEMD_USER_UNIT": "procserv-u.service", "OBJECT_SYSTEMD_OWNER_UID": "4294967294" }),
            json!({ "MESSAGE_ID": EXITED, "EXIT_CODE": "killed", "EXIT_STATUS": "9", "UNIT": "procserv-a.b.service",
                "__REALTIME_TIMESTAMP": "2000000" }),
            json!({ "MESSAGE_ID": EXITED, "EXIT_CODE": "exited", "EXIT_STATUS": "98", "UNIT": "procserv-a.b.service",
                "__REALTIME_TIMESTAMP": "1000000" }),
            json!({ "MESSAGE_ID": EXITED, "UNIT": "procserv-a.b.service" }),
        ];
        let text = entries.map(|entry| format!("{entry}\n")).concat() + "no entry\n";
        let exit = |code, signal, seconds| ServerExit {
            code,
            signal,
            time: UNIX_EPOCH + Duration::from_secs(seconds),
        };
        let exits = vec![exit(None, Some(9), 2), exit(Some(98), None, 1)];
        let notes = Notes { dropped: 15, exits };
        assert_eq!(of_entries(&text, Scope::System), [("a.b".to_owned(), notes)].into());
        let notes = Notes { dropped: 3, exits: Vec::new() };
        assert_eq!(of_entries(&text, Scope::User), [("u".to_owned(), notes)].into());
    }
}
