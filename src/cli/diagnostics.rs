//! Errors and warnings about the command line, for stderr.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::EarlyExit;

/// The lines for stderr, in the order in which they came up.
pub(super) struct Stderr<'a> {
    argv0: &'a OsStr,
    /// Each line with true if `-q` hides it.
    lines: Vec<(Vec<u8>, bool)>,
}

impl<'a> Stderr<'a> {
    pub(super) fn new(argv0: &'a OsStr) -> Self {
        let lines = Vec::new();
        Stderr { argv0, lines }
    }

    pub(super) fn named(&self, text: &[u8]) -> Vec<u8> {
        [self.argv0.as_bytes(), b": ", text].concat()
    }

    /// Adds `text` after the server's name.
    pub(super) fn say(&mut self, text: &[u8]) {
        self.lines.push((self.named(text), false));
    }

    /// Adds the same, but for a server that starts, and not under `-q`.
    pub(super) fn warn(&mut self, text: &[u8]) {
        self.lines.push((self.named(text), true));
    }

    /// Adds `text` alone.
    pub(super) fn line(&mut self, text: Vec<u8>) {
        self.lines.push((text, false));
    }

    pub(super) fn hush(&mut self) {
        self.lines.retain(|(_, informational)| !informational);
    }

    pub(super) fn lines(self) -> Vec<Vec<u8>> {
        self.lines.into_iter().map(|(line, _)| line).collect()
    }

    pub(super) fn exit(mut self, stdout: Vec<u8>, code: u8) -> EarlyExit {
        self.hush();
        let mut stderr = self.lines().join(&b'\n');
        if !stderr.is_empty() {
            stderr.push(b'\n');
        }
        EarlyExit { stdout, stderr, code }
    }
}
