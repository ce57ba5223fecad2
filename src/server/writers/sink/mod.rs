//! A file, standard output or syslog as a reader of the console stream: what the event loop does about
//! it. A thread of its own writes; the loop hands it chunks of the stream and takes its replies.
//!
//! After a failed write the chunks behind it come back unwritten: nothing is written after a gap
//! before the gap has been announced. Each failure begins a new epoch, and the thread bounces the
//! chunks that were handed to it in an older one.

mod finish;
mod place;

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;

use super::{FileChange, LogJob, LogReply, WorkerHandle};
use crate::console::changes::FileEnd;
use crate::console::clock::Monotonic;
use crate::console::event::{Sink, Subsystem};
use crate::console::stream::reader::ReaderSnapshot;
use crate::console::{Chunk, Console};
use crate::limits::{LOG_JOBS, LOG_RETRY, LOG_STALL_TIMEOUT};
use crate::sys;
use crate::sys::passage::Passage;

/// What happened to a sink since the last turn.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SinkEvent {
    /// A write failed for this reason.
    Failed(String),
    /// After a failure, a write succeeded.
    Recovered,
    /// SIGHUP: the file could not be opened anew for this reason, and the old one, if any, goes on.
    ReopenFailed(String),
    /// The first file was opened.
    Opened,
    /// This number of bytes was written, but may not have reached the disk.
    Unsynced(u64),
    /// This subsystem works, or does not for this reason.
    State(Subsystem, Result<(), String>),
}

/// Has the console stream written to a sink, by a thread.
pub(crate) struct SinkWriter<H> {
    sink: Sink,
    handle: H,
    /// The chunks that the thread has not replied to.
    in_flight: VecDeque<InFlight>,
    /// The chunks among them that are still to be handed over.
    prepared: Vec<Chunk>,
    /// A chunk to hand over before all others.
    first: Option<Begun>,
    /// True if it is noted where the sink goes on, for a server that finds this one killed.
    is_noted: bool,
    /// The end of the file behind what is known to be written, if it is known.
    end: Option<FileEnd>,
    /// True if the thread is about to change its file, and writes nothing meanwhile.
    changes_file: bool,
    /// True if the thread waits until the place is noted.
    thread_waits: bool,
    /// True if the place of the file has changed.
    moved: bool,
    /// The number of failures that are known.
    epoch: u64,
    /// After a failure: when to try again, and true if only new output makes that worth it.
    retry: Option<(Monotonic, bool)>,
    /// The number of times that the file is yet to be opened anew.
    reopening: usize,
    /// When a chunk was last written, or handed over to an idle thread.
    progress: Monotonic,
    /// During an upgrade, in which nothing is handed over.
    pause: Option<Pause>,
    /// The number of [`LogJob::Quiesce`] that the thread has not replied to.
    quiescing: usize,
    /// Where the thread's file is while no thread has it.
    passage: Option<Passage>,
    /// True if the thread has not opened its first file yet.
    opening: bool,
}

/// What is known of a chunk on its way to the file.
struct InFlight {
    /// How many bytes of the stream are missing if it is not written.
    lost: u64,
    /// The reader before the chunk was taken, if it is noted where the sink goes on.
    before: Option<ReaderSnapshot>,
    /// How many bytes of the chunk a writer before this one has written.
    inherited: u64,
    /// How many bytes of the chunk are before the known end of the file, or in older files.
    begun: u64,
    /// The number of failures that were known when the chunk was handed over.
    epoch: u64,
}

/// A chunk that another writer has begun to write.
pub(crate) struct Begun {
    /// What is left of it.
    pub(crate) rest: Chunk,
    /// The reader before the chunk was taken.
    pub(crate) before: ReaderSnapshot,
    /// How many bytes of it are written.
    pub(crate) written: u64,
}

/// A pause.
enum Pause {
    /// The thread still has a job.
    Waiting,
    /// The thread has no job left. Its file is here, unless it is in the passage or there is none.
    Resting(Option<OwnedFd>),
    /// The thread cannot make its file ready for another program.
    Failed(String),
}

impl<H: WorkerHandle<LogJob, LogReply>> SinkWriter<H> {
    /// Has the thread at the other end of `handle` write the stream to `sink`.
    pub(crate) fn new(sink: Sink, handle: H) -> SinkWriter<H> {
        SinkWriter {
            sink,
            handle,
            in_flight: VecDeque::new(),
            prepared: Vec::new(),
            first: None,
            is_noted: false,
            end: None,
            changes_file: false,
            thread_waits: false,
            moved: false,
            epoch: 0,
            retry: None,
            reopening: 0,
            progress: Monotonic(0),
            pause: None,
            quiescing: 0,
            passage: None,
            opening: false,
        }
    }

    /// Has the thread take its file out of `passage`, and put it there for the next program.
    pub(crate) fn with_passage(mut self, passage: Passage) -> SinkWriter<H> {
        self.passage = Some(passage);
        self
    }

    /// Has the thread open its file, of which there is none yet. [`SinkEvent::Opened`] or
    /// [`SinkEvent::ReopenFailed`] is the result.
    pub(crate) fn open(&mut self) {
        self.opening = true;
        self.reopen();
    }

    /// Returns true if the thread has not opened its first file yet.
    pub(crate) fn is_opening(&self) -> bool {
        self.opening
    }

    /// Has the thread finish its jobs. No chunk is handed to it until [`resume`](Self::resume).
    pub(crate) fn pause(&mut self) {
        self.pause = Some(Pause::Waiting);
        // Refused only by a thread that hangs.
        if self.handle.try_send(LogJob::Quiesce) {
            self.quiescing += 1;
        }
    }

    /// Returns true during a pause if the thread has finished its jobs.
    pub(crate) fn is_quiesced(&self) -> bool {
        matches!(self.pause, Some(Pause::Resting(_)))
    }

    /// The reason why the thread's file cannot be handed over, during a pause.
    pub(crate) fn refusal(&self) -> Option<&str> {
        match &self.pause {
            Some(Pause::Failed(reason)) => Some(reason),
            _ => None,
        }
    }

    /// The file that the thread has lent, once it has finished its jobs.
    pub(crate) fn lent_file(&self) -> Option<&OwnedFd> {
        match &self.pause {
            Some(Pause::Resting(file)) => file.as_ref(),
            _ => None,
        }
    }

    /// Returns where the thread's file is, once it has finished its jobs, if it was not lent.
    pub(crate) fn passage(&self) -> Option<&Passage> {
        self.passage.as_ref().filter(|_| self.is_quiesced() && !self.opening)
    }

    /// Ends the pause.
    pub(crate) fn resume(&mut self) {
        self.pause = None;
    }

    /// After a failure: when to try again, and true if only new output makes that worth it.
    pub(crate) fn retry(&self) -> Option<(Monotonic, bool)> {
        self.retry
    }

    /// Goes on after a failure that a server before this one had.
    pub(crate) fn with_retry(mut self, retry: Option<(Monotonic, bool)>) -> SinkWriter<H> {
        self.retry = retry;
        self
    }

    /// Writes a diagnostic line, unless too many jobs wait.
    pub(crate) fn write_line(&mut self, line: &str) {
        self.send(LogJob::Line(format!("{line}\n").into_bytes()));
    }

    /// Closes the file and opens it anew by its name.
    pub(crate) fn reopen(&mut self) {
        // Refused only if the thread hangs.
        if self.send(LogJob::Reopen) {
            self.reopening += 1;
        }
    }

    /// Hands over a job that is no chunk. Returns true if there was room for it.
    fn send(&mut self, job: LogJob) -> bool {
        let sent = self.handle.try_send(job);
        // The thread has to finish this job, too.
        if self.pause.is_some() {
            self.pause();
        }
        sent
    }

    /// Takes the thread's replies, and hands over new chunks. Returns what happened to the sink.
    pub(crate) fn turn(&mut self, console: &mut Console, now: Monotonic) -> Vec<SinkEvent> {
        let events = self.prepare(console, now);
        self.hand_over_prepared();
        events
    }

    /// The same, but new chunks are handed over only with
    /// [`hand_over_prepared`](Self::hand_over_prepared), once it is noted where they begin.
    pub(crate) fn prepare(&mut self, console: &mut Console, now: Monotonic) -> Vec<SinkEvent> {
        let mut events = Vec::new();
        self.handle.want(false);
        loop {
            while let Some(reply) = self.handle.receive() {
                self.take_back(reply, console, now, &mut events);
            }
            self.hand_over(console, now);
            let count = self.in_flight.len();
            let waits = self.retry.is_some() || self.waits_for_replies(console);
            if count < LOG_JOBS && (!waits || count == 0) {
                return events;
            }
            // The thread may have replied just before it was told to wake this one.
            self.handle.want(true);
            match self.handle.receive() {
                Some(reply) => self.take_back(reply, console, now, &mut events),
                None => return events,
            }
        }
    }

    fn hand_over(&mut self, console: &mut Console, now: Monotonic) {
        if self.pause.is_some() {
            return;
        }
        if let Some((at, on_output)) = self.retry {
            if now < at
                || !self.in_flight.is_empty()
                || (on_output && console.is_sink_drained(self.sink))
            {
                return;
            }
            console.discard_pending(self.sink);
            self.retry = Some((now + LOG_RETRY, on_output));
        }
        while self.in_flight.len() < LOG_JOBS
            && (self.in_flight.is_empty() || !self.waits_for_replies(console))
            && let Some((chunk, before, begun)) = self.next_chunk(console)
        {
            if self.in_flight.is_empty() {
                self.progress = now;
                self.moved = true;
            }
            self.in_flight.push_back(InFlight {
                lost: chunk.lost_for_good(0),
                before,
                inherited: begun,
                begun,
                epoch: self.epoch,
            });
            self.prepared.push(chunk);
        }
    }

    /// Returns true if the next chunk has to wait until all others are written: the reader before the
    /// first of them tells what is in all of them, but not where there are lines between them that are not
    /// in the stream.
    fn waits_for_replies(&self, console: &mut Console) -> bool {
        self.is_noted && console.begins_with_own_lines(self.sink)
    }

    /// Hands over what was prepared, and has a thread that waits for that go on.
    pub(crate) fn hand_over_prepared(&mut self) {
        for chunk in self.prepared.drain(..) {
            self.handle.send(LogJob::Write(chunk, self.epoch));
        }
        if std::mem::take(&mut self.thread_waits) {
            self.handle.proceed();
        }
    }

    /// The next chunk to write, with the reader before it and how many bytes of it are in the file.
    fn next_chunk(
        &mut self,
        console: &mut Console,
    ) -> Option<(Chunk, Option<ReaderSnapshot>, u64)> {
        if let Some(Begun { rest, before, written }) = self.first.take() {
            return Some((rest, Some(before), written));
        }
        let before = self.is_noted.then(|| console.sink_snapshot(self.sink)).flatten();
        Some((console.take(self.sink)?, before, 0))
    }

    /// When [`turn`](Self::turn) has something to do without being woken.
    pub(crate) fn deadline(&self, console: &Console) -> Option<Monotonic> {
        // The reply to a chunk wakes the event loop by itself.
        let idle = self.in_flight.is_empty() && self.pause.is_none();
        let (at, on_output) = self.retry.filter(|_| idle)?;
        (!on_output || !console.is_sink_drained(self.sink)).then_some(at)
    }

    /// Returns true if the file is yet to be opened anew.
    pub(crate) fn is_reopening(&self) -> bool {
        self.reopening > 0
    }

    /// Returns true if the last write failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.retry.is_some()
    }

    /// Returns until when a log that is full pauses the child, if the log makes no progress meanwhile.
    pub(crate) fn stall_deadline(&self) -> Monotonic {
        self.progress + LOG_STALL_TIMEOUT
    }

    fn take_back(
        &mut self,
        reply: LogReply,
        console: &mut Console,
        now: Monotonic,
        events: &mut Vec<SinkEvent>,
    ) {
        match reply {
            LogReply::Written(end) => {
                self.in_flight.pop_front();
                (self.end, self.moved) = (end, true);
                self.progress = now;
                if self.retry.take().is_some() {
                    events.push(SinkEvent::Recovered);
                }
            }
            LogReply::Failed(chunk, written, error) => {
                self.moved = true;
                if let Some(chunk) = self.in_flight.pop_front()
                    && let Some(end) = &mut self.end
                {
                    end.len += chunk.inherited + written as u64 - chunk.begun;
                }
                self.epoch += 1;
                console.lost(self.sink, &chunk, written, true);
                // Nobody will ever read from a broken pipe again.
                let on_output = error.kind() == io::ErrorKind::BrokenPipe;
                self.retry = Some((now + LOG_RETRY, on_output));
                events.push(SinkEvent::Failed(sys::reason(&error)));
            }
            LogReply::Bounced(chunk) => {
                self.in_flight.pop_front();
                console.lost(self.sink, &chunk, 0, false);
            }
            LogReply::Waits(FileChange { written, end, is_to_come }) => {
                if let Some(chunk) = self.in_flight.front_mut() {
                    chunk.begun = chunk.inherited + written as u64;
                }
                (self.end, self.changes_file) = (end, is_to_come);
                (self.moved, self.thread_waits) = (true, true);
            }
            LogReply::Reopened(result) => {
                self.reopening = self.reopening.saturating_sub(1);
                if let Err(error) = result {
                    events.push(SinkEvent::ReopenFailed(sys::reason(&error)));
                } else if std::mem::take(&mut self.opening) {
                    events.push(SinkEvent::Opened);
                } else if let Some((at, _)) = &mut self.retry {
                    *at = now;
                }
            }
            LogReply::Unsynced(count) => events.push(SinkEvent::Unsynced(count)),
            LogReply::State(subsystem, result) => {
                let result = result.map_err(|error| sys::reason(&error));
                events.push(SinkEvent::State(subsystem, result));
            }
            LogReply::Quiesced(result) => {
                self.quiescing -= 1;
                // Jobs were sent after an earlier request to quiesce.
                if let (Some(pause), 0) = (&mut self.pause, self.quiescing) {
                    *pause = match result {
                        Ok(file) => Pause::Resting(file),
                        Err(error) => Pause::Failed(sys::reason(&error)),
                    };
                }
            }
        }
    }
}
