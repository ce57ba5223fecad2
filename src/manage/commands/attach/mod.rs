//! `manage-procs attach`: connects the user's terminal with a console until the user or the server
//! ends the connection. Neither telnet nor socat is needed.

mod answer;
mod connect;
mod console;
mod dialogue;
mod instance;
mod replay;
pub(crate) mod send;
mod session;
pub(crate) mod signals;
mod target;

use std::io::{IsTerminal, Write};

use clap::ArgMatches;

use self::connect::Connected;
use self::console::Found;
use self::instance::{AttachedInstance, ServerEnd};
use self::session::{Session, SessionEnd, SessionOptions};
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
    let (watch, reconnect) = (matches.get_flag("watch"), matches.get_flag("reconnect"));
    let on_terminal = std::io::stdin().is_terminal();
    if reconnect && !watch && !on_terminal {
        return Err(CommandError::usage("--reconnect needs a terminal, or --watch"));
    }
    let Found { mut targets, mut instance } = console::find(registry, is_default, name)?;
    // What is typed must not be lost without a word.
    if !watch && !on_terminal && instance.is_some() {
        targets.retain(|target| !target.view);
    }
    let signals =
        Signals::catch(&[]).map_err(|error| CommandError::system("the terminal", &error))?;
    let leaves = format!("{} leaves", String::from_utf8_lossy(&control_char::to_caret(detach)));
    let mut again = false;
    loop {
        let attempt = connect::connect(targets.clone(), name, detach, &signals, again)?;
        let Connected { target, stream, typed } = match attempt {
            Ok(connected) => connected,
            Err(end) => return finish(end, name, name, None),
        };
        if again {
            instance.iter_mut().for_each(AttachedInstance::look_again);
        }
        let console = target.describe(name);
        let watches = watch || target.view;
        let no_keys = if watches { "; keys have no effect" } else { "" };
        let leaves = format!("{leaves}{no_keys}");
        if on_terminal {
            print_notice(&format!("{console}; {leaves}"));
            if watches && !watch && instance.is_some() {
                print_notice(&format!("{name}: you may watch, but have no permission to type"));
            }
            let others = instance.iter().flat_map(|it| &it.clients);
            others.for_each(|client| print_notice(&format!("{name}: {client} is attached, too")));
        }
        let options = SessionOptions { detach, watch: watches, hint: format!("{leaves}\r\n") };
        let end = Session::new(&stream, target.telnet, options, &signals, &typed)?.run();
        let server = match end {
            SessionEnd::Closed | SessionEnd::Failed(_) => instance.as_ref().map(|it| it.end()),
            _ => None,
        };
        let is_over = !matches!(end, SessionEnd::Closed | SessionEnd::Failed(_))
            || matches!(server, Some(ServerEnd::Runs));
        if is_over || !reconnect {
            return finish(end, name, &console, server);
        }
        let what = match server {
            Some(ServerEnd::Ended(what)) => what,
            _ => "closed by the server".to_owned(),
        };
        signals.hold();
        print_notice(&format!("{name}: {what}; waiting for the next; {leaves}"));
        again = true;
    }
}

/// Says why a session is over, and returns the exit status.
fn finish(end: SessionEnd, name: &str, console: &str, server: Option<ServerEnd>) -> CommandResult {
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
            print_notice(&match server {
                Some(ServerEnd::Runs) => {
                    format!("{name}: disconnected by the server (it keeps running)")
                }
                Some(ServerEnd::Ended(what)) => format!("{name}: {what}"),
                None => format!("{name}: closed by the server (restarted? attach again)"),
            });
            Ok(0)
        }
        SessionEnd::Failed(error) => {
            if let Some(ServerEnd::Ended(what)) = server {
                print_notice(&format!("{name}: {what}"));
            }
            Err(CommandError::system(console, &error))
        }
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
