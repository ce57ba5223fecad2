//! The command line of `procServ`: makes a [`Config`] or an [`EarlyExit`] of argv. It prints
//! nothing and opens nothing.

mod diagnostics;
mod extensions;
mod getopt;
mod interpret;
mod matches;
mod numeric;
mod options;

use std::ffi::OsString;
use std::path::PathBuf;

use self::diagnostics::Stderr;
use self::getopt::Item;
use self::interpret::{CliError, Operands};
use self::matches::Matches;
use self::numeric::Numbers;
pub use self::options::definition;
use crate::config::Config;

/// What to print and the exit status, if the server does not start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EarlyExit {
    /// The text for stdout, with its newlines.
    pub stdout: Vec<u8>,
    /// The text for stderr, with its newlines.
    pub stderr: Vec<u8>,
    /// The exit status.
    pub code: u8,
}

/// The status file of a command line that only asks how a server is: the first of its options that
/// is not for a server is `--health`.
#[must_use]
pub fn health_requested(argv: &[OsString]) -> Option<PathBuf> {
    let words = argv.get(1..).unwrap_or_default().to_vec();
    for item in getopt::scan(&options::definition(), words).items {
        match item {
            Item::Option { id, value } if id == options::HEALTH => return value.map(PathBuf::from),
            Item::Option { id, .. } if id == options::HELP || id == options::VERSION => {
                return None;
            }
            Item::Option { .. } => {}
            Item::Problem(_) => return None,
        }
    }
    None
}

/// Reads `argv`, whose first word is the server's own name, as procServ does (contract section 1).
/// `env` looks variables up, PROCSERV_PID and PROCSERV_DEBUG only.
///
/// # Errors
/// Returns an [`EarlyExit`] for help, for the version, and for everything that keeps the server from
/// starting.
pub fn parse(
    argv: Vec<OsString>,
    env: &dyn Fn(&str) -> Option<OsString>,
) -> Result<Config, EarlyExit> {
    let mut words = argv.into_iter();
    let argv0 = words.next().unwrap_or_else(|| "procServ".into());
    let definition = options::definition();
    let scanned = getopt::scan(&definition, words.collect());

    let mut stderr = Stderr::new(&argv0);
    let mut numbers = Numbers::default();
    let mut usable = true;
    for item in &scanned.items {
        match item {
            Item::Problem(text) => {
                usable = false;
                stderr.say(text);
            }
            Item::Option { id, .. } if id == options::HELP => {
                return Err(stderr.exit(options::help(&argv0), 0));
            }
            Item::Option { id, .. } if id == options::VERSION => {
                return Err(stderr.exit(format!("{}\n", crate::VERSION).into_bytes(), 0));
            }
            Item::Option { id, .. } if id == options::HEALTH => {
                usable = false;
                stderr.say(b"--health starts no server");
            }
            Item::Option { id, value } => {
                if let Some(value) = value {
                    numbers.read(id, value, &mut stderr);
                }
            }
        }
    }

    let given = Matches { definition: &definition, items: &scanned.items };
    let new_style = given.has("port");
    let mut operands = scanned.operands.iter().cloned();
    let old_style = if new_style { None } else { operands.next() };
    if let Some(endpoint) = &old_style {
        numbers.read("port", endpoint, &mut stderr);
    }
    let Some(command) = operands.next() else {
        stderr.say(b"missing argument");
        return Err(stderr.exit(options::usage(&argv0), 1));
    };
    if !usable {
        return Err(stderr.exit(options::usage(&argv0), 1));
    }

    if given.has("quiet") {
        stderr.hush();
    }
    let words = Operands { old_style, command, args: operands.collect() };
    match interpret::config(given, &numbers, words, env) {
        Ok(config) => Ok(Config { warnings: stderr.lines(), argv0, ..config }),
        Err(CliError::Message(problem)) => {
            stderr.say(&problem);
            Err(stderr.exit(Vec::new(), 1))
        }
        Err(CliError::Endpoint(error)) => {
            stderr.line(error.message(&argv0));
            Err(stderr.exit(Vec::new(), 1))
        }
    }
}
