//! An event as an entry of systemd's journal, in the form that journald takes
//! (https://systemd.io/JOURNAL_NATIVE_PROTOCOL). docs/monitoring.md describes the fields.

use serde_json::Value;

use crate::event_text::sentence;
use crate::limits::{JOURNAL_EVENT_MAX, JOURNAL_LIST_MAX, JOURNAL_MESSAGE_MAX, JOURNAL_TEXT_MAX};

/// A kind of event, as journald knows it.
struct Kind {
    /// The name of the event in the events file.
    event: &'static str,
    /// The MESSAGE_ID, which is never changed.
    id: &'static str,
    /// The severity of syslog(3).
    priority: u8,
}

const fn kind(event: &'static str, id: &'static str, priority: u8) -> Kind {
    Kind { event, id, priority }
}

const KINDS: [Kind; 21] = [
    kind("server_start", "eb83a8e6812b49188cebc5ab445b8d1d", 5),
    kind("server_restart", "73a404dcc8224694a20ac8b3b6ccd894", 4),
    kind("server_upgrade", "83ae925852f84132a9cf0bd814a05680", 5),
    kind("upgrade_failed", "42fe2f3e9aad49fabedb25f535f24c9c", 3),
    kind("server_exit", "8c4b6a79e2bb4021bd73ec5988a33650", 5),
    kind("connect", "2471b546617443dcbdeaf5f7f57d9cab", 6),
    kind("disconnect", "a5e3927d8067465f800bb5270763888c", 6),
    kind("refuse", "014c200577354700a4b6fd7f80a02c30", 4),
    kind("command", "f291ea57694a4f1381a87f0f13257cc2", 5),
    kind("signal", "fb0d9bc6de1a458489fb30e605145b89", 5),
    kind("child_start", "1568f9034f194d82b5646e464fa3d28b", 6),
    kind("child_start_failed", "3a8caebe1bcd4190acb21ae72bc9a51d", 3),
    kind("child_ready", "df5d2ad897ae4e188ed5de63e971382d", 6),
    kind("terminal_closed", "0280b961e5a14ba88af9bcecd8df6adf", 4),
    kind("child_exit", "9d230e21c31f4700b2a978f3e8321206", 4),
    kind("trouble", "63eaacceadd24bf0aa99188be45ace37", 3),
    kind("recovery", "e1eec61108284f01ac37a699fd10d942", 5),
    kind("accept_failed", "b053d6b101624ca8b25644d0e056b68f", 3),
    kind("input", "9651fef8314a467c87a723f1de9bd9a9", 6),
    kind("skipped", "70d603b57faa40fc960b2b178f207d7c", 4),
    kind("events_lost", "bd56b7152ec94bf19f171fa128d203e7", 4),
];

/// The severity `notice`, that of a child which ended with status 0.
const NOTICE: u8 = 5;

/// Returns the entry for an event of the server `name`. `line` is the event as the events file has it, and
/// `user` describes a user as in `oper (uid 1001)`.
pub(super) fn entry(name: &str, line: &[u8], user: &dyn Fn(u32) -> String) -> Vec<u8> {
    let mut event: Value = serde_json::from_slice(line).unwrap_or_default();
    let mut json = String::from_utf8_lossy(line.trim_ascii_end());
    if line.len() > JOURNAL_EVENT_MAX {
        shorten(&mut event);
        if let Some(fields) = event.as_object_mut() {
            fields.insert("shortened".to_owned(), Value::Bool(true));
        }
        json = event.to_string().into();
    }
    let text = |key: &str| event.get(key).and_then(Value::as_str).unwrap_or_default();
    let kind = KINDS.iter().find(|kind| kind.event == text("event"));
    let name = cut(name, JOURNAL_TEXT_MAX);
    let mut entry = Vec::new();
    let message = printable(&format!("{name}: {}", sentence(&event, user)));
    field(&mut entry, "MESSAGE", cut(&message, JOURNAL_MESSAGE_MAX));
    if let Some(Kind { id, priority, .. }) = kind {
        let has_succeeded = event.get("code").and_then(Value::as_u64) == Some(0);
        let priority = if has_succeeded { NOTICE } else { *priority };
        field(&mut entry, "MESSAGE_ID", id);
        field(&mut entry, "PRIORITY", &priority.to_string());
    }
    field(&mut entry, "SYSLOG_IDENTIFIER", "procServ");
    field(&mut entry, "PROCSERV_INSTANCE", name);
    field(&mut entry, "PROCSERV_JSON", &json);
    fields(&mut entry, "PROCSERV", &event);
    entry
}

/// Adds a field for each value in `value`: one below `client` gets a name such as `PROCSERV_CLIENT_UID`.
fn fields(entry: &mut Vec<u8>, name: &str, value: &Value) {
    match value {
        Value::Object(inner) => {
            for (key, value) in inner {
                fields(entry, &format!("{name}_{}", key.to_ascii_uppercase()), value);
            }
        }
        Value::Null => {}
        Value::String(text) => field(entry, name, text),
        other => field(entry, name, &other.to_string()),
    }
}

/// Adds a field. A value with a line end has its length before it, in 64 bits, low byte first.
fn field(entry: &mut Vec<u8>, name: &str, value: &str) {
    entry.extend_from_slice(name.as_bytes());
    if value.contains('\n') {
        entry.push(b'\n');
        entry.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        entry.push(b'=');
    }
    entry.extend_from_slice(value.as_bytes());
    entry.push(b'\n');
}

/// Shortens long texts and lists.
fn shorten(value: &mut Value) {
    match value {
        Value::String(text) => *text = cut(text, JOURNAL_TEXT_MAX).to_owned(),
        Value::Array(values) => {
            values.truncate(JOURNAL_LIST_MAX);
            values.iter_mut().for_each(shorten);
        }
        Value::Object(fields) => fields.values_mut().for_each(shorten),
        _ => {}
    }
}

/// Returns at most the first `max` bytes, and no part of a character.
fn cut(text: &str, max: usize) -> &str {
    let ends = (0..=max.min(text.len())).rev();
    ends.into_iter().find_map(|end| text.get(..end)).unwrap_or_default()
}

/// Writes control characters as Rust does, such as `\n` and `\u{1b}`: a terminal may show the text.
fn printable(text: &str) -> String {
    let mut shown = String::new();
    for letter in text.chars() {
        if letter.is_control() {
            shown.extend(letter.escape_default());
        } else {
            shown.push(letter);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const MONITORING_MD: &str = include_str!("../../../../docs/monitoring.md");

    /// Reads an entry as journald does.
    fn read(mut entry: &[u8]) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        while !entry.is_empty() {
            let end = entry.iter().position(|&byte| byte == b'\n').unwrap();
            let (line, rest) = (&entry[..end], &entry[end + 1..]);
            let (name, value);
            if let Some(at) = line.iter().position(|&byte| byte == b'=') {
                (name, value) = (&line[..at], &line[at + 1..]);
                entry = rest;
            } else {
                let (length, rest) = rest.split_first_chunk().unwrap();
                let length = u64::from_le_bytes(*length) as usize;
                (name, value) = (line, &rest[..length]);
                assert_eq!(rest[length], b'\n');
                entry = &rest[length + 1..];
            }
            let name = String::from_utf8(name.to_vec()).unwrap();
            // What journald asks of a name.
            assert!(
                name.len() <= 64 && name.starts_with(|letter: char| letter.is_ascii_uppercase())
            );
            assert!(name.chars().all(|letter| matches!(letter, 'A'..='Z' | '0'..='9' | '_')));
            let value = String::from_utf8(value.to_vec()).unwrap();
            assert_eq!(found.insert(name, value), None);
        }
        found
    }

    fn entry_of(name: &str, event: &Value) -> BTreeMap<String, String> {
        read(&entry(name, format!("{event}\n").as_bytes(), &|uid| format!("uid {uid}")))
    }

    #[test]
    fn fields_of_an_event() {
        let client = json!({ "id": 3, "role": "user", "endpoint": "unix:/a\nb", "uid": 1001 });
        let event =
            json!({ "v": 1, "time": "t", "event": "command", "command": "kill", "client": client });
        let found = entry_of("ioc\u{1b}1", &event);
        let json = event.to_string();
        let expected = [
            ("MESSAGE", r"ioc\u{1b}1: killed by uid 1001 at unix:/a\nb"),
            ("MESSAGE_ID", "f291ea57694a4f1381a87f0f13257cc2"),
            ("PRIORITY", "5"),
            ("SYSLOG_IDENTIFIER", "procServ"),
            ("PROCSERV_INSTANCE", "ioc\u{1b}1"),
            ("PROCSERV_JSON", &json),
            ("PROCSERV_V", "1"),
            ("PROCSERV_TIME", "t"),
            ("PROCSERV_EVENT", "command"),
            ("PROCSERV_COMMAND", "kill"),
            ("PROCSERV_CLIENT_ID", "3"),
            ("PROCSERV_CLIENT_ROLE", "user"),
            ("PROCSERV_CLIENT_ENDPOINT", "unix:/a\nb"),
            ("PROCSERV_CLIENT_UID", "1001"),
        ];
        assert_eq!(found, expected.map(|(name, value)| (name.into(), value.into())).into());
    }

    #[test]
    fn a_child_that_ends_well_is_no_warning() {
        for (end, priority) in [(json!(0), "5"), (json!(1), "4")] {
            let event = json!({ "event": "child_exit", "pid": 1, "code": end });
            assert_eq!(entry_of("a", &event)["PRIORITY"], priority);
        }
    }

    #[test]
    fn every_kind_is_documented_and_has_an_id_of_its_own() {
        let ids: BTreeSet<&str> = KINDS.iter().map(|kind| kind.id).collect();
        assert_eq!(ids.len(), KINDS.len());
        for Kind { event, id, priority } in KINDS {
            assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()));
            let row = format!("| `{event}` | `{id}` | {priority} |");
            assert!(MONITORING_MD.contains(&row), "no row {row}");
        }
        for event in crate::server::records::tests::examples() {
            let name = event["event"].as_str().unwrap();
            assert!(KINDS.iter().any(|kind| kind.event == name), "{name}");
        }
    }

    /// journald and the socket take about 200 kB at once.
    const DATAGRAM_MAX: usize = 200_000;

    #[test]
    fn the_largest_events_are_cut() {
        let words = vec!["\0".repeat(10_000); 100];
        let endpoints = vec![json!({ "role": "user", "endpoint": "\n".repeat(10_000) }); 100];
        let event = json!({ "event": "server_start", "name": "\0".repeat(10_000), "argv": words,
            "endpoints": endpoints, "version": "\"".repeat(100_000) });
        let name = "\u{1f600}".repeat(100_000);
        let bytes = entry(&name, event.to_string().as_bytes(), &|_| String::new());
        assert!(bytes.len() < DATAGRAM_MAX, "{}", bytes.len());
        let found = read(&bytes);
        assert_eq!(found["PROCSERV_SHORTENED"], "true");
        let event: Value = serde_json::from_str(&found["PROCSERV_JSON"]).unwrap();
        assert_eq!(event["event"], "server_start");
        let largest =
            json!({ "event": "input", "text": "\u{1}".repeat(JOURNAL_EVENT_MAX / 6 - 20) });
        let bytes = entry(&name, largest.to_string().as_bytes(), &|_| String::new());
        assert!(bytes.len() < DATAGRAM_MAX && !read(&bytes).contains_key("PROCSERV_SHORTENED"));
    }

    proptest! {
        #[test]
        fn no_text_becomes_another_field(name: String, text: String, end in "[\n=]{0,3}[A-Z_]{0,9}[\n=]") {
            let text = text + "\n" + &end;
            let event = json!({ "event": "trouble", "with": "log", "reason": text });
            let found = entry_of(&name, &event);
            prop_assert_eq!(found.len(), 9);
            prop_assert_eq!(&found["PROCSERV_REASON"], &text);
            prop_assert!(found["PROCSERV_INSTANCE"].len() == name.len() || name.len() > JOURNAL_TEXT_MAX);
            prop_assert!(!found["MESSAGE"].contains(char::is_control));
            prop_assert_eq!(&serde_json::from_str::<Value>(&found["PROCSERV_JSON"]).unwrap(), &event);
        }

        #[test]
        fn what_is_no_event_is_an_entry(line: Vec<u8>) {
            read(&entry("a", &line, &|_| String::new()));
        }
    }
}
