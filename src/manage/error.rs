//! Why a command failed.

use std::fmt;
use std::io;
use std::path::Path;

use crate::sys;

/// A failed command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CommandError {
    /// One line: the file, option or instance, and what is wrong.
    pub(crate) text: String,
    pub(crate) code: u8,
}

/// The exit status of a command, or why it failed.
pub(crate) type CommandResult = Result<u8, CommandError>;

impl CommandError {
    /// A failure with exit status 1.
    pub(crate) fn new(text: impl Into<String>) -> CommandError {
        CommandError { text: text.into(), code: 1 }
    }

    /// A wrong command line: exit status 2.
    pub(crate) fn usage(text: impl Into<String>) -> CommandError {
        CommandError { text: text.into(), code: 2 }
    }

    /// An error of the operating system that concerns `subject`.
    pub(crate) fn system(subject: impl fmt::Display, error: &io::Error) -> CommandError {
        CommandError::new(format!("{subject}: {}", sys::reason(error)))
    }

    /// An error of the operating system that concerns a file.
    pub(crate) fn file(path: &Path, error: &io::Error) -> CommandError {
        CommandError::system(path.display(), error)
    }
}
