//! From a configuration to a running server, in one of three ways: fresh, after an upgrade in place
//! ([`successor`]) or after a crash ([`recovery`]).

pub(crate) mod child_sockets;
pub mod error;
mod fresh;
mod launch;
mod log_files;
mod open_files;
mod parts;
mod pid_files;
mod recovery;
pub(crate) mod stream;
mod successor;

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use nix::sys::signal::Signal::{SIGINT, SIGQUIT, SIGTTIN, SIGTTOU, SIGXFSZ};

use self::error::StartupError;
use self::parts::{LocalTime, settings};
use self::successor::Predecessor;
use crate::cli;
use crate::config::{Config, RunMode};
use crate::console::Console;
use crate::handover::state::ServerIdentity;
use crate::handover::{self, format};
use crate::sys::process::signal;
use crate::sys::terminal;

/// Runs the server and returns its exit status. After an upgrade in place, it goes on where the
/// program before it in this process stopped.
///
/// # Errors
/// Something that the server cannot do without is refused.
pub fn run(config: &Config) -> Result<u8, StartupError> {
    // A log over its size limit makes write(2) fail, and does not end the server.
    signal::ignore(SIGXFSZ as i32);
    if config.run_mode != RunMode::Daemon {
        signal::ignore(SIGTTIN as i32);
        signal::ignore(SIGTTOU as i32);
    }
    if config.is_foreground() {
        signal::ignore(SIGINT as i32);
        signal::ignore(SIGQUIT as i32);
    }
    let predecessor = Predecessor::from_environment(config)?;
    let shows_console = config.prefers_terminal()
        && match &predecessor {
            Some(predecessor) => !predecessor.has_log(),
            None => terminal::can_be_used(io::stdin()),
        };
    let config = if shows_console { &config.without_log() } else { config };
    let parts = match predecessor {
        Some(predecessor) => predecessor.into_parts(config)?,
        None => fresh::parts(config)?,
    };
    launch::launch(config, parts)
}

/// If `argv` asks for the check run of an upgrade: what to print, and the exit status. Nothing is
/// changed by a check run.
pub fn check_requested(argv: &[OsString]) -> Option<(Vec<u8>, u8)> {
    let [_, only] = argv else {
        return None;
    };
    let number = only.to_str()?.strip_prefix(handover::CHECK)?;
    Some(match check(number) {
        Ok(digest) => (handover::answer(digest), 0),
        Err(reason) => (reason.into_bytes(), 1),
    })
}

/// The digest of the state behind the descriptor `number`, if this program could go on from it, or
/// the reason why not.
fn check(number: &str) -> Result<u32, String> {
    let number = number.parse().map_err(|_| format!("invalid descriptor '{number}'"))?;
    let bytes =
        successor::read(number).map_err(|error| format!("cannot read the state: {error}"))?;
    let state = format::decode(&bytes).map_err(|error| error.to_string())?;
    let argv = state.argv.iter().map(|word| OsString::from_vec(word.0.clone())).collect();
    let config = cli::parse(argv, &|name| std::env::var_os(name))
        .map_err(|exit| String::from_utf8_lossy(&exit.stderr).into_owned())?;
    let settings = settings(&config, &ServerIdentity::default(), state.log.is_some());
    Console::restore(settings, Box::new(LocalTime), state.console)
        .map_err(|error| error.to_string())?;
    Ok(format::digest(&bytes))
}

/// Writes `<argv0>: <what> <path>` to stderr.
fn report_write_error(argv0: &[u8], what: &[u8], path: &Path) {
    stderr(&[argv0, b": ", what, b" ", path.as_os_str().as_bytes(), b"\n"].concat());
}

fn stderr(text: &[u8]) {
    // There is nobody to report a failure to.
    let _ = io::stderr().write_all(text);
}

/// Makes a [`StartupError`] of an error of the system, which refused to do `what`.
fn system(what: &'static str) -> impl Fn(io::Error) -> StartupError {
    move |error| StartupError::System { what, error }
}
