//! The other commands that keys run: this program is executed for each.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

use crate::manage::limits::SHOWN_OUTPUT_MAX;
use crate::manage::registry::Scope;

/// Executes this program.
#[derive(Debug)]
pub(super) struct Program {
    path: PathBuf,
    scope: Scope,
}

/// What is done with the output of a command that runs in the background.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To be read by the user.
    Show,
    /// Only its last line, if the command fails.
    Do,
}

/// A command that runs in the background.
#[derive(Debug)]
pub(super) struct Job {
    child: Child,
    output: File,
    pub(super) purpose: Purpose,
    pub(super) verb: &'static str,
    pub(super) name: String,
}

impl Program {
    /// Of a program that is replaced later, the new one is executed.
    ///
    /// # Errors
    /// Those of finding the program.
    pub(super) fn new(scope: Scope) -> io::Result<Program> {
        Ok(Program { path: std::env::current_exe()?, scope })
    }

    fn command(&self, verb: &str, name: &str) -> Command {
        let mut command = Command::new(&self.path);
        command.args([self.scope.option(), verb, "--", name]);
        command
    }

    /// Starts a command that has the terminal.
    ///
    /// # Errors
    /// Those of fork(2) and execve(2).
    pub(super) fn foreground(&self, verb: &str, name: &str) -> io::Result<Child> {
        let mut command = self.command(verb, name);
        if std::env::var_os("SYSTEMD_LESS").is_none() {
            // Short output is also shown until the user has read it.
            command.env("SYSTEMD_LESS", "RSMK");
        }
        command.spawn()
    }

    /// Starts a command in the background, where keys of the terminal do not end it.
    ///
    /// # Errors
    /// Those of fork(2) and execve(2), and of making a file for its output.
    pub(super) fn background(
        &self,
        verb: &'static str,
        name: &str,
        purpose: Purpose,
    ) -> io::Result<Job> {
        let output = tempfile::tempfile()?;
        let mut command = self.command(verb, name);
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output.try_clone()?);
        let child = command.process_group(0).spawn()?;
        Ok(Job { child, output, purpose, verb, name: name.to_owned() })
    }
}

impl Job {
    /// The exit status and the output, once the command has ended.
    pub(super) fn end(&mut self) -> Option<(ExitStatus, String)> {
        let status = self.child.try_wait().ok().flatten()?;
        let mut text = Vec::new();
        let read = self.output.seek(SeekFrom::Start(0));
        let _ = read.and_then(|_| (&self.output).take(SHOWN_OUTPUT_MAX).read_to_end(&mut text));
        Some((status, String::from_utf8_lossy(&text).into_owned()))
    }
}
