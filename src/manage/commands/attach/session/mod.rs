//! The loop between terminal and connection: one thread, one poll(2). Nothing in the loop blocks,
//! so that a signal can always put the modes of the terminal back.

mod input;
mod output;

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use signal_hook::consts::{SIGCONT, SIGTSTP};

use super::replay::ReplayPhase;
use super::signals::Signals;
use super::target::ConsoleConnection;
use crate::manage::error::CommandError;
use crate::manage::limits::{ATTACH_QUEUE_MAX, TYPED_MAX};
use crate::reply_filter::ReplyFilter;
use crate::sys::pty;
use crate::sys::terminal::{Terminal, reopen};
use crate::telnet::client::ClientDecoder;

/// Why a session is over.
#[derive(Debug)]
pub(super) enum SessionEnd {
    /// The user typed the detach key. So many bytes that were typed before it have not been sent.
    Detached { unsent: usize },
    /// The server closed the connection.
    Closed,
    /// The connection broke.
    Failed(io::Error),
    /// Standard input, or a terminal as standard output, can't be used.
    Terminal(io::Error),
    /// Standard output, which is not a terminal, can't be written.
    Output(io::Error),
    /// A signal came.
    Signal(i32),
}

/// A terminal and a connection.
pub(super) struct Session<'a> {
    stream: &'a ConsoleConnection,
    /// The terminal behind standard input, in raw mode while this exists. `None` if standard input
    /// is not a terminal.
    terminal: Option<Terminal>,
    /// `None` after the end of standard input.
    input: Option<File>,
    output: File,
    /// True if `output` is a terminal, perhaps another one than `terminal`.
    output_is_terminal: bool,
    signals: &'a Signals,
    /// `None` for a connection without telnet.
    decoder: Option<ClientDecoder>,
    detach: u8,
    /// True if nothing is sent that somebody types.
    watch: bool,
    /// Shown behind the greeting; then empty.
    hint: String,
    filter: ReplyFilter,
    replay: ReplayPhase,
    to_server: VecDeque<u8>,
    to_output: Vec<u8>,
    /// True if the last byte that was typed is a CR.
    typed_cr: bool,
    /// True if the server's side has seen the end of standard input.
    sent_end: bool,
    /// When the session is over after that, if the server does not close a connection without telnet.
    quiet_at: Option<Instant>,
    /// Why the server sends nothing more. What it has sent is still to be written.
    closed: Option<SessionEnd>,
}

/// How a session treats its terminal.
pub(super) struct SessionOptions {
    /// The key that leaves.
    pub(super) detach: u8,
    /// Sends nothing that is typed.
    pub(super) watch: bool,
    /// What a terminal shows behind the greeting of a telnet endpoint, with its line end.
    pub(super) hint: String,
}

/// What a session can do without waiting.
struct Ready {
    server: bool,
    output: bool,
    input: bool,
}

impl<'a> Session<'a> {
    /// Sets the terminal to raw mode, if standard input is a terminal. `typed` is what the user has
    /// typed before.
    ///
    /// # Errors
    /// A terminal that can't be used, for example from the background.
    pub(super) fn new(
        stream: &'a ConsoleConnection,
        telnet: bool,
        options: SessionOptions,
        signals: &'a Signals,
        typed: &[u8],
    ) -> Result<Session<'a>, CommandError> {
        let no_terminal = |error: io::Error| CommandError::system("the terminal", &error);
        stream.set_nonblocking().map_err(|error| CommandError::system("the connection", &error))?;
        let stdin = io::stdin();
        let terminal = if stdin.is_terminal() {
            let terminal = Terminal::raw(stdin.as_fd());
            Some(terminal.ok_or_else(|| {
                CommandError::new("the terminal can't be used: in the background?")
            })?)
        } else {
            None
        };
        let input = match &terminal {
            Some(terminal) => terminal.file().try_clone(),
            None => stdin.as_fd().try_clone_to_owned().map(File::from),
        };
        let stdout = io::stdout();
        let output_is_terminal = stdout.is_terminal();
        let output = if output_is_terminal {
            reopen(stdout.as_fd())
        } else {
            Err(io::ErrorKind::Other.into())
        };
        let output = output.or_else(|_| stdout.as_fd().try_clone_to_owned().map(File::from));
        let terminal_reads = terminal.is_some();
        let can_leave = telnet && terminal.is_some() && output_is_terminal;
        signals.hold();
        let mut session = Session {
            stream,
            terminal,
            // Without a terminal nobody can leave by a key, and nobody may type.
            input: (terminal_reads || !options.watch).then_some(input.map_err(no_terminal)?),
            output: output.map_err(no_terminal)?,
            output_is_terminal,
            signals,
            decoder: telnet.then(ClientDecoder::default),
            detach: options.detach,
            watch: options.watch,
            hint: if can_leave { options.hint } else { String::new() },
            filter: ReplyFilter::new(),
            replay: ReplayPhase::new(),
            to_server: VecDeque::new(),
            to_output: Vec::new(),
            typed_cr: false,
            sent_end: !terminal_reads && options.watch,
            quiet_at: None,
            closed: None,
        };
        session.look_at_window();
        session.queue_typed(typed);
        Ok(session)
    }

    /// Runs the session to its end. The terminal has its old modes then.
    pub(super) fn run(mut self) -> SessionEnd {
        let end = loop {
            if let Err(end) = self.turn() {
                break end;
            }
        };
        let is_detached = matches!(end, SessionEnd::Detached { .. });
        let unsent = self.send_rest(is_detached);
        if !matches!(end, SessionEnd::Terminal(_) | SessionEnd::Output(_)) {
            self.restore_screen();
        }
        self.terminal = None;
        match (self.signals.release(), end) {
            (Some(signal), _) => SessionEnd::Signal(signal),
            (None, _) if is_detached => SessionEnd::Detached { unsent },
            (None, end) => end,
        }
    }

    fn turn(&mut self) -> Result<(), SessionEnd> {
        if self.to_output.is_empty()
            && let Some(end) = self.closed.take()
        {
            return Err(end);
        }
        if self.quiet_at.is_some_and(|at| Instant::now() >= at) {
            return Err(SessionEnd::Detached { unsent: 0 });
        }
        let open = self.closed.is_none();
        let reads_server = open && self.to_output.len() < ATTACH_QUEUE_MAX;
        let reads_input = match &self.terminal {
            Some(_) => self.to_server.len() < TYPED_MAX,
            None => open && self.to_server.len() < ATTACH_QUEUE_MAX,
        };
        let ready = self.wait(reads_server, reads_input)?;
        self.replay.update(reads_server);
        self.handle_signal()?;
        // A server that does not read gets the last size later.
        if self.to_server.len() < ATTACH_QUEUE_MAX && self.signals.window_changed() {
            self.look_at_window();
        }
        if ready.input {
            self.read_input()?;
        }
        if ready.server {
            if reads_server {
                self.receive()?;
            }
            self.send()?;
        }
        if ready.output {
            self.write()?;
        }
        Ok(())
    }

    fn wait(&self, reads_server: bool, reads_input: bool) -> Result<Ready, SessionEnd> {
        let sends = self.closed.is_none() && !self.to_server.is_empty();
        let server = poll_fd(self.stream.as_fd(), reads_server, sends);
        let output = poll_fd(self.output.as_fd(), false, !self.to_output.is_empty());
        let input =
            self.input.as_ref().and_then(|input| poll_fd(input.as_fd(), reads_input, false));
        let watched = [server, output, input];
        let signals = PollFd::new(self.signals.as_fd(), PollFlags::POLLIN);
        let mut fds: Vec<PollFd> =
            std::iter::once(signals).chain(watched.iter().flatten().cloned()).collect();
        let is_timed = reads_server && !self.replay.is_shown();
        let timeout = if is_timed || self.quiet_at.is_some() {
            PollTimeout::from(100u8)
        } else {
            PollTimeout::NONE
        };
        match poll(&mut fds, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(SessionEnd::Failed(error.into())),
        }
        let mut polled = fds.iter().skip(1);
        let [server, output, input] =
            watched.map(|fd| fd.is_some() && polled.next().is_some_and(is_ready));
        Ok(Ready { server, output, input })
    }

    fn handle_signal(&mut self) -> Result<(), SessionEnd> {
        match self.signals.take() {
            0 => Ok(()),
            SIGTSTP => {
                self.restore_terminal();
                // Returns when this process is continued.
                let _ = signal_hook::low_level::emulate_default_handler(SIGTSTP);
                self.retake_terminal();
                self.look_at_window();
                Ok(())
            }
            SIGCONT => {
                self.retake_terminal();
                self.look_at_window();
                Ok(())
            }
            signal => Err(SessionEnd::Signal(signal)),
        }
    }

    /// Tells the server the size of the terminal's window, if it asks for that and the size is another
    /// one. Who only watches has no window that the server is to know.
    fn look_at_window(&mut self) {
        let (Some(terminal), Some(decoder)) = (&self.terminal, &mut self.decoder) else {
            return;
        };
        if let Ok(size) = pty::window(terminal.file())
            && !self.watch
        {
            let mut told = Vec::new();
            decoder.set_window(size, &mut told);
            self.to_server.extend(told);
        }
    }

    fn restore_terminal(&self) {
        if let Some(terminal) = &self.terminal {
            terminal.restore();
        }
    }

    fn retake_terminal(&self) {
        if let Some(terminal) = &self.terminal {
            terminal.retake();
        }
    }
}

/// `None` if nothing is wanted of the descriptor: poll(2) would report the end of its peer all the
/// same, again and again.
fn poll_fd(fd: BorrowedFd<'_>, reads: bool, writes: bool) -> Option<PollFd<'_>> {
    let mut flags = PollFlags::empty();
    flags.set(PollFlags::POLLIN, reads);
    flags.set(PollFlags::POLLOUT, writes);
    (!flags.is_empty()).then(|| PollFd::new(fd, flags))
}

/// The first `length` bytes, of which there are at least so many.
fn first(bytes: &[u8], length: usize) -> &[u8] {
    debug_assert!(length <= bytes.len());
    bytes.get(..length).unwrap_or_default()
}

pub(super) fn is_ready(fd: &PollFd<'_>) -> bool {
    fd.any().unwrap_or(true)
}

pub(super) fn would_block_or_interrupted(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
