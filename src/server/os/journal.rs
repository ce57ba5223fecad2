//! The socket of systemd's journal.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

/// The socket that journald receives entries from.
pub(crate) const JOURNAL_SOCKET: &str = "/run/systemd/journal/socket";

/// The way of entries into the journal.
pub(crate) trait SendEntry {
    /// Sends an entry. Never waits.
    ///
    /// # Errors
    /// The journal has no room for the entry now (`WouldBlock`), or nobody receives entries.
    fn send(&mut self, entry: &[u8]) -> io::Result<()>;
}

/// The socket of a journal.
#[derive(Debug)]
pub(crate) struct JournalSocket {
    path: PathBuf,
    socket: Option<UnixDatagram>,
}

impl JournalSocket {
    /// The socket with this name, which need not exist.
    pub(crate) fn new(path: &Path) -> JournalSocket {
        JournalSocket { path: path.to_owned(), socket: None }
    }
}

impl SendEntry for JournalSocket {
    fn send(&mut self, entry: &[u8]) -> io::Result<()> {
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => {
                let socket = UnixDatagram::unbound()?;
                socket.set_nonblocking(true)?;
                socket
            }
        };
        // By its name each time: journald that was started anew may have another socket.
        let socket = self.socket.insert(socket);
        loop {
            match socket.send_to(entry, &self.path) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result.map(|_| ()),
            }
        }
    }
}
