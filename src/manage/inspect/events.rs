//! The events files of instances (docs/events.md), merged by time.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use chrono::DateTime;
use serde::Deserialize;

use super::rotated::{self, Position, Tail};
use super::{bounded, journal_events};
use crate::manage::limits::{TAIL_MIN, TAILS_MAX};
use crate::manage::registry::{Instance, Registry};

/// A line of an events file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    /// The name of the instance.
    pub(crate) instance: String,
    /// When it happened, in milliseconds since the epoch.
    pub(crate) millis: i64,
    /// The line, a JSON object, without its end.
    pub(crate) line: Vec<u8>,
}

/// What can be said of the events file of an instance.
#[derive(Debug)]
pub(crate) enum Look {
    /// The instance records no events.
    Off,
    /// The instance has no events file, but sends events to the journal.
    Journal,
    /// The file was read up to this position. `None`: it is not there yet.
    Read { file: PathBuf, position: Option<Position>, is_cut: bool },
    /// The file can't be read.
    Failed(PathBuf, io::Error),
    /// The disk does not answer.
    NoAnswer,
}

/// The events file of an instance. `None`: the instance records no events.
pub(crate) fn file(registry: &Registry, instance: &Instance) -> Option<PathBuf> {
    // Parsing all options takes longer than reading the end of a file. They may be abbreviated.
    let words = &mut instance.options.iter().chain(&instance.command);
    if !words.any(|word| word.starts_with("--e")) {
        return instance.events.then(|| instance.events_file(registry));
    }
    let events = instance.server_config(registry).ok()?.files.events?;
    Some(registry.in_root(&instance.chdir.join(events)))
}

/// Returns true if the instance sends its events to the journal.
fn is_in_journal(registry: &Registry, instance: &Instance) -> bool {
    let mut words = instance.options.iter().chain(&instance.command);
    let may_differ = words.any(|word| word.starts_with("--e"));
    let config = may_differ.then(|| instance.server_config(registry).ok()).flatten();
    config.map_or(instance.events_journal, |config| config.files.events_journal)
}

/// What is known of the events of instances.
#[derive(Debug)]
pub(crate) struct Found {
    /// The events, merged by time.
    pub(crate) events: Vec<Event>,
    /// What can be said of each instance's file, by name.
    pub(crate) looks: BTreeMap<String, Look>,
    /// The result of a look at the journal, if one was needed: true if its oldest events are left out, or
    /// why the journal can't be read.
    pub(crate) journal: Option<Result<bool, String>>,
}

/// The events of instances between two times in milliseconds since the epoch. An event that is in both the
/// file and the journal is there once. Of much more than [`TAILS_MAX`] bytes the oldest are left out.
pub(crate) fn between(
    registry: &Registry,
    instances: &[Instance],
    since: i64,
    until: i64,
) -> Found {
    let (mut events, mut looks) = in_files(registry, instances, since, until);
    let sends = |instance: &&Instance| is_in_journal(registry, instance);
    let names: Vec<String> =
        instances.iter().filter(sends).map(|instance| instance.name.clone()).collect();
    for name in &names {
        looks.entry(name.clone()).and_modify(|look| {
            if matches!(look, Look::Off) {
                *look = Look::Journal;
            }
        });
    }
    // Another root's journal is not that of this machine.
    let journal = (!names.is_empty() && registry.root.is_none())
        .then(|| journal_events::between(registry, &names, since, until));
    let journal = journal.map(|read| {
        let (others, is_cut) = read?;
        add_missing(&mut events, others, &looks);
        Ok(is_cut)
    });
    // Events of the same time, of one server in most cases, keep their order.
    events.sort_by_key(|event| event.millis);
    Found { events, looks, journal }
}

/// Adds the events of the journal that are not among those of files. A server gives an event the same time
/// in both, though a long event is shorter in the journal.
fn add_missing(events: &mut Vec<Event>, others: Vec<Event>, looks: &BTreeMap<String, Look>) {
    let key = |event: &Event| (event.instance.clone(), event.millis, kind(&event.line));
    let mut known: BTreeMap<_, usize> = BTreeMap::new();
    for event in &*events {
        *known.entry(key(event)).or_default() += 1;
    }
    for event in others {
        let count = known.entry(key(&event)).or_default();
        // What the journal lacks is in the file.
        let has_file = matches!(looks.get(&event.instance), Some(Look::Read { .. }));
        if *count > 0 {
            *count -= 1;
        } else if !(has_file && kind(&event.line) == "events_lost") {
            events.push(event);
        }
    }
}

/// The events in files, and what is known of each instance's file.
fn in_files(
    registry: &Registry,
    instances: &[Instance],
    since: i64,
    until: i64,
) -> (Vec<Event>, BTreeMap<String, Look>) {
    let max = (TAILS_MAX / instances.len().max(1)).max(TAIL_MIN);
    let looked = registry.clone();
    let tails = bounded::each(instances.to_vec(), move |instance| {
        let file = file(&looked, &instance)?;
        let is_older = |bytes: &[u8]| first_time(bytes).is_some_and(|millis| millis < since);
        let tail = rotated::tail(&file, max, is_older).map(|Tail { bytes, is_cut, position }| {
            let found = parse(&instance.name, &bytes);
            let found = found.filter(|event| (since..=until).contains(&event.millis));
            (found.collect::<Vec<_>>(), is_cut, position)
        });
        Some((file, tail))
    });
    let mut events = Vec::new();
    let mut looks = BTreeMap::new();
    for (instance, look) in instances.iter().zip(tails) {
        let look = match look {
            None => Look::NoAnswer,
            Some(None) => Look::Off,
            Some(Some((file, Ok((found, is_cut, position))))) => {
                events.extend(found);
                Look::Read { file, position, is_cut }
            }
            Some(Some((file, Err(error)))) if error.kind() == io::ErrorKind::NotFound => {
                Look::Read { file, position: None, is_cut: false }
            }
            Some(Some((file, Err(error)))) => Look::Failed(file, error),
        };
        looks.insert(instance.name.clone(), look);
    }
    (events, looks)
}

/// The events in lines of a file. What is none is left out.
pub(crate) fn parse(instance: &str, bytes: &[u8]) -> impl Iterator<Item = Event> {
    let lines = bytes.split(|&byte| byte == b'\n');
    lines.filter_map(move |line| {
        let millis = time(line)?;
        Some(Event { instance: instance.to_owned(), millis, line: line.to_vec() })
    })
}

/// The time of the first event.
fn first_time(bytes: &[u8]) -> Option<i64> {
    bytes.split(|&byte| byte == b'\n').find_map(time)
}

fn time(line: &[u8]) -> Option<i64> {
    #[derive(Deserialize)]
    struct Stamp<'a> {
        #[serde(borrow)]
        time: Cow<'a, str>,
    }
    let stamp: Stamp = serde_json::from_slice(line).ok()?;
    DateTime::parse_from_rfc3339(&stamp.time).ok().map(|time| time.timestamp_millis())
}

/// The name of what happened.
fn kind(line: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Kind {
        event: String,
    }
    serde_json::from_slice(line).map_or_else(|_| String::new(), |kind: Kind| kind.event)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_both_is_there_once() {
        let event = |instance: &str, millis: i64, event: &str| Event {
            instance: instance.to_owned(),
            millis,
            line: format!("{{\"event\":\"{event}\"}}").into_bytes(),
        };
        let look = || Look::Read { file: "f".into(), position: None, is_cut: false };
        let looks = [("a".to_owned(), look()), ("b".to_owned(), Look::Journal)].into();
        let mut events =
            vec![event("a", 1, "connect"), event("a", 1, "connect"), event("a", 2, "command")];
        let others = vec![
            event("a", 1, "connect"),
            event("a", 1, "connect"),
            event("a", 1, "connect"),
            event("a", 2, "signal"),
            event("a", 2, "command"),
            event("a", 3, "events_lost"),
            event("b", 1, "connect"),
            event("b", 3, "events_lost"),
        ];
        let added = [&others[..1], &others[3..4], &others[6..]].concat();
        let expected = [events.clone(), added].concat();
        add_missing(&mut events, others, &looks);
        assert_eq!(events, expected);
    }

    #[test]
    fn what_is_no_event_is_left_out() {
        let text = b"{\"v\":1,\"time\":\"1970-01-01T01:00:00.007+01:00\",\"event\":\"x\"}\n\
            half\n{\"time\":7}\n\n[1]\n{\"time\":\"1970-01-01T00:00:01Z\"}\n\xff\n";
        let times: Vec<i64> = parse("a", text).map(|event| event.millis).collect();
        assert_eq!(times, [7, 1000]);
        assert_eq!(first_time(b"no\n"), None);
    }
}
