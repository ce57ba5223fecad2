//! The end of a sink: what is left is written, though not for ever.

use super::{SinkEvent, SinkWriter};
use crate::console::Console;
use crate::console::clock::Monotonic;
use crate::console::event::Sink;
use crate::limits::{LOG_ABANDON, LOG_LINGER};
use crate::server::writers::{LogJob, LogReply, WorkerHandle};

impl<H: WorkerHandle<LogJob, LogReply>> SinkWriter<H> {
    /// At the end: hands over the rest of the stream and waits until it is written, though not for
    /// ever. `now` tells the time. Returns what there is to say of bytes that are not in the sink.
    pub(crate) fn finish(
        mut self,
        console: &mut Console,
        now: impl Fn() -> Monotonic,
    ) -> Vec<String> {
        let deadline = now() + LOG_LINGER;
        let left = || deadline.saturating_duration_since(now());
        let mut events = Vec::new();
        // A sink that has failed gets a last chance.
        if let Some((at, _)) = &mut self.retry {
            *at = now();
        }
        loop {
            events.extend(self.turn(console, now()));
            if self.in_flight.is_empty() {
                break;
            }
            match self.handle.wait(left()) {
                Some(reply) => self.take_back(reply, console, now(), &mut events),
                None => {
                    self.abandon(console, &now, &mut events);
                    break;
                }
            }
        }
        self.handle.close(left());
        while let Some(reply) = self.handle.receive() {
            self.take_back(reply, console, now(), &mut events);
        }
        let unsynced = events.iter().map(|event| match event {
            SinkEvent::Unsynced(count) => *count,
            _ => 0,
        });
        let unsynced: u64 = unsynced.sum();
        // Nobody wants to know what a broken pipe lacks.
        let unwritten = match self.retry {
            Some((_, true)) => 0,
            _ => {
                console.unwritten(self.sink)
                    + self.in_flight.iter().map(|chunk| chunk.lost).sum::<u64>()
            }
        };
        let name = match self.sink {
            Sink::Log => "the log",
            Sink::Stdout => "standard output",
            Sink::Syslog => "syslog",
        };
        [
            (unwritten, format!("{unwritten} bytes were not written to {name}")),
            (unsynced, format!("{unsynced} bytes of {name} may not have reached the disk")),
        ]
        .into_iter()
        .filter_map(|(count, text)| (count > 0).then_some(text))
        .collect()
    }

    /// Has the thread give up, and takes note of how far it got. Of a thread that hangs in a system call
    /// nobody knows.
    fn abandon(
        &mut self,
        console: &mut Console,
        now: &impl Fn() -> Monotonic,
        events: &mut Vec<SinkEvent>,
    ) {
        let (replies, lacking) = self.handle.abandon();
        replies.into_iter().for_each(|reply| self.take_back(reply, console, now(), events));
        if let Some(lacking) = lacking {
            if let Some(first) = self.in_flight.front_mut() {
                first.lost = lacking;
            }
            return;
        }
        let deadline = now() + LOG_ABANDON;
        while !self.in_flight.is_empty()
            && let Some(reply) = self.handle.wait(deadline.saturating_duration_since(now()))
        {
            self.take_back(reply, console, now(), events);
        }
    }
}
