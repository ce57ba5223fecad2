//! Where a sink goes on, for a server that finds this one killed.

use super::{Begun, SinkWriter};
use crate::console::Console;
use crate::console::changes::{FileEnd, LogPlace};
use crate::server::writers::{LogJob, LogReply, WorkerHandle};

impl<H: WorkerHandle<LogJob, LogReply>> SinkWriter<H> {
    /// Keeps track of its [`place`](Self::place) from now on, which costs the thread a system call and
    /// the event loop a copy for each chunk. The file ends at `end`, and a chunk may have been begun.
    pub(crate) fn noting_places(
        mut self,
        end: Option<FileEnd>,
        begun: Option<Begun>,
    ) -> SinkWriter<H> {
        (self.is_noted, self.end, self.first) = (true, end, begun);
        self.handle.send(LogJob::ReportEnds);
        self
    }

    /// What the file has for certain, and where the stream goes on behind that; `None` if that is not
    /// kept track of.
    pub(crate) fn place(&self, console: &Console) -> Option<LogPlace> {
        if !self.is_noted {
            return None;
        }
        // Chunks that were handed over before a failure come back.
        let bounced = self.in_flight.iter().filter(|chunk| chunk.epoch != self.epoch);
        let lost: u64 = bounced.map(|chunk| chunk.lost).sum();
        if lost > 0 {
            let mut reader = console.sink_snapshot(self.sink)?;
            reader.lack(lost);
            return Some(LogPlace { reader, end: self.end, begun: 0, rests: true });
        }
        let in_flight = self.in_flight.front().map(|chunk| (chunk.before.as_ref(), chunk.begun));
        let next = in_flight.or(self.first.as_ref().map(|it| (Some(&it.before), it.written)));
        let (before, begun) = next.unwrap_or_default();
        let reader = before.cloned().or_else(|| console.sink_snapshot(self.sink))?;
        let rests = self.changes_file || in_flight.is_none();
        Some(LogPlace { reader, end: self.end, begun, rests })
    }

    /// The end of the file, if it is known, once the thread has finished its jobs.
    pub(crate) fn end(&self) -> Option<FileEnd> {
        self.end.filter(|_| self.is_quiesced())
    }

    /// Returns true if the place has changed since this was last asked.
    pub(crate) fn has_moved(&mut self) -> bool {
        std::mem::take(&mut self.moved) && self.is_noted
    }
}
