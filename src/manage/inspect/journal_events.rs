//! The events that servers have sent to the journal (`--events journal`, docs/monitoring.md).

use std::collections::BTreeMap;
use std::process::Command;

use nix::unistd::Uid;
use serde_json::Value;

use super::bounded;
use super::events::{self, Event};
use crate::manage::limits::{JOURNAL_EVENTS, JOURNAL_EVENTS_TIMEOUT, JOURNAL_LATE};
use crate::manage::registry::{Registry, Scope, unit_name};

const FIELDS: &str = "--output-fields=PROCSERV_JSON,_SYSTEMD_UNIT,_SYSTEMD_USER_UNIT,_UID";

/// The events of the instances `names` between two times in milliseconds since the epoch, in the order
/// of the journal. Also returns true if there are so many that the oldest are left out.
///
/// # Errors
/// Why the journal can't be read, in a few words.
pub(crate) fn between(
    registry: &Registry,
    names: &[String],
    since: i64,
    until: i64,
) -> Result<(Vec<Event>, bool), String> {
    let mut command = Command::new("journalctl");
    // Before systemd 256, --lines has the oldest entries since a time unless they are reversed.
    command.args(["--output=json", "--all", "--quiet", "--no-pager", "--reverse", FIELDS]);
    command.arg(format!("--lines={JOURNAL_EVENTS}"));
    // An entry may come later than its event. journalctl takes no time before 1970.
    if since > 0 {
        command.arg(format!("--since=@{}", since / 1000));
    }
    if (0..i64::MAX - JOURNAL_LATE).contains(&until) {
        command.arg(format!("--until=@{}", (until + JOURNAL_LATE) / 1000));
    }
    // Both have to match.
    command.args(["SYSLOG_IDENTIFIER=procServ", "_TRANSPORT=journal"]);
    let text = bounded::output(command, JOURNAL_EVENTS_TIMEOUT)?;
    let is_cut = text.lines().count() >= JOURNAL_EVENTS;
    let mut events = of_entries(&text, names, registry.scope);
    events.retain(|event| (since..=until).contains(&event.millis));
    Ok((events, is_cut))
}

/// The events in entries, of which the last is the oldest.
fn of_entries(text: &str, names: &[String], scope: Scope) -> Vec<Event> {
    let units: BTreeMap<String, &str> =
        names.iter().map(|name| (unit_name(name), name.as_str())).collect();
    let entries = text.lines().rev().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let events = entries.filter_map(|entry| {
        let name = units.get(unit(&entry, scope)?)?;
        events::parse(name, &bytes(entry.get("PROCSERV_JSON")?)?).next()
    });
    events.collect()
}

/// The unit that sent an entry, as journald knows it: of this user in the scope of a user.
fn unit(entry: &Value, scope: Scope) -> Option<&str> {
    let field = |name: &str| entry.get(name)?.as_str();
    match scope {
        Scope::System => field("_SYSTEMD_UNIT"),
        Scope::User => field("_SYSTEMD_USER_UNIT")
            .filter(|_| field("_UID") == Some(&Uid::current().to_string())),
    }
}

/// The bytes of a field: journalctl has a list of them where not all can be printed.
fn bytes(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::String(text) => Some(text.clone().into_bytes()),
        Value::Array(bytes) => bytes.iter().map(|byte| u8::try_from(byte.as_u64()?).ok()).collect(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn entries_count_for_the_unit_that_sent_them() {
        let event = |pid: u32| {
            json!({ "time": "1970-01-01T00:00:01Z", "event": "child_start", "pid": pid })
                .to_string()
        };
        let uid = Uid::current().to_string();
        let unit = "procserv-a.service";
        let entries = [
            json!({ "PROCSERV_JSON": event(2).into_bytes(), "_SYSTEMD_UNIT": unit }),
            json!({ "PROCSERV_JSON": event(1), "_SYSTEMD_UNIT": unit }),
            json!({ "PROCSERV_JSON": event(3), "_SYSTEMD_UNIT": "procserv-b.service" }),
            json!({ "PROCSERV_JSON": event(4), "_SYSTEMD_UNIT": "a.service", "PROCSERV_INSTANCE": "a" }),
            json!({ "PROCSERV_JSON": event(5), "PROCSERV_INSTANCE": "a" }),
            json!({ "PROCSERV_JSON": "no event", "_SYSTEMD_UNIT": unit }),
            json!({ "PROCSERV_JSON": [event(6), event(7)], "_SYSTEMD_UNIT": unit }),
            json!({ "PROCSERV_JSON": [1000], "_SYSTEMD_UNIT": unit }),
            json!({ "PROCSERV_JSON": null, "_SYSTEMD_UNIT": unit }),
            json!({ "PROCSERV_JSON": event(8), "_SYSTEMD_UNIT": "user@1.service",
                "_SYSTEMD_USER_UNIT": unit, "_UID": uid }),
            json!({ "PROCSERV_JSON": event(9), "_SYSTEMD_USER_UNIT": unit, "_UID": "4294967294" }),
        ];
        let text = entries.map(|entry| format!("{entry}\n")).concat() + "no entry\n";
        let found = |scope| {
            let events = of_entries(&text, &["a".to_owned()], scope);
            assert!(events.iter().all(|event| event.instance == "a"));
            let pid = |event: &Event| {
                serde_json::from_slice::<Value>(&event.line).unwrap()["pid"].as_u64()
            };
            events.iter().filter_map(pid).collect::<Vec<_>>()
        };
        assert_eq!(found(Scope::System), [1, 2]);
        assert_eq!(found(Scope::User), [8]);
    }
}
