//! The writer of the log.

use super::*;

/// A worker that writes a file and syncs it by hand.
struct Fixture {
    worker: LogWriter,
    replies: LogReplies,
}

impl Fixture {
    fn new() -> Fixture {
        let file = tempfile::tempfile().unwrap();
        Fixture { worker: LogWriter::of_stdout(file), replies: LogReplies::detached() }
    }

    /// Writes this many bytes, and has the sync end so. Returns what was reported.
    fn write(&mut self, count: usize, sync_data: fn(&File) -> io::Result<()>) -> Vec<String> {
        self.worker.sync_data = sync_data;
        let mut chunk = Chunk::default();
        chunk.bytes = vec![b'x'; count];
        self.worker.work(LogJob::Write(chunk, 0), &self.replies);
        self.worker.on_deadline(&self.replies);
        self.reported()
    }

    fn reported(&self) -> Vec<String> {
        let replies = self.replies.sent().into_iter().filter_map(|reply| match reply {
            LogReply::State(Subsystem::Sync, Ok(())) => Some("ok".to_owned()),
            LogReply::State(Subsystem::Sync, Err(error)) => Some(error.kind().to_string()),
            LogReply::Unsynced(count) => Some(count.to_string()),
            _ => None,
        });
        replies.collect()
    }
}

fn fail(_: &File) -> io::Result<()> {
    Err(io::ErrorKind::StorageFull.into())
}

#[test]
fn failed_sync_is_reported_once_and_its_bytes_are_counted() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.write(1, |_| Ok(())), ["ok"]);
    assert_eq!(fixture.write(10, |_| Ok(())), [""; 0]);
    assert_eq!(fixture.write(100, fail), ["no storage space"]);
    assert_eq!(fixture.write(1000, fail), [""; 0]);
    assert_eq!(fixture.write(10_000, |_| Ok(())), ["1100", "ok"]);
    assert_eq!(fixture.write(1, |_| Ok(())), [""; 0]);
}

#[test]
fn next_program_is_told_of_bytes_that_are_not_synced() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.write(5, fail), ["no storage space"]);
    fixture.worker.work(LogJob::Quiesce, &fixture.replies);
    assert_eq!(fixture.reported(), ["5"]);
}

#[test]
fn file_system_without_sync_is_no_failure() {
    let mut fixture = Fixture::new();
    let unsupported = |_: &File| Err(io::Error::from_raw_os_error(nix::libc::EINVAL));
    assert_eq!(fixture.write(5, unsupported), [""; 0]);
    assert!(!fixture.worker.sync);
}
