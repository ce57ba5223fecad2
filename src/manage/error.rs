//! Why a command failed, in one line that names what it is about, and its exit status.

use std::fmt;
use std::io;
use std::path::Path;

use crate::sys;

/// A failed command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CommandError {
    /// Which file, option or instance, and what is wrong.
    pub(crate) text: String,
    /// The exit status.
    pub(crate) code: u8,
}

/// The exit status of a command, or why it failed.
pub(crate) type CommandResult = Result<u8, CommandError>;

impl CommandError {
    /// A command that could not do what it should: exit status 1.
    pub(crate) fn new(text: impl Into<String>) -> CommandError {
        CommandError { text: text.into(), code: 1 }
    }

    /// A command line that makes no sense: exit status 2.
    pub(crate) fn usage(text: impl Into<String>) -> CommandError {
        CommandError { text: text.into(), code: 2 }
    }

    /// What the system says about `subject`.
    pub(crate) fn system(subject: impl fmt::Display, error: &io::Error) -> CommandError {
        CommandError::new(format!("{subject}: {}", sys::reason(error)))
    }

    /// What the system says about a file.
    pub(crate) fn file(path: &Path, error: &io::Error) -> CommandError {
        CommandError::system(path.display(), error)
    }
}
