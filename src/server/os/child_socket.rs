//! A socket that the server opens for its child (`--listen`). Nothing is ever accepted here.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use super::listening_socket::{is_at, remove_file};
use crate::handover::state::{ChildSocketState, Descriptor, Text};
use crate::sys::file::FileId;

/// A socket for the child. When it is dropped, its socket file is removed if it still belongs to
/// the socket.
#[derive(Debug)]
pub(crate) struct ChildSocket {
    socket: OwnedFd,
    /// The address as given on the command line.
    uri: Vec<u8>,
    /// The name of the socket in LISTEN_FDNAMES.
    name: Vec<u8>,
    file: Option<(PathBuf, FileId)>,
    /// True if the service manager passed the socket, and so keeps it anyway.
    pub(crate) passed: bool,
}

impl ChildSocket {
    /// A socket that listens at `uri`, with its socket file.
    pub(crate) fn new(
        socket: OwnedFd,
        uri: Vec<u8>,
        name: Vec<u8>,
        file: Option<(PathBuf, FileId)>,
        passed: bool,
    ) -> ChildSocket {
        ChildSocket { socket, uri, name, file, passed }
    }

    /// The name of the socket in LISTEN_FDNAMES.
    pub(crate) fn name(&self) -> &[u8] {
        &self.name
    }

    /// Takes over a socket that another server opened.
    pub(crate) fn adopt(socket: OwnedFd, state: &ChildSocketState) -> ChildSocket {
        let path = state.uri.0.strip_prefix(b"unix://");
        let path = path.map(|path| PathBuf::from(OsString::from_vec(path.to_vec())));
        ChildSocket {
            socket,
            uri: state.uri.0.clone(),
            name: state.name.0.clone(),
            file: path.zip(state.file),
            passed: state.passed,
        }
    }

    /// Returns true if the socket file is gone, or belongs to another socket.
    pub(crate) fn is_lost(&self) -> bool {
        self.file.as_ref().is_some_and(|(path, id)| !is_at(path, *id))
    }

    /// What the server's successor has to know of the socket.
    ///
    /// # Errors
    /// fstat(2) fails.
    pub(crate) fn state(&self) -> io::Result<ChildSocketState> {
        Ok(ChildSocketState {
            uri: Text(self.uri.clone()),
            socket: Descriptor::of(self)?,
            name: Text(self.name.clone()),
            file: self.file.as_ref().map(|(_, id)| *id),
            passed: self.passed,
        })
    }
}

impl AsFd for ChildSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for ChildSocket {
    fn drop(&mut self) {
        if let Some((path, id)) = &self.file {
            remove_file(path, *id);
        }
    }
}
