//! The console stream of a server that starts: in memory that outlives the server, and after a crash with
//! everything that the last one had read.

use std::fs::File;
use std::os::unix::fs::{DirEntryExt, FileExt};
use std::path::Path;

use crate::console::Console;
use crate::console::changes::{self, FileEnd};
use crate::console::event::Sink;
use crate::console::stream::ring::Ring;
use crate::limits::{LOG_JOB_MAX, LOG_JOBS};
use crate::server::memory;
use crate::server::os::Notify;
use crate::server::os::fdstore::FdStore;
use crate::server::writers::log_file::file_end;
use crate::server::writers::sink::Begun;

/// The most that a writer which is killed has appended of its jobs, stamps of short lines included.
const APPENDED_MAX: usize = 64 * LOG_JOBS * LOG_JOB_MAX;

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

/// The end of the log's file, and the chunk that was begun before it, if there is one.
pub(crate) type LogPlace = (Option<FileEnd>, Option<Begun>);

/// What a server that was killed has written to the log with the name `path` behind the last `place`
/// that it noted; `None` if that cannot be found.
pub(crate) fn written_behind(path: Option<&Path>, place: &changes::LogPlace) -> Option<Vec<u8>> {
    if place.rests {
        return Some(Vec::new());
    }
    let Some(end) = place.end else {
        // Nobody knows how much of it went into a pipe, which may get it twice.
        return (!path.is_some_and(Path::is_file)).then(Vec::new);
    };
    let log = file_of(path?, &end).or_else(|| renamed(path?, &end))?;
    let count = log.metadata().ok()?.len().checked_sub(end.len)?;
    let count = usize::try_from(count).ok().filter(|count| *count < APPENDED_MAX)?;
    let mut bytes = vec![0; count];
    log.read_exact_at(&mut bytes, end.len).ok()?;
    Some(bytes)
}

/// The file with this name, for reading, if it is the one that has this end.
fn file_of(path: &Path, end: &FileEnd) -> Option<File> {
    // A pipe would be waited for.
    let file = path.is_file().then(|| File::open(path).ok())??;
    file_end(&file).is_some_and(|found| found.is_in_file_of(end)).then_some(file)
}

/// The file that has this end, if it was given another name in the directory of the log.
fn renamed(path: &Path, end: &FileEnd) -> Option<File> {
    // A symbolic link stays when the file that it points to is renamed.
    let target = path.read_link().map_or(path.to_owned(), |target| path.with_file_name(target));
    let directory = target.parent().filter(|parent| !parent.as_os_str().is_empty());
    let entries = directory.unwrap_or(Path::new(".")).read_dir().ok()?;
    let mut same = entries.flatten().filter(|entry| entry.ino() == end.inode);
    same.find_map(|entry| file_of(&entry.path(), end))
}

/// Goes on with a log that has so many bytes behind its place, and then those that were `appended`: none
/// of them is written again. Returns the chunk that was begun, if there is one.
///
/// # Errors
/// The file has something else.
pub(crate) fn continue_log(
    console: &mut Console,
    begun: u64,
    appended: &[u8],
) -> Result<Option<Begun>, NotTheLog> {
    let first = console.sink_snapshot(Sink::Log).ok_or(NotTheLog)?;
    console.keep_for(Sink::Log, first.cursor());
    let place = find(console, begun, appended);
    if place.is_err() {
        console.rewind_log(first);
    }
    place
}

/// What a file has is not what was to be written to it.
#[derive(Debug)]
pub(crate) struct NotTheLog;

fn find(
    console: &mut Console,
    begun: u64,
    mut appended: &[u8],
) -> Result<Option<Begun>, NotTheLog> {
    let mut begun = usize::try_from(begun).map_err(|_| NotTheLog)?;
    while begun > 0 || !appended.is_empty() {
        let before = console.sink_snapshot(Sink::Log).ok_or(NotTheLog)?;
        let chunk = console.take(Sink::Log).ok_or(NotTheLog)?;
        let skipped = begun.min(chunk.bytes.len());
        begun -= skipped;
        let next = chunk.bytes.get(skipped..).unwrap_or_default();
        match appended.strip_prefix(next) {
            Some(rest) => appended = rest,
            None if next.starts_with(appended) => {
                let written = skipped + appended.len();
                let rest = chunk.rest(written);
                return Ok(Some(Begun { rest, before, written: written as u64 }));
            }
            None => return Err(NotTheLog),
        }
    }
    Ok(None)
}
