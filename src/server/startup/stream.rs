//! The console stream of a server that starts: in memory that outlives the server, and after a crash with
//! everything that the last one had read.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::console::Console;
use crate::console::changes::FileEnd;
use crate::console::event::Sink;
use crate::console::stream::ring::Ring;
use crate::limits::{LOG_JOB_MAX, LOG_JOBS};
use crate::server::memory;
use crate::server::os::Notify;
use crate::server::os::fdstore::FdStore;
use crate::server::writers::log_file::file_end;
use crate::server::writers::sink::Begun;

/// The most that a writer which is killed has appended of its jobs, stamps of short lines included.
const APPENDED_MAX: u64 = 64 * (LOG_JOBS * LOG_JOB_MAX) as u64;

/// Has the console's stream in the store, where it `is` already after a crash. Without memory for that
/// it stays in that of the process.
pub(crate) fn hold_stream<N: Notify>(store: &mut FdStore<N>, console: &mut Console, is: bool) {
    if !is {
        let (tail, bytes) = console.held();
        let Some(ring) = ring_with(store.memory(), tail, &bytes) else {
            return;
        };
        console.use_ring(ring);
    }
    store.hold_stream();
}

fn ring_with(memory: &File, tail: u64, bytes: &[u8]) -> Option<Box<dyn Ring>> {
    let mut ring = memory::new_ring(memory, tail).ok()?;
    if !bytes.is_empty() && !ring.grow(bytes.len(), 0) {
        return None;
    }
    ring.push(bytes);
    Some(ring)
}

/// The end of the log before the first chunk that it lacks, and that chunk if it has a part of it.
pub(crate) type LogPlace = (Option<FileEnd>, Option<Begun>);

/// The log that a server before this one may have written, for reading, if it is a regular file.
pub(crate) fn written_log(path: &Path) -> Option<File> {
    // A pipe would be waited for.
    let is_file = std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file());
    is_file.then(|| File::open(path).ok()).flatten()
}

/// Goes on with a log of which only the part up to `end` is known to have been written: what was
/// appended since is found in the file, and is not written again. Returns `None` if the file is another
/// one, or has something else there.
pub(crate) fn continue_log(console: &mut Console, log: &File, end: FileEnd) -> Option<LogPlace> {
    let now = file_end(log)?;
    let is_same = (end.device, end.inode) == (now.device, now.inode);
    let appended = now.len.checked_sub(end.len).filter(|count| is_same && *count < APPENDED_MAX)?;
    let mut appended_bytes = vec![0; usize::try_from(appended).ok()?];
    log.read_exact_at(&mut appended_bytes, end.len).ok()?;
    continue_behind(console, end, &appended_bytes)
}

/// The same with the bytes that the file has behind `end`.
pub(crate) fn continue_behind(
    console: &mut Console,
    end: FileEnd,
    appended: &[u8],
) -> Option<LogPlace> {
    let first = console.sink_snapshot(Sink::Log)?;
    console.keep_for(Sink::Log, first.cursor());
    let place = find(console, end, appended);
    if place.is_none() {
        console.rewind_log(first);
    }
    place
}

fn find(console: &mut Console, mut end: FileEnd, mut appended: &[u8]) -> Option<LogPlace> {
    while !appended.is_empty() {
        let before = console.sink_snapshot(Sink::Log)?;
        let chunk = console.take(Sink::Log)?;
        match appended.strip_prefix(&*chunk.bytes) {
            Some(rest) => appended = rest,
            None if chunk.bytes.starts_with(appended) => {
                let written = appended.len() as u64;
                let rest = chunk.rest(appended.len());
                return Some((Some(end), Some(Begun { rest, before, written })));
            }
            None => return None,
        }
        end.len += chunk.bytes.len() as u64;
    }
    Some((Some(end), None))
}
