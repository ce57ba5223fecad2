//! `manage-procs attach`: a person's terminal and a console, until one of them leaves. Needs neither
//! telnet nor socat.

mod replay;
mod session;
mod signals;
mod target;

use std::io::{IsTerminal, Write};

use clap::ArgMatches;

use self::session::{Session, SessionEnd};
use crate::config::control_char;
use crate::manage::error::{CommandError, CommandResult};
use crate::manage::registry::Registry;

/// `attach`. Ends with status 0 when the person or the server leaves; a signal ends it by that
/// signal. The terminal is what it was then, in any case.
///
/// # Errors
/// An instance that does not run, an endpoint that can't be reached, a terminal that can't be used.
pub fn command(site: &Registry, given: &ArgMatches) -> CommandResult {
    let console = given.get_one::<String>("console").map(String::as_str).unwrap_or_default();
    let key = given.get_one::<String>("detach").map(String::as_str).unwrap_or_default();
    let Some(detach) = control_char::parse_command(key.as_bytes()) else {
        return Err(CommandError::usage(format!("--detach: {key:?} is no character")));
    };
    let (target, stream) = target::open(site, console)?;
    let console = target.shown(console);
    let shown = String::from_utf8_lossy(&control_char::to_caret(detach)).into_owned();
    if std::io::stdin().is_terminal() {
        say(&format!("{console}; {shown} leaves"));
    }
    let end = Session::new(&stream, target.telnet, detach)?.run();
    match end {
        SessionEnd::Detached(0) => {
            say(&format!("{console}: left"));
            Ok(0)
        }
        SessionEnd::Detached(unsent) => {
            say(&format!("{console}: left; the server did not take the last {unsent} bytes"));
            Ok(0)
        }
        SessionEnd::Closed => {
            say(&format!("{console}: closed by the server"));
            Ok(0)
        }
        SessionEnd::Failed(error) => Err(CommandError::system(&console, &error)),
        SessionEnd::Terminal(error) => Err(CommandError::system("the terminal", &error)),
        SessionEnd::Output(error) => Err(CommandError::system("standard output", &error)),
        SessionEnd::Signal(signal) => {
            // Now that the terminal is as it was: ended by the signal, as whoever sent it expects.
            let _ = signal_hook::low_level::emulate_default_handler(signal);
            Ok(u8::try_from(128 + signal).unwrap_or(1))
        }
    }
}

/// A line for the person at the terminal. A terminal that is gone reads nothing.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
