//! Connecting: a server whose queue is full lets others wait, and whoever waits can leave by the
//! detach key.

use std::io::{self, IsTerminal, Read};
use std::os::fd::AsFd;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use signal_hook::consts::{SIGCONT, SIGHUP, SIGTSTP};

use super::print_notice;
use super::session::{SessionEnd, is_ready, would_block_or_interrupted};
use super::signals::Signals;
use super::target::{ConsoleConnection, Target};
use crate::config::control_char;
use crate::manage::error::CommandError;
use crate::manage::limits::{ATTACH_CHUNK, CONNECT_QUIET, RECONNECT_PAUSE, TYPED_MAX};
use crate::sys::terminal::Terminal;

/// A connection that was made.
pub(super) struct Connected {
    pub(super) target: Target,
    pub(super) stream: ConsoleConnection,
    /// What the user has typed meanwhile.
    pub(super) typed: Vec<u8>,
}

pub(super) type Attempt = Result<(Target, ConsoleConnection), CommandError>;

/// Connects to the first target that can be reached. `Ok(Err(end))` if the user has left before. After
/// the loss of a connection, `again`, it is tried until it succeeds; what is typed meanwhile is lost.
///
/// # Errors
/// Why the last target could not be reached.
pub(super) fn connect(
    targets: Vec<Target>,
    console: &str,
    detach: u8,
    signals: &Signals,
    again: bool,
) -> Result<Result<Connected, SessionEnd>, CommandError> {
    let system = |error: io::Error| CommandError::system(console, &error);
    let (done, guard) = io::pipe().map_err(system)?;
    let (sender, result) = channel();
    let name = console.to_owned();
    let attempt = move || {
        let attempt = loop {
            if again {
                // The server that is about to end may still accept a connection.
                thread::sleep(RECONNECT_PAUSE);
            }
            let attempt = try_all(&targets, &name);
            if attempt.is_ok() || !again {
                break attempt;
            }
        };
        // Nobody listens any more if the user has left.
        let _ = sender.send(attempt);
        // The end of the pipe wakes the other thread.
        drop(guard);
    };
    thread::Builder::new().spawn(attempt).map_err(system)?;
    let mut typed = Vec::new();
    let mut is_shown = again || !io::stdin().is_terminal();
    let mut terminal: Option<Terminal> =
        again.then(|| Terminal::raw(io::stdin().as_fd())).flatten();
    loop {
        let mut fds = vec![
            PollFd::new(done.as_fd(), PollFlags::POLLIN),
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
        ];
        if let Some(terminal) = terminal.as_ref().filter(|_| typed.len() < TYPED_MAX) {
            fds.push(PollFd::new(terminal.file().as_fd(), PollFlags::POLLIN));
        }
        let quiet = PollTimeout::try_from(CONNECT_QUIET).unwrap_or(PollTimeout::NONE);
        let timeout = if is_shown { PollTimeout::NONE } else { quiet };
        let count = poll(&mut fds, timeout).unwrap_or(1);
        let ready: Vec<bool> = fds.iter().map(is_ready).collect();
        if ready.first() == Some(&true) {
            // Its modes are put back.
            drop(terminal);
            return finish(&result, if again { Vec::new() } else { typed }, console);
        }
        match signals.take() {
            0 => {}
            SIGTSTP => {
                terminal.iter().for_each(Terminal::restore);
                let _ = signal_hook::low_level::emulate_default_handler(SIGTSTP);
                terminal.iter().for_each(Terminal::retake);
            }
            SIGCONT => terminal.iter().for_each(Terminal::retake),
            signal => return Ok(Err(SessionEnd::Signal(signal))),
        }
        if count == 0 && !is_shown {
            is_shown = true;
            let key = control_char::to_caret(detach);
            let key = String::from_utf8_lossy(&key).into_owned();
            print_notice(&format!("{console}: does not accept anybody yet; {key} leaves"));
            terminal = Terminal::raw(io::stdin().as_fd());
        }
        if let Some(terminal) = terminal.as_ref().filter(|_| ready.get(2) == Some(&true)) {
            let mut buffer = [0; ATTACH_CHUNK];
            match terminal.file().read(&mut buffer) {
                Ok(0) => return Ok(Err(SessionEnd::Signal(SIGHUP))),
                Ok(length) => typed.extend(buffer.iter().take(length)),
                Err(error) if would_block_or_interrupted(&error) => {}
                Err(error) => return Ok(Err(SessionEnd::Terminal(error))),
            }
            if typed.contains(&detach) {
                return Ok(Err(SessionEnd::Detached { unsent: 0 }));
            }
        }
    }
}

fn finish(
    result: &Receiver<Attempt>,
    typed: Vec<u8>,
    console: &str,
) -> Result<Result<Connected, SessionEnd>, CommandError> {
    let attempt = result.recv().map_err(|_| CommandError::new(format!("{console}: no connection")));
    let (target, stream) = attempt??;
    Ok(Ok(Connected { target, stream, typed }))
}

/// Connects to the first of these targets that can be reached. A target where one only watches counts
/// if there are no others, or if the user may not connect to one of these.
///
/// # Errors
/// Why the last one could not be reached.
pub(super) fn try_all(targets: &[Target], console: &str) -> Attempt {
    let mut problem = CommandError::new(format!("{console}: has no control endpoint"));
    let mut may_watch = targets.iter().all(|target| target.view);
    for target in targets {
        if target.view && !may_watch {
            continue;
        }
        match target.connect() {
            Ok(stream) => return Ok((target.clone(), stream)),
            Err(error) => {
                may_watch |= error.kind() == io::ErrorKind::PermissionDenied;
                problem = CommandError::system(target.describe(console), &error);
            }
        }
    }
    Err(problem)
}
