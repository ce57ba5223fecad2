//! What keeps the server from starting, in procServ's words, with its exit status.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;

use crate::config::endpoint::Endpoint;
use crate::sys;

/// The reason why the server was not started.
#[derive(Debug)]
pub enum StartupError {
    /// An endpoint could not be opened (contract section 2). The exit status is the errno.
    Endpoint {
        /// The endpoint.
        endpoint: Endpoint,
        /// `control`, `log` or `api`.
        kind: &'static str,
        /// The error of the system.
        error: io::Error,
    },
    /// A socket for the child could not be opened.
    Listen {
        /// The address as given.
        uri: Vec<u8>,
        /// The error of the system.
        error: io::Error,
    },
    /// The limit of open files is too low for what the server opens itself.
    OpenFiles {
        /// How many descriptors are missing.
        missing: u64,
        /// The hard limit.
        limit: u64,
    },
    /// The system refuses something that no server can do without.
    System {
        /// What was being done, as a verb with its object.
        what: &'static str,
        /// The error of the system.
        error: io::Error,
    },
}

impl StartupError {
    /// The lines for stderr, and the exit status.
    pub fn report(&self, argv0: &OsStr) -> (Vec<u8>, u8) {
        let too_many = io::Error::from_raw_os_error(nix::libc::EMFILE);
        let (line, error) = match self {
            StartupError::OpenFiles { missing, limit } => {
                let text = format!(
                    ": cannot run with {limit} open files (ulimit -Hn): {} are needed",
                    limit + missing
                );
                ([argv0.as_bytes(), text.as_bytes()].concat(), &too_many)
            }
            StartupError::Endpoint { endpoint, kind, error } => {
                let head = format!(
                    "Caught an exception creating the initial {kind} telnet port: {} (",
                    sys::reason(error)
                );
                ([head.as_bytes(), &endpoint.to_bytes(), b")"].concat(), error)
            }
            StartupError::Listen { uri, error } => {
                let reason = sys::reason(error);
                let line = [argv0.as_bytes(), b": --listen ", uri, b": ", reason.as_bytes()];
                (line.concat(), error)
            }
            StartupError::System { what, error } => {
                let text = format!(": cannot {what}: {}", sys::reason(error));
                ([argv0.as_bytes(), text.as_bytes()].concat(), error)
            }
        };
        let code = error.raw_os_error().and_then(|errno| u8::try_from(errno).ok());
        let code = code.filter(|&code| code != 0).unwrap_or(1);
        let last = format!(": Exiting with error code: {code}\n");
        ([&line, b"\n".as_slice(), argv0.as_bytes(), last.as_bytes()].concat(), code)
    }
}
