//! The loop between terminal and connection: one thread, one poll. Nothing in it can block, so that
//! a signal always finds it able to put the terminal back.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use signal_hook::consts::{SIGCONT, SIGHUP, SIGTSTP};

use super::replay::ReplayPhase;
use super::signals::Signals;
use super::target::ConsoleConnection;
use crate::limits::{
    ATTACH_CHUNK, ATTACH_QUEUE_MAX, FINAL_OUTPUT_TIMEOUT, TYPED_MAX, UNSENT_TIMEOUT,
};
use crate::manage::error::CommandError;
use crate::reply_filter::ReplyFilter;
use crate::sys::fd::duplicate;
use crate::sys::pty::{Terminal, reopen};
use crate::telnet::client::ClientDecoder;

/// Why a session is over.
#[derive(Debug)]
pub(super) enum SessionEnd {
    /// The detach key; so many bytes typed before it have not been sent.
    Detached(usize),
    /// The server closed the connection.
    Closed,
    /// The connection broke.
    Failed(io::Error),
    /// The terminal, or what stands in its place, can't be read or written.
    Terminal(io::Error),
    /// Standard output, no terminal, can't be written.
    Output(io::Error),
    /// This signal came.
    Signal(i32),
}

/// A terminal and a connection.
pub(super) struct Session<'a> {
    stream: &'a ConsoleConnection,
    /// In raw mode while it lives; `None` if standard input is no terminal.
    terminal: Option<Terminal>,
    input: Option<File>,
    output: File,
    /// Whether that is a terminal, perhaps another one.
    screen: bool,
    signals: Signals,
    codec: Option<ClientDecoder>,
    detach: u8,
    filter: ReplyFilter,
    replay: ReplayPhase,
    to_server: VecDeque<u8>,
    to_screen: Vec<u8>,
    /// Whether the server has been told that nothing more comes.
    ended: bool,
    /// Nothing more comes from the server. What came is still to be shown.
    closed: Option<SessionEnd>,
}

impl<'a> Session<'a> {
    /// Takes the terminal, if standard input is one.
    pub(super) fn new(
        stream: &'a ConsoleConnection,
        telnet: bool,
        detach: u8,
    ) -> Result<Session<'a>, CommandError> {
        let no_terminal = |error: io::Error| CommandError::system("the terminal", &error);
        stream.set_nonblocking().map_err(|error| CommandError::system("the connection", &error))?;
        let signals = Signals::catch().map_err(no_terminal)?;
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
            None => duplicate(&stdin).map(File::from),
        };
        let stdout = io::stdout();
        let screen = stdout.is_terminal();
        let output = if screen { reopen(stdout.as_fd()) } else { Err(io::ErrorKind::Other.into()) };
        let output = output.or_else(|_| duplicate(&stdout).map(File::from));
        Ok(Session {
            stream,
            terminal,
            input: Some(input.map_err(no_terminal)?),
            output: output.map_err(no_terminal)?,
            screen,
            signals,
            codec: telnet.then(ClientDecoder::default),
            detach,
            filter: ReplyFilter::new(),
            replay: ReplayPhase::begin(),
            to_server: VecDeque::new(),
            to_screen: Vec::new(),
            ended: false,
            closed: None,
        })
    }

    /// Runs until somebody leaves. The terminal is put back at the end.
    pub(super) fn run(mut self) -> SessionEnd {
        let end = loop {
            if let Err(end) = self.turn() {
                break end;
            }
        };
        let unsent = self.send_rest(matches!(end, SessionEnd::Detached(_)));
        if !matches!(end, SessionEnd::Terminal(_) | SessionEnd::Output(_)) {
            self.restore_screen();
        }
        self.terminal = None;
        match (self.signals.let_go(), end) {
            (Some(signal), _) => SessionEnd::Signal(signal),
            (None, SessionEnd::Detached(_)) => SessionEnd::Detached(unsent),
            (None, end) => end,
        }
    }

    /// How many bytes the server does not take, or not before a signal comes.
    fn send_rest(&mut self, patient: bool) -> usize {
        let mut left = usize::MAX;
        let mut deadline = Instant::now();
        while self.send().is_ok() && patient && !self.to_server.is_empty() {
            if self.to_server.len() < left {
                left = self.to_server.len();
                deadline = Instant::now() + UNSENT_TIMEOUT;
            }
            let time = deadline.saturating_duration_since(Instant::now());
            let mut fds = [
                PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.stream.as_fd(), PollFlags::POLLOUT),
            ];
            let _ = poll(&mut fds, PollTimeout::try_from(time).unwrap_or(PollTimeout::MAX));
            if time.is_zero() || fds.first().is_some_and(ready) {
                break;
            }
        }
        self.to_server.len()
    }

    /// Puts the modes of the screen back.
    fn restore_screen(&mut self) {
        self.filter.pass_through(b"", &mut self.to_screen);
        let mut undo = Vec::new();
        if self.screen || self.terminal.is_some() {
            undo = self.filter.reset_sequence();
        }
        if self.terminal.is_some() {
            undo.extend_from_slice(b"\r\n");
        }
        self.to_screen.extend_from_slice(&undo);
        if !self.show_all() {
            // A slow terminal; this is what matters.
            self.to_screen = undo;
            self.show_all();
        }
    }

    /// Whether the terminal has taken everything.
    fn show_all(&mut self) -> bool {
        let deadline = Instant::now() + FINAL_OUTPUT_TIMEOUT;
        while !self.to_screen.is_empty() && Instant::now() < deadline {
            let mut fds = [PollFd::new(self.output.as_fd(), PollFlags::POLLOUT)];
            let _ = poll(&mut fds, PollTimeout::from(20u8));
            if fds.iter().all(ready) && self.show().is_err() {
                break;
            }
        }
        self.to_screen.is_empty()
    }

    fn turn(&mut self) -> Result<(), SessionEnd> {
        if self.to_screen.is_empty()
            && let Some(end) = self.closed.take()
        {
            return Err(end);
        }
        let open = self.closed.is_none();
        let reads_server = open && self.to_screen.len() < ATTACH_QUEUE_MAX;
        let reads_input = match &self.terminal {
            Some(_) => self.to_server.len() < TYPED_MAX,
            None => open && self.to_server.len() < ATTACH_QUEUE_MAX,
        };
        let wants_both = |wanted: bool, more: bool| {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::POLLIN, wanted);
            flags.set(PollFlags::POLLOUT, more);
            flags
        };
        let server = wants_both(reads_server, open && !self.to_server.is_empty());
        let screen = wants_both(false, !self.to_screen.is_empty());
        let typed = wants_both(reads_input, false);
        let mut fds = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        // A descriptor that nothing is wanted of would still report that its peer is gone, for ever.
        let mut places = [None; 3];
        let input = self.input.as_ref().map(AsFd::as_fd);
        let asked = [
            (Some(self.stream.as_fd()), server),
            (Some(self.output.as_fd()), screen),
            (input, typed),
        ];
        for (place, (fd, flags)) in places.iter_mut().zip(asked) {
            if let Some(fd) = fd
                && !flags.is_empty()
            {
                *place = Some(fds.len());
                fds.push(PollFd::new(fd, flags));
            }
        }
        let timed = reads_server && !self.replay.is_shown();
        let timeout = if timed { PollTimeout::from(100u8) } else { PollTimeout::NONE };
        match poll(&mut fds, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(SessionEnd::Failed(error.into())),
        }
        let is_ready =
            |place: Option<usize>| place.and_then(|place| fds.get(place)).is_some_and(ready);
        let [server, screen, typed] = places.map(is_ready);
        self.replay.note(reads_server);
        self.handle_signal()?;
        if typed && reads_input {
            self.take()?;
        }
        if server {
            if reads_server {
                self.receive()?;
            }
            self.send()?;
        }
        if screen {
            self.show()?;
        }
        Ok(())
    }

    /// Signals.
    fn handle_signal(&mut self) -> Result<(), SessionEnd> {
        match self.signals.take() {
            0 => Ok(()),
            SIGTSTP => {
                self.restore_terminal();
                // Comes back when somebody says so.
                let _ = signal_hook::low_level::emulate_default_handler(SIGTSTP);
                self.retake_terminal();
                Ok(())
            }
            SIGCONT => {
                self.retake_terminal();
                Ok(())
            }
            signal => Err(SessionEnd::Signal(signal)),
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

    /// What was typed.
    fn take(&mut self) -> Result<(), SessionEnd> {
        let Some(input) = &mut self.input else {
            return Ok(());
        };
        let mut buffer = [0; ATTACH_CHUNK];
        let typed = match input.read(&mut buffer) {
            Ok(length) => buffer.get(..length).unwrap_or_default(),
            Err(error) if is_passing(&error) => return Ok(()),
            Err(error) => return Err(SessionEnd::Terminal(error)),
        };
        if typed.is_empty() {
            if self.terminal.is_some() {
                return Err(SessionEnd::Signal(SIGHUP));
            }
            self.input = None;
            return self.send();
        }
        self.replay.typed();
        let key = typed.iter().position(|&byte| byte == self.detach);
        let key = key.filter(|_| self.terminal.is_some());
        let kept = typed.get(..key.unwrap_or(typed.len())).unwrap_or_default();
        match self.codec {
            Some(_) => {
                let mut escaped = Vec::new();
                crate::telnet::escape(kept, &mut escaped);
                self.to_server.extend(escaped);
            }
            None => self.to_server.extend(kept),
        }
        self.send()?;
        if key.is_some() { Err(SessionEnd::Detached(0)) } else { Ok(()) }
    }

    fn send(&mut self) -> Result<(), SessionEnd> {
        use io::ErrorKind::{BrokenPipe, ConnectionReset};
        while let (rest @ [_, ..], _) = self.to_server.as_slices() {
            match self.stream.write(rest) {
                Ok(length) => drop(self.to_server.drain(..length)),
                Err(error) if is_passing(&error) => return Ok(()),
                // What the server has said before it went is still to be read.
                Err(error) if matches!(error.kind(), BrokenPipe | ConnectionReset) => {
                    self.to_server.clear();
                }
                Err(error) => return Err(SessionEnd::Failed(error)),
            }
        }
        if self.input.is_none() && !self.ended {
            self.ended = true;
            let _ = self.stream.end();
        }
        Ok(())
    }

    fn receive(&mut self) -> Result<(), SessionEnd> {
        let mut buffer = [0; ATTACH_CHUNK];
        let received = match self.stream.read(&mut buffer) {
            Ok(0) => return self.close(SessionEnd::Closed),
            Ok(length) => buffer.get(..length).unwrap_or_default(),
            Err(error) if is_passing(&error) => return Ok(()),
            Err(error) => return self.close(SessionEnd::Failed(error)),
        };
        self.replay.heard();
        let mut plain = Vec::new();
        match &mut self.codec {
            Some(codec) => {
                let mut answer = Vec::new();
                codec.decode(received, &mut plain, &mut answer);
                // Who reads no answers gets no more of them.
                if self.to_server.len() < ATTACH_QUEUE_MAX {
                    self.to_server.extend(answer);
                }
            }
            None => plain.extend_from_slice(received),
        }
        // An answer to what is only shown would be for whoever reads that terminal next.
        let answered = if self.terminal.is_some() { self.replay.is_over() } else { !self.screen };
        if answered {
            self.filter.pass_through(&plain, &mut self.to_screen);
        } else {
            self.filter.filter_queries(&plain, &mut self.to_screen);
        }
        Ok(())
    }

    fn close(&mut self, end: SessionEnd) -> Result<(), SessionEnd> {
        self.filter.pass_through(b"", &mut self.to_screen);
        self.closed = Some(end);
        Ok(())
    }

    fn show(&mut self) -> Result<(), SessionEnd> {
        let chunk = self.to_screen.get(..ATTACH_CHUNK).unwrap_or(&self.to_screen);
        match self.output.write(chunk) {
            Ok(length) => drop(self.to_screen.drain(..length)),
            Err(error) if is_passing(&error) => {}
            Err(error) if self.screen => return Err(SessionEnd::Terminal(error)),
            Err(error) => return Err(SessionEnd::Output(error)),
        }
        Ok(())
    }
}

fn ready(fd: &PollFd<'_>) -> bool {
    fd.any().unwrap_or(true)
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
