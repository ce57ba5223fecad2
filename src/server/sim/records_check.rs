//! The check of the events file and of the status file.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Run;
use super::threads::{QueueHandle, records_handle};
use super::world::{Shared, World};
use crate::server::records::{Records, RecordsJob, RecordsReply, ServerInfo};

/// The records, with both files.
pub(super) fn records(world: &Shared) -> Records<QueueHandle<RecordsJob, RecordsReply>> {
    Records::new(records_handle(world), ServerInfo::default(), true, true)
}

impl Run {
    /// Every connection, child and upgrade is in the events file once, in a possible order, and the
    /// status file shows the present state.
    pub(super) fn check_records(&self, world: &World) {
        let text = String::from_utf8(world.events.clone()).unwrap();
        let events: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let mut count = BTreeMap::<&str, usize>::new();
        let mut present = BTreeMap::new();
        let mut children = Vec::new();
        let most = if self.server.console.has_overlap() { 2 } else { 1 };
        for event in &events {
            let kind = event["event"].as_str().unwrap();
            *count.entry(kind).or_default() += 1;
            let client = event["client"]["id"].as_u64();
            match kind {
                "connect" => {
                    let pid = event["client"]["pid"].as_u64().unwrap();
                    assert!(present.insert(client.unwrap(), pid).is_none(), "twice: {event}");
                }
                "disconnect" => assert!(present.remove(&client.unwrap()).is_some(), "{event}"),
                "command" | "skipped" => {
                    let pid = event["client"]["pid"].as_u64();
                    assert_eq!(present.get(&client.unwrap()).copied(), pid, "{event}");
                }
                "child_start" => {
                    children.push(event["pid"].as_i64());
                    assert!(children.len() <= most, "{children:?} at once");
                }
                "child_exit" => {
                    let pid = event["pid"].as_i64();
                    let found = children.iter().position(|&child| child == pid);
                    children.remove(found.unwrap_or_else(|| panic!("{event} without a start")));
                }
                _ => {}
            }
        }
        let count = |kind| count.get(kind).copied().unwrap_or(0);
        assert_eq!(count("child_start") + count("child_start_failed"), world.starts.len());
        assert_eq!(count("server_upgrade"), self.upgrades);
        let connected = world
            .pipes
            .iter()
            .filter(|(id, pipe)| pipe.token.is_some() && self.everybody.contains(id));
        let connected = connected.count();
        if self.server.exit.is_some() {
            assert!(present.is_empty(), "{present:?} never left");
            // A connection that is accepted while the server leaves is no client any more.
            assert!((1..=connected).contains(&count("connect")));
            assert_eq!(count("server_exit"), 1);
            assert_eq!(world.status, None, "the status file is left");
            return;
        }
        assert_eq!(count("connect"), connected, "{text}");
        let there = world.pipes.iter().filter(|(id, pipe)| {
            pipe.token.is_some() && !pipe.closed && self.everybody.contains(id)
        });
        let there: Vec<u64> = there.map(|(&id, _)| id).collect();
        let mut pids: Vec<u64> = present.into_values().collect();
        pids.sort_unstable();
        assert_eq!(pids, there);
        let status: Value = serde_json::from_slice(world.status.as_ref().unwrap()).unwrap();
        let clients = status["clients"].as_array().unwrap();
        let mut pids: Vec<u64> =
            clients.iter().map(|client| client["pid"].as_u64().unwrap()).collect();
        pids.sort_unstable();
        assert_eq!(pids, there);
        assert_eq!(status["child"]["pid"].as_i64(), children.pop().flatten());
        assert_eq!(status["restarts"], count("child_start").saturating_sub(1));
    }
}
