//! The readers of the console stream that are not clients: each takes the stream in chunks, and
//! learns by them what is missing in its file.

use super::chunk::Chunk;
use super::reader::{ReaderSnapshot, StreamReader};
use crate::console::clock::Timestamps;
use crate::console::event::Sink;
use crate::console::{Console, messages};
use crate::limits::{PTY_BUDGET, STREAM_BUFFER_MAX};

impl Console {
    /// Returns true if the next bytes for a sink are lines that other sinks do not get.
    pub fn begins_with_own_lines(&mut self, sink: Sink) -> bool {
        let Console { sinks, stream, .. } = self;
        sinks.get_mut(&sink).is_some_and(|reader| reader.begins_with_own_lines(stream))
    }

    /// Takes the next bytes for a sink; `None` if there are none.
    pub fn take(&mut self, sink: Sink) -> Option<Chunk> {
        self.sinks.get_mut(&sink)?.take(&self.stream, &*self.formatter)
    }

    /// Keeps the stream from this offset on, because the sink may need it once more, after a crash.
    pub fn keep_for(&mut self, sink: Sink, offset: u64) {
        self.kept_for.insert(sink, offset);
    }

    /// Has the log go on as this reader.
    pub fn rewind_log(&mut self, reader: ReaderSnapshot) {
        let (encoding, head) = (self.settings.log_encoding(), self.stream.head());
        if let Ok(reader) = StreamReader::restore(reader, encoding, head) {
            self.sinks.insert(Sink::Log, reader);
        }
    }

    /// Takes note that a chunk of a sink failed after its first `written` bytes: the lost bytes will
    /// be announced. `first` is false for chunks that were taken before the failure was known.
    pub fn lost(&mut self, sink: Sink, chunk: &Chunk, written: usize, first: bool) {
        if let Some(reader) = self.sinks.get_mut(&sink) {
            let before = reader.lost_total();
            reader.lost(chunk, written, first);
            // The status file shows how much is lost.
            self.revision += u64::from(reader.lost_total() != before);
        }
    }

    /// Returns true if a sink has been given everything.
    pub fn is_sink_drained(&self, sink: Sink) -> bool {
        self.sinks.get(&sink).is_none_or(|reader| reader.cursor() == self.stream.head())
    }

    /// Counts everything that a sink has not been given as lost.
    pub fn discard_pending(&mut self, sink: Sink) {
        if let Some(reader) = self.sinks.get_mut(&sink) {
            let before = reader.lost_total();
            reader.discard_pending(&self.stream);
            self.revision += u64::from(reader.lost_total() != before);
        }
    }

    /// Returns how many bytes of the stream a sink lacks and has not been told of.
    pub fn unwritten(&self, sink: Sink) -> u64 {
        self.sinks.get(&sink).map_or(0, |reader| reader.unwritten(&self.stream))
    }

    /// How many bytes of the stream a sink was given, and how many it lacks; `None` without that sink.
    pub fn sink_totals(&self, sink: Sink) -> Option<(u64, u64)> {
        let reader = self.sinks.get(&sink)?;
        Some((reader.taken_total(), reader.lost_total()))
    }

    /// Returns true if a log was asked for.
    pub fn has_log(&self) -> bool {
        self.settings.log.target.is_some()
    }

    /// Returns true if the log has room for another read from the child's terminal. With a history
    /// it would have more.
    pub fn log_has_room(&self) -> bool {
        let most = STREAM_BUFFER_MAX.min(self.stream.capacity());
        let room = most.saturating_sub(2 * PTY_BUDGET) as u64;
        let log = self.sinks.get(&Sink::Log);
        let kept = self.kept_for.get(&Sink::Log).copied().unwrap_or(u64::MAX);
        log.is_none_or(|log| self.stream.head().saturating_sub(log.cursor().min(kept)) <= room)
    }

    /// Takes note that the last `count` bytes of the log may not have reached the disk.
    pub fn log_unsynced(&mut self, count: u64, now: Timestamps) {
        self.say_to_log(&messages::unsynced(count), self.settings.as_shown(now));
    }

    /// Says a line to the log alone, if there is one.
    pub(crate) fn say_to_log(&mut self, text: &[u8], now: Timestamps) {
        if let Some(log) = self.sinks.get_mut(&Sink::Log) {
            log.append_private(text, now.wall, &*self.formatter);
        }
    }

    /// Takes note that the first log is being opened. If it can be opened, it begins here: an opening
    /// may take long, and what is said meanwhile belongs to the log.
    pub fn begin_log(&mut self) {
        self.log_begin = Some(self.stream.head());
    }

    /// Begins the log where its opening began, unless there is one already.
    pub(crate) fn open_log(&mut self) {
        let begin = self.log_begin.take().unwrap_or(self.stream.head());
        let encoding = self.settings.log_encoding();
        self.sinks.entry(Sink::Log).or_insert_with(|| StreamReader::new(begin, encoding));
    }
}
