//! `manage-procs attach`: connects the user's terminal with a console until the user or the server
//! ends the connection. Neither telnet nor socat is needed.

mod connect;
mod console;
mod replay;
mod session;
mod signals;
mod target;

use std::io::{IsTerminal, Write};

use clap::ArgMatches;

use self::connect::Connected;
use self::session::{Session, SessionEnd};
use self::signals::Signals;
use crate::config::control_char;
use crate::manage::error::{CommandError, CommandResult};
use crate::manage::output;
use crate::manage::registry::Registry;

/// `attach`. The exit status is 0 when the user or the server ends the connection; a signal ends
/// the process by that signal. In any case the terminal has its old modes again.
///
/// # Errors
/// An instance that does not run, an endpoint that can't be reached, a terminal that can't be used;
/// that of `registry`, if the console is an instance.
pub(crate) fn command(
    registry: Result<Registry, CommandError>,
    matches: &ArgMatches,
    is_default: bool,
) -> CommandResult {
    let name = matches.get_one::<String>("console").map(String::as_str).unwrap_or_default();
    let key = matches.get_one::<String>("detach").map(String::as_str).unwrap_or_default();
    let mut keys = control_char::parse_list(key.as_bytes());
    let (Some(detach @ 1..), None) = (keys.next(), keys.next()) else {
        return Err(CommandError::usage(format!(
            "--detach: {key:?} is not one character, or ^ and a letter"
        )));
    };
    let targets = console::find(registry, is_default, name)?;
    let signals = Signals::catch().map_err(|error| CommandError::system("the terminal", &error))?;
    let Connected { target, stream, typed } =
        match connect::connect(targets, name, detach, &signals)? {
            Ok(connected) => connected,
            Err(end) => return finish(end, name, name),
        };
    let console = target.describe(name);
    if std::io::stdin().is_terminal() {
        let key = control_char::to_caret(detach);
        print_notice(&format!("{console}; {} leaves", String::from_utf8_lossy(&key)));
    }
    let end = Session::new(&stream, target.telnet, detach, signals, &typed)?.run();
    finish(end, name, &console)
}

/// Says why a session is over, and returns the exit status.
fn finish(end: SessionEnd, name: &str, console: &str) -> CommandResult {
    match end {
        SessionEnd::Detached { unsent } => {
            let lost = match unsent {
                0 => String::new(),
                unsent => format!("; the server did not take the last {unsent} bytes"),
            };
            print_notice(&format!("detached from {name} (it keeps running){lost}"));
            Ok(0)
        }
        SessionEnd::Closed => {
            print_notice(&format!("{name}: closed by the server (restarted? attach again)"));
            Ok(0)
        }
        SessionEnd::Failed(error) => Err(CommandError::system(console, &error)),
        SessionEnd::Terminal(error) => Err(CommandError::system("the terminal", &error)),
        SessionEnd::Output(error) => Err(CommandError::system("standard output", &error)),
        SessionEnd::Signal(signal) => {
            // The terminal has its old modes now, so the process may end by the signal.
            let _ = signal_hook::low_level::emulate_default_handler(signal);
            Ok(u8::try_from(128 + signal).unwrap_or(1))
        }
    }
}

/// Prints a line for the user. An error is ignored: the terminal may be gone.
fn print_notice(text: &str) {
    let _ = write!(std::io::stderr(), "{}", output::line(text));
}
