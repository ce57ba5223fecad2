//! The error of a snapshot that no console can have made.

use std::fmt;

/// What is wrong with a snapshot, as a sentence without its full stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidSnapshot(pub &'static str);

impl fmt::Display for InvalidSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for InvalidSnapshot {}
