//! The checks at the end of a run: everybody has what they are owed.

use std::time::Duration;

use super::settings::{HOLDOFF, READY, settings_of};
use super::trace::{after_greeting, past, plain, trace_back, unsynced, without_notes};
use super::{Run, upgrade};

impl Run {
    pub(super) fn check(&mut self) {
        self.stream_len();
        let world = self.world.borrow();
        let stream = &world.pipes[&self.reference].received[self.greeting..];
        for (id, joined) in &self.clients {
            let pipe = &world.pipes[id];
            if pipe.token.is_none() {
                let refused = pipe.closed || self.server.exit.is_some();
                assert!(refused, "client {id} was neither served nor refused");
                continue;
            }
            assert_eq!(pipe.closed, self.server.exit.is_some(), "client {id}");
            if pipe.closed && pipe.received.is_empty() {
                assert_eq!(
                    joined.1,
                    stream.len(),
                    "client {id} came before it was decided to leave"
                );
                continue;
            }
            let rest = after_greeting(&pipe.received);
            let plain = if pipe.raw { rest.to_vec() } else { plain(rest) };
            let tail = b" bytes skipped: this connection reads too slowly\r\n";
            let from = trace_back(stream, &plain, tail);
            let from = from.unwrap_or_else(|error| panic!("client {id}: {error}"));
            let history = settings_of(self.seed).console.history;
            let begin = |joined| past(&stream[..joined], history);
            assert!(
                (begin(joined.0)..=begin(joined.1)).contains(&from),
                "client {id} begins at {from}, joined in {joined:?}"
            );
        }
        for (id, pipe) in &world.pipes {
            if pipe.token.is_some() && !pipe.closed {
                let stays = pipe.half_closes && !pipe.hung_up;
                let heard = pipe.inbound.is_empty() && (stays || !pipe.ended);
                assert!(heard, "{id} is not heard any more");
            }
        }
        for pipe in world.pipes.values().filter(|pipe| pipe.is_child) {
            let heard = String::from_utf8_lossy(&pipe.received);
            assert!(!heard.contains("watched"), "a viewer has typed");
        }
        let disk = without_notes(&world.disk);
        // What the server left behind, and says so, is the end of the stream.
        let left = world
            .stderr
            .iter()
            .find_map(|line| line.strip_suffix(" bytes were not written to the log")?.parse().ok());
        assert!(left.is_none() || world.abandoned, "{:?}", world.stderr);
        let kept = &stream[..stream.len() - left.unwrap_or(0)];
        let from = trace_back(kept, &disk, b" bytes are missing here\r\n");
        assert_eq!(from, Ok(0), "the log begins too late, or is not the stream");
        if self.server.exit.is_some() {
            assert!(world.kept.is_empty(), "left with the service manager: {:?}", world.kept);
        }
        let lines = world.disk.split_inclusive(|&byte| byte == b'\n');
        let notes: Vec<u64> = lines.filter_map(unsynced).collect();
        // What was reported while the server left is not in the log.
        let all = if self.server.exit.is_some() { notes.len() } else { world.notes.len() };
        assert_eq!(Some(notes.as_slice()), world.notes.get(..all), "failed syncs");
        self.check_records(&world);
        self.check_programs(&world);
        self.check_notifications(&world.notifications);
        let heard = stream.windows(READY.len()).any(|window| window == READY);
        assert!(self.server.console.status().ready || !heard, "not ready");
        assert!(self.server.old_child.is_none() || self.server.exit.is_some(), "two children stay");
        // Children that are started beside another one do not wait.
        let alone = settings_of(self.seed).restart.overlap.is_none();
        for pair in world.starts.windows(2).filter(|_| alone) {
            let apart = Duration::from_nanos(pair[1] - pair[0]);
            // A user may start a child earlier; in runs without input, nobody did.
            assert!(apart >= HOLDOFF || self.typed > 0, "started after {apart:?}");
        }
    }
}

impl Run {
    /// The service manager knows the present status, and was notifications of readiness once at the start
    /// and once after each reload.
    fn check_notifications(&self, notifications: &[String]) {
        let status = self.server.console.status();
        let line = format!("STATUS={}", status.line(b"sim"));
        let last = notifications.iter().rfind(|message| message.starts_with("STATUS="));
        let mut reloads = None;
        for message in notifications {
            match message.as_str() {
                "READY=1" => assert!(reloads != Some(false), "ready again"),
                upgrade::NEW => {
                    reloads = None;
                    continue;
                }
                _ if message.starts_with("RELOADING=1\n") => {
                    assert!(reloads.is_some(), "reloads what was not ready");
                }
                _ => continue,
            }
            reloads = Some(message != "READY=1");
        }
        if status.leaving {
            // A message for which there is no room at the end is lost.
            let last = notifications.rsplit(|message| message == upgrade::NEW).next().unwrap();
            // The child may end after that.
            let mut after = last.iter().skip_while(|message| *message != "STOPPING=1").skip(1);
            assert!(after.all(|message| message.starts_with("STATUS=")), "{last:?}");
        } else {
            assert_eq!(last, Some(&line));
            assert_eq!(reloads, status.ready.then_some(false), "{notifications:?}");
        }
    }
}
