//! `top`: the table of `status`, kept up to date, with keys for what an operator does next.

mod collector;
mod commands;
mod draw;
mod keys;
mod screen;
mod session;
#[cfg(test)]
mod tests;
mod view;

use std::ffi::OsString;
use std::io::IsTerminal;

use clap::ArgMatches;
use nix::poll::{PollFd, PollFlags};
use signal_hook::consts::{SIGCHLD, SIGWINCH};

use self::collector::Found;
use self::commands::Program;
use self::screen::Screen;
use self::session::{Session, SessionEnd};
use self::view::View;
use super::attach::signals::Signals;
use super::fallback;
use super::remote::watch::HostWatch;
use super::status::row::{self, Row};
use crate::manage::error::{CommandError, CommandResult};
use crate::manage::inspect::collector::Collector;
use crate::manage::inspect::watch::Watch;
use crate::manage::limits::FIRST_LOOK_TIMEOUT;
use crate::manage::registry::Registry;
use crate::manage::registry::pattern::Patterns;
use crate::sys::fd::poll_within;

/// `top`. The exit status is 0 when the user quits; a signal ends the process by that signal.
///
/// # Errors
/// No terminal; a pattern that matches no instance; files that can't be read.
pub(crate) fn top(
    registry: &Registry,
    matches: &ArgMatches,
    is_default: bool,
    json: bool,
) -> CommandResult {
    registry.require_live("top")?;
    check(json)?;
    let patterns = Patterns::from_matches(matches)?;
    let registry = fallback::registry_of(registry, &patterns, is_default)?;
    let options = vec![registry.scope.option().into()];
    let mut watch = Watch::new(registry, patterns);
    show(options, move || match watch.refresh() {
        Ok(false) => Found::Same,
        Ok(true) => Found::Rows(watch.all().map(Row::of).collect()),
        Err(error) => Found::Failed(error.text, error.code),
    })
}

/// `top` of other hosts. `options` are those for commands there.
///
/// # Errors
/// No terminal.
pub(crate) fn top_of_hosts(
    options: Vec<OsString>,
    json: bool,
    mut watch: HostWatch,
) -> CommandResult {
    check(json)?;
    show(options, move || watch.refresh().map_or(Found::Same, Found::Rows))
}

/// Checks that there is a terminal.
///
/// # Errors
/// There is none.
fn check(json: bool) -> Result<(), CommandError> {
    if json {
        return Err(CommandError::usage("top is for people: status --json is for programs"));
    }
    let is_dumb = std::env::var_os("TERM").is_none_or(|name| name.is_empty() || name == "dumb");
    if is_dumb || !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        return Err(CommandError::new(
            "top needs a terminal; manage-procs status prints the same table once",
        ));
    }
    Ok(())
}

/// Shows what `look` finds until the user quits. `options` are those of the commands of keys.
fn show(options: Vec<OsString>, look: impl FnMut() -> Found) -> CommandResult {
    let failed = |error| CommandError::system("top", &error);
    let program = Program::new(options).map_err(failed)?;
    let mut view = View::new(row::may_colour());
    let mut collector = collector::start(look).map_err(failed)?;
    match first_look(&mut collector).map_err(failed)? {
        Some(Found::Failed(text, code)) => return Err(CommandError { text, code }),
        found => view.take(found.unwrap_or(Found::Same)),
    }
    let no_terminal = |error| CommandError::system("the terminal", &error);
    let signals = Signals::catch(&[SIGWINCH, SIGCHLD]).map_err(no_terminal)?;
    let screen = Screen::open().map_err(no_terminal)?;
    let screen = screen
        .ok_or_else(|| CommandError::new("the terminal can't be used: in the background?"))?;
    // The terminal is as it was before when this has returned.
    match Session::new(screen, signals, collector, program, view).run() {
        SessionEnd::Quit => Ok(0),
        SessionEnd::Terminal(error) => Err(no_terminal(error)),
        SessionEnd::Collector(error) => {
            Err(CommandError::system("the process that looks at the instances", &error))
        }
        SessionEnd::Signal(signal) => {
            let _ = signal_hook::low_level::emulate_default_handler(signal);
            Ok(u8::try_from(128 + signal).unwrap_or(1))
        }
    }
}

/// Waits a moment for the first answer, so that there is something to show, or an error instead of a
/// screen.
fn first_look(collector: &mut Collector<Found>) -> std::io::Result<Option<Found>> {
    collector.ask()?;
    let mut fds = [PollFd::new(std::os::fd::AsFd::as_fd(collector), PollFlags::POLLIN)];
    poll_within(&mut fds, FIRST_LOOK_TIMEOUT)?;
    collector.take()
}
