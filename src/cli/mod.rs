//! The command line: argv in, [`Config`](crate::config::Config) or an [`Exit`] out.

/// The server does not start: what to print, and the status to leave with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// For stdout, complete with newlines.
    pub stdout: Vec<u8>,
    /// For stderr, complete with newlines.
    pub stderr: Vec<u8>,
    /// The exit status.
    pub code: u8,
}
