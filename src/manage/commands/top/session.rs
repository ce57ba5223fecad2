//! The loop between terminal, signals and the process that looks at the instances. Nothing here waits for
//! a file or for systemd.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTSTP};

use super::collector::Found;
use super::commands::{Job, Program, Purpose};
use super::keys::KeyDecoder;
use super::screen::Screen;
use super::view::{Action, View};
use crate::manage::commands::attach::signals::Signals;
use crate::manage::inspect::collector::Collector;
use crate::manage::limits::{COLLECTOR_PATIENCE, READING_TIME, WATCH_INTERVAL};
use crate::sys;

/// Why a session is over.
#[derive(Debug)]
pub(super) enum SessionEnd {
    Quit,
    /// A signal came.
    Signal(i32),
    /// The terminal can't be used.
    Terminal(io::Error),
    /// The process that looks at the instances has ended.
    Collector(io::Error),
}

/// A user at a terminal.
pub(super) struct Session {
    screen: Screen,
    signals: Signals,
    collector: Collector<Found>,
    program: Program,
    view: View,
    keys: KeyDecoder,
    jobs: Vec<Job>,
    /// When the instances are looked at next.
    next_look: Instant,
    /// True if the view has changed since it was drawn.
    is_changed: bool,
    /// When the process that looks at the instances was asked.
    asked: Instant,
}

impl Session {
    pub(super) fn new(
        screen: Screen,
        signals: Signals,
        collector: Collector<Found>,
        program: Program,
        view: View,
    ) -> Session {
        let now = Instant::now();
        Session {
            screen,
            signals,
            collector,
            program,
            view,
            keys: KeyDecoder::default(),
            jobs: Vec::new(),
            next_look: now + WATCH_INTERVAL,
            is_changed: true,
            asked: now,
        }
    }

    /// Shows the instances until the user quits. Then the terminal is as it was before.
    pub(super) fn run(mut self) -> SessionEnd {
        loop {
            if let Err(end) = self.turn() {
                return end;
            }
        }
    }

    fn turn(&mut self) -> Result<(), SessionEnd> {
        if std::mem::replace(&mut self.is_changed, true) {
            self.screen.draw(&mut self.view).map_err(SessionEnd::Terminal)?;
        }
        let ready = self.wait()?;
        self.handle_signals()?;
        self.end_jobs();
        if ready.answer {
            self.is_changed = self.take_answer()? || ready.keys || ready.signal;
        }
        if Instant::now() >= self.next_look {
            self.look()?;
        }
        if ready.is_hung_up {
            return Err(SessionEnd::Signal(SIGHUP));
        }
        if ready.keys {
            self.read_keys()?;
        }
        Ok(())
    }

    fn wait(&self) -> Result<Ready, SessionEnd> {
        let mut fds = [
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.screen.input().as_fd(), PollFlags::POLLIN),
            PollFd::new(self.collector.as_fd(), PollFlags::POLLIN),
        ];
        let left = self.next_look.saturating_duration_since(Instant::now());
        // Not woken a moment too early, only to wait again.
        let left = left + Duration::from_millis(1);
        match poll(&mut fds, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(SessionEnd::Terminal(error.into())),
        }
        let [signal, keys, answer] = fds.map(|fd| fd.revents().unwrap_or(PollFlags::empty()));
        Ok(Ready {
            signal: !signal.is_empty(),
            keys: keys.contains(PollFlags::POLLIN),
            is_hung_up: keys.intersects(PollFlags::POLLHUP | PollFlags::POLLERR),
            answer: !answer.is_empty(),
        })
    }

    /// Asks for what is new.
    fn look(&mut self) -> Result<(), SessionEnd> {
        let now = Instant::now();
        self.next_look = now + WATCH_INTERVAL;
        self.is_changed = true;
        if self.collector.ask().map_err(SessionEnd::Collector)? {
            self.asked = now;
        } else if now.duration_since(self.asked) >= COLLECTOR_PATIENCE {
            let seconds = now.duration_since(self.asked).as_secs();
            self.view.silence = Some(seconds);
        }
        Ok(())
    }

    /// Returns true if something else is to be shown.
    fn take_answer(&mut self) -> Result<bool, SessionEnd> {
        let Some(found) = self.collector.take().map_err(SessionEnd::Collector)? else {
            return Ok(false);
        };
        let is_new = self.view.silence.take().is_some() || found != Found::Same;
        self.view.take(found);
        Ok(is_new)
    }

    fn read_keys(&mut self) -> Result<(), SessionEnd> {
        let mut buffer = [0; 1024];
        let length = match self.screen.input().read(&mut buffer) {
            Ok(0) => return Err(SessionEnd::Signal(SIGHUP)),
            Ok(length) => length,
            Err(error) if is_passing(&error) => return Ok(()),
            Err(error) => return Err(SessionEnd::Terminal(error)),
        };
        for key in self.keys.decode(buffer.get(..length).unwrap_or_default()) {
            if let Some(action) = self.view.press(key) {
                self.act(action)?;
            }
        }
        Ok(())
    }

    fn act(&mut self, action: Action) -> Result<(), SessionEnd> {
        match action {
            Action::Quit => Err(SessionEnd::Quit),
            Action::Suspend => self.suspend(),
            Action::Redraw => {
                self.screen.leave();
                self.enter()
            }
            Action::Foreground(verb, name) => self.run_in_foreground(verb, &name),
            Action::Show(verb, name) => {
                self.start(verb, &name, Purpose::Show);
                Ok(())
            }
            Action::Restart(name) => {
                self.start("restart", &name, Purpose::Do);
                Ok(())
            }
        }
    }

    fn enter(&mut self) -> Result<(), SessionEnd> {
        self.screen.enter().map_err(SessionEnd::Terminal)
    }

    /// Stops this process, with the terminal as it was before.
    fn suspend(&mut self) -> Result<(), SessionEnd> {
        self.screen.leave();
        // Returns when this process is continued.
        let _ = signal_hook::low_level::emulate_default_handler(SIGTSTP);
        self.enter()
    }

    fn handle_signals(&mut self) -> Result<(), SessionEnd> {
        match self.signals.take() {
            0 => Ok(()),
            SIGTSTP => self.suspend(),
            // The shell may have used the terminal meanwhile.
            SIGCONT => {
                self.screen.leave();
                self.enter()
            }
            signal => Err(SessionEnd::Signal(signal)),
        }
    }

    fn start(&mut self, verb: &'static str, name: &str, purpose: Purpose) {
        match self.program.background(verb, name, purpose) {
            Ok(job) => self.jobs.push(job),
            Err(error) => self.view.say(format!("{verb} {name}: {}", sys::reason(&error))),
        }
    }

    /// Says what became of commands that have ended.
    fn end_jobs(&mut self) {
        let view = &mut self.view;
        self.jobs.retain_mut(|job| {
            let Some((status, text)) = job.end() else { return true };
            let command = format!("{} {}", job.verb, job.name);
            match job.purpose {
                Purpose::Show => view.show(&command, &text),
                Purpose::Do if status.success() => view.say(format!("{command}: done")),
                Purpose::Do => {
                    let line = text.trim_end().lines().last().unwrap_or_default();
                    let line = line.strip_prefix("manage-procs: ").unwrap_or(line);
                    view.say(match line {
                        "" => format!("{command}: {status}"),
                        line => line.to_owned(),
                    });
                }
            }
            false
        });
    }

    /// Runs a command that has the terminal, to its end.
    fn run_in_foreground(&mut self, verb: &'static str, name: &str) -> Result<(), SessionEnd> {
        self.screen.leave();
        let begun = Instant::now();
        let ended = self.program.foreground(verb, name).map(|child| self.wait_for(child));
        match ended {
            Ok(end) => {
                let status = end?;
                let is_unread = begun.elapsed() < READING_TIME;
                if !status.success() || is_unread {
                    self.wait_for_key()?;
                }
            }
            Err(error) => self.view.say(format!("{verb} {name}: {}", sys::reason(&error))),
        }
        self.next_look = Instant::now();
        self.enter()
    }

    /// Waits for a command that has the terminal. Signals that end this process end that command first.
    fn wait_for(&mut self, mut child: Child) -> Result<ExitStatus, SessionEnd> {
        let mut end = None;
        loop {
            if let Some(status) = child.try_wait().map_err(SessionEnd::Terminal)? {
                return match end {
                    Some(signal) => Err(SessionEnd::Signal(signal)),
                    None => Ok(status),
                };
            }
            let mut fds = [PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
            let _ = poll(&mut fds, PollTimeout::NONE);
            match self.signals.take() {
                // The keys are for the command.
                0 | SIGCONT | SIGINT | SIGQUIT => {}
                SIGTSTP => {
                    let _ = signal_hook::low_level::emulate_default_handler(SIGTSTP);
                }
                signal => {
                    end = Some(signal);
                    let pid = i32::try_from(child.id()).map(Pid::from_raw);
                    let signal = Signal::try_from(signal);
                    if let (Ok(pid), Ok(signal)) = (pid, signal) {
                        let _ = kill(pid, signal);
                    }
                }
            }
        }
    }

    /// Lets the user read what a command has printed.
    fn wait_for_key(&mut self) -> Result<(), SessionEnd> {
        let mut output = io::stdout();
        let shown = write!(output, "\r\n[any key: back to top] ").and_then(|()| output.flush());
        shown.map_err(SessionEnd::Terminal)?;
        self.screen.listen();
        loop {
            let ready = self.wait()?;
            match self.signals.take() {
                0 => {}
                SIGTSTP | SIGCONT => return Ok(()),
                signal => return Err(SessionEnd::Signal(signal)),
            }
            if ready.answer {
                self.take_answer()?;
            }
            if ready.is_hung_up {
                return Err(SessionEnd::Signal(SIGHUP));
            }
            if ready.keys {
                let mut typed = [0; 64];
                let _ = self.screen.input().read(&mut typed);
                return Ok(());
            }
            self.next_look = Instant::now() + WATCH_INTERVAL;
        }
    }
}

/// What there is to do.
struct Ready {
    signal: bool,
    keys: bool,
    is_hung_up: bool,
    answer: bool,
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
