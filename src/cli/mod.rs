//! The command line: argv in, [`Config`] or an [`EarlyExit`] out. Decides what the words mean together;
//! prints nothing, opens nothing.

mod diagnostics;
mod extensions;
mod getopt;
mod interpret;
mod matches;
mod numeric;
mod options;

use std::ffi::OsString;

use self::diagnostics::Stderr;
use self::getopt::Item;
use self::interpret::{CliError, Operands};
use self::matches::Matches;
use self::numeric::Numbers;
pub use self::options::definition;
use crate::config::Config;

/// The server does not start: what to print, and the status to leave with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EarlyExit {
    /// For stdout, complete with newlines.
    pub stdout: Vec<u8>,
    /// For stderr, complete with newlines.
    pub stderr: Vec<u8>,
    /// The exit status.
    pub code: u8,
}

/// Reads `argv`, its first word the server's own name, as procServ does (contract section 1).
/// `env` is asked for PROCSERV_PID and PROCSERV_DEBUG only.
///
/// # Errors
/// An [`EarlyExit`] for help, version and everything that keeps the server from starting.
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
