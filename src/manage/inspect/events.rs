//! The events files of instances (docs/events.md), merged by time.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use chrono::DateTime;
use serde::Deserialize;

use super::bounded;
use super::rotated::{self, Position, Tail};
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
    /// The instance has no events file.
    Off,
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

/// The events of instances between two times in milliseconds since the epoch, merged by time, and
/// what is known of each instance's file. Of much more than [`TAILS_MAX`] bytes the oldest are left
/// out.
pub(crate) fn between(
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
    // Events of the same time, of one server in most cases, keep their order.
    events.sort_by_key(|event| event.millis);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_event_is_left_out() {
        let text = b"{\"v\":1,\"time\":\"1970-01-01T01:00:00.007+01:00\",\"event\":\"x\"}\n\
            half\n{\"time\":7}\n\n[1]\n{\"time\":\"1970-01-01T00:00:01Z\"}\n\xff\n";
        let times: Vec<i64> = parse("a", text).map(|event| event.millis).collect();
        assert_eq!(times, [7, 1000]);
        assert_eq!(first_time(b"no\n"), None);
    }
}
