//! Why a command failed, in one line that names what it is about, and its exit status.

use std::fmt;
use std::io;
use std::path::Path;

use crate::sys;

/// A failed command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandError {
    /// Which file, option or instance, and what is wrong.
    pub text: String,
    /// The exit status.
    pub code: u8,
}

/// The exit status of a command, or why it failed.
pub type CommandResult = Result<u8, CommandError>;

impl CommandError {
    /// A command that could not do what it should: exit status 1.
    pub fn new(text: impl Into<String>) -> CommandError {
        CommandError { text: text.into(), code: 1 }
    }

    /// A command line that makes no sense: exit status 2.
    pub fn usage(text: impl Into<String>) -> CommandError {
        CommandError { text: text.into(), code: 2 }
    }

    /// What the system says about `subject`.
    pub fn system(subject: impl fmt::Display, error: &io::Error) -> CommandError {
        CommandError::new(format!("{subject}: {}", sys::reason(error)))
    }

    /// What the system says about a file.
    pub fn file(path: &Path, error: &io::Error) -> CommandError {
        CommandError::system(path.display(), error)
    }
}
