//! When a child is started, and when the server exits.
//!
//! While no child runs, what comes next follows from five facts, so it is computed and never stored:
//!
//! - Under `--wait`, until a user starts the first child by hand: nothing.
//! - No child was started yet: one is started at once, in every mode.
//! - Mode ON: a child is started when the holdoff time since the last start is over
//!   ([`RestartDelay`]), but not sooner than [`RESTART_INTERVAL_MIN`] after that start.
//! - Mode OFF: nothing.
//! - Mode ONESHOT: if one more start is pending (the first one, or the one that choosing ONESHOT
//!   with the toggle asks for), as in ON. If none is pending, the server exits when the holdoff time
//!   since the last start is over: units with `Restart=always` rely on that wait not to spin.
//!
//! A start by a user (`^R`, or the kill character while no child runs) waits for none of this; in
//! ONESHOT with no start pending it makes the server exit at once.
//!
//! With two children under `--overlap` ([`overlap`](super::overlap)), all of this is about the new
//! one.

use std::time::Duration;

use minicbor::{Decode, Encode};

use super::lifecycle::{Child, Lifecycle, Start};
use super::orphan_cleanup::{AfterCleanup, OrphanCleanup};
use super::restart_delay::RestartDelay;
use super::status::ChildPhase;
use crate::config::RestartMode;
use crate::console::clock::{Monotonic, Timestamps};
use crate::console::error::InvalidSnapshot;
use crate::console::event::{ChildProcess, ExitStatus};
use crate::limits::{
    DAEMON_SCAN_INTERVAL, KILL_WAIT, RESTART_INTERVAL_MIN, START_RETRY, UNKNOWN_EXIT_CODE,
};

/// The child's life cycle. The type is also its own snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Supervisor {
    // Not an `Option` of a child: minicbor decodes an unknown variant inside an `Option` as `None`,
    // and an older program would then believe that there is no child.
    #[n(0)]
    pub(super) state: Lifecycle,
    #[n(1)]
    mode: RestartMode,
    /// From the settings.
    #[cbor(skip)]
    policy: Policy,
    #[n(2)]
    last_start: Option<Start>,
    /// True under `--wait` until a user starts the first child.
    #[cbor(n(3), default)]
    waiting: bool,
    /// True if mode ONESHOT has one more start to make.
    #[cbor(n(4), default)]
    oneshot_start_pending: bool,
    /// Exit status of the last child that ended normally, or under `--signal-status` at all.
    #[cbor(n(6), default)]
    last_code: u8,
    /// How many children were started.
    #[cbor(n(7), default)]
    starts: u64,
    /// How many children in a row died within the holdoff time.
    #[cbor(n(9), default)]
    deaths: u32,
}

/// The settings that decide here.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// The time from one start to the next.
    pub holdoff: RestartDelay,
    /// True if a death by a signal counts as an exit status: 128 and the signal's number.
    pub signal_status: bool,
    /// True if the child makes itself a daemon. What it leaves behind if it does not is killed.
    pub daemonizes: bool,
    /// True if processes that left the child's process group are killed after it.
    pub kill_orphans: bool,
    /// What such processes get between SIGTERM and SIGKILL.
    pub grace: Duration,
}

/// What comes next while no child runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Nothing,
    Start(Monotonic),
    Exit(Monotonic),
}

/// What the console has to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Start a child.
    Start,
    /// Exit with this status.
    Exit(u8),
    /// Send the child the kill signal, as its time after the text of `--stop-input` is over.
    EndStop,
    /// Kill the child's process group, as its grace period after SIGTERM is over.
    Kill,
    /// Exit without the child, which survives SIGKILL.
    ExitWithoutChild,
    /// Find the process that the child has become.
    FindDaemon,
    /// Send this signal to the processes that the child left behind.
    SignalOrphans(i32),
}

impl Supervisor {
    /// The state before the first start.
    pub fn new(mode: RestartMode, wait: bool, policy: Policy) -> Supervisor {
        Supervisor {
            state: Lifecycle::NoChild,
            mode,
            policy,
            last_start: None,
            waiting: wait,
            oneshot_start_pending: true,
            last_code: 0,
            starts: 0,
            deaths: 0,
        }
    }

    /// A copy without the settings.
    pub fn snapshot(&self) -> Supervisor {
        Supervisor { policy: Policy::default(), ..*self }
    }

    /// Goes on from a snapshot.
    ///
    /// # Errors
    ///
    /// If the child is one that no console can have had.
    pub fn restore(snapshot: Supervisor, policy: Policy) -> Result<Supervisor, InvalidSnapshot> {
        if matches!(snapshot.state, Lifecycle::Starting | Lifecycle::Replacing(_)) {
            // The effect has been carried out, and its answer would never come.
            return Err(InvalidSnapshot("a child is being started"));
        }
        // A signal to the process groups 0 and 1 is one to ourselves, or to everybody.
        if snapshot.running().is_some_and(|child| child.pid <= 1) {
            return Err(InvalidSnapshot("the child's PID can be no child's"));
        }
        Ok(Supervisor { policy, ..snapshot })
    }

    /// The restart mode.
    pub fn mode(&self) -> RestartMode {
        self.mode
    }

    /// The child, while one runs.
    pub fn running(&self) -> Option<ChildProcess> {
        self.state.child().map(|child| child.process)
    }

    /// What the child does, or what comes next.
    pub fn phase(&self) -> ChildPhase {
        if let Some(child) = self.running() {
            return ChildPhase::Running(child.pid);
        }
        match self.state {
            Lifecycle::Starting
            | Lifecycle::CleaningUp(OrphanCleanup { then: AfterCleanup::Start, .. }) => {
                ChildPhase::StartPending
            }
            _ if self.is_leaving() => ChildPhase::ExitPending,
            _ => match self.next() {
                Next::Start(_) => ChildPhase::StartPending,
                Next::Nothing => ChildPhase::Stopped,
                Next::Exit(_) => ChildPhase::ExitPending,
            },
        }
    }

    /// The status that the server exits with by itself: that of the last child that ended normally,
    /// 0 if none did.
    pub fn last_code(&self) -> u8 {
        self.last_code
    }

    /// Returns true if a child was started.
    pub fn has_started(&self) -> bool {
        self.starts > 0
    }

    /// Returns how many children were started after the first.
    pub fn restarts(&self) -> u64 {
        self.starts.saturating_sub(1)
    }

    /// When [`poll`](Self::poll) has something to do.
    pub fn deadline(&self) -> Option<Monotonic> {
        match self.state {
            Lifecycle::NoChild => match self.next() {
                Next::Nothing => None,
                Next::Start(at) | Next::Exit(at) => Some(at),
            },
            Lifecycle::Starting | Lifecycle::Running(_) | Lifecycle::Replacing(_) => None,
            Lifecycle::Leaving { until, .. } => Some(until),
            Lifecycle::AwaitingDaemon { next_scan, .. } => Some(next_scan),
            Lifecycle::CleaningUp(cleanup) => Some(cleanup.deadline()),
        }
    }

    /// What is due at the time `now`. Called too early or twice, it returns `None`.
    pub fn poll(&mut self, now: Monotonic) -> Option<Action> {
        if self.deadline().is_none_or(|at| now < at) {
            return None;
        }
        match self.state {
            Lifecycle::NoChild => match self.next() {
                Next::Nothing => None,
                Next::Start(_) => Some(self.start(now)),
                Next::Exit(_) => Some(Action::Exit(self.last_code)),
            },
            Lifecycle::Starting | Lifecycle::Running(_) | Lifecycle::Replacing(_) => None,
            Lifecycle::Leaving { asked: true, .. } => Some(Action::EndStop),
            Lifecycle::Leaving { killed: false, .. } => {
                self.begin_shutdown(true, now);
                Some(Action::Kill)
            }
            Lifecycle::Leaving { killed: true, .. } => {
                if let cleanup @ Lifecycle::CleaningUp(_) = self.without_child(now) {
                    self.state = cleanup;
                }
                Some(Action::ExitWithoutChild)
            }
            Lifecycle::AwaitingDaemon { first, until, .. } => {
                let next_scan = now + DAEMON_SCAN_INTERVAL;
                self.state = Lifecycle::AwaitingDaemon { first, until, next_scan };
                Some(Action::FindDaemon)
            }
            Lifecycle::CleaningUp(mut cleanup) => {
                let signal = cleanup.poll(now);
                self.state = Lifecycle::CleaningUp(cleanup);
                signal.map(Action::SignalOrphans)
            }
        }
    }

    /// A user asks for a child.
    pub fn start_by_hand(&mut self, now: Monotonic) -> Option<Action> {
        let exits = self.mode == RestartMode::Oneshot && !self.oneshot_start_pending;
        match &mut self.state {
            Lifecycle::CleaningUp(cleanup) => {
                self.waiting = false;
                if cleanup.then == AfterCleanup::Wait {
                    let exit = AfterCleanup::Exit(self.last_code);
                    cleanup.then = if exits { exit } else { AfterCleanup::Start };
                }
                None
            }
            Lifecycle::NoChild => {
                self.waiting = false;
                Some(if exits { Action::Exit(self.last_code) } else { self.start(now) })
            }
            _ => None,
        }
    }

    /// Switches to the next mode: ON, OFF, ONESHOT if users know it, ON.
    pub fn toggle(&mut self, with_oneshot: bool) -> RestartMode {
        self.set_mode(match self.mode {
            RestartMode::On => RestartMode::Off,
            RestartMode::Off if with_oneshot => RestartMode::Oneshot,
            RestartMode::Off | RestartMode::Oneshot => RestartMode::On,
        });
        self.mode
    }

    /// Switches to this mode.
    pub fn set_mode(&mut self, mode: RestartMode) {
        self.mode = mode;
        self.oneshot_start_pending |= mode == RestartMode::Oneshot;
    }

    /// The child that was asked for runs. Returns the child that it was started beside.
    pub fn started(&mut self, pid: i32, now: Timestamps) -> Option<ChildProcess> {
        let replaced = if self.is_replacing() { self.running() } else { None };
        self.oneshot_start_pending &= replaced.is_none();
        self.last_start = match self.last_start {
            // The attempt counts from when it began.
            Some(Start { at, .. }) if replaced.is_none() => Some(Start { at, failed: false }),
            _ => Some(Start { at: now.mono, failed: false }),
        };
        self.state = Lifecycle::running(ChildProcess { pid, started: now.wall });
        self.starts += 1;
        replaced
    }

    /// The child that was asked for could not be started. The attempt counts for the holdoff time.
    pub fn start_failed(&mut self) {
        self.state = Lifecycle::NoChild;
        self.oneshot_start_pending = true;
        if let Some(start) = &mut self.last_start {
            start.failed = true;
        }
    }

    /// The child ended. Returns true if the server was only waiting for that.
    pub fn ended(&mut self, status: ExitStatus, now: Monotonic) -> bool {
        match status {
            ExitStatus::Code(code) => self.last_code = code,
            // Signals have numbers up to 64.
            ExitStatus::Signal(signal) if self.policy.signal_status => {
                self.last_code = 128 | signal as u8;
            }
            ExitStatus::Unknown => self.last_code = UNKNOWN_EXIT_CODE,
            ExitStatus::Signal(_) => {}
        }
        if let Some(start) = self.last_start {
            let run = now.saturating_duration_since(start.at);
            self.deaths = self.policy.holdoff.next_streak(self.deaths, run);
        }
        let was_leaving = matches!(self.state, Lifecycle::Leaving { .. });
        self.state = self.without_child(now);
        was_leaving
    }

    /// Begins the server's exit: SIGTERM came, and the child was typed the text of `--stop-input`. The
    /// child has until `until` to end, and no other one is started.
    pub fn begin_stop(&mut self, until: Monotonic) {
        if let Lifecycle::Running(child) = self.state {
            self.state = Lifecycle::Leaving { child, killed: false, until, asked: true };
            self.mode = RestartMode::Off;
        }
    }

    /// Returns true if the child was typed the text of `--stop-input` and has still time to end.
    pub fn is_stopping(&self) -> bool {
        matches!(self.state, Lifecycle::Leaving { asked: true, .. })
    }

    /// Begins the server's exit, or goes on with it: SIGTERM came, and the child has been sent the kill
    /// signal. `killed` is true if it has been sent SIGKILL, too; else it has the grace period to end.
    pub fn begin_shutdown(&mut self, killed: bool, now: Monotonic) {
        if let Lifecycle::Running(child) | Lifecycle::Leaving { child, .. } = self.state {
            let wait = if killed { KILL_WAIT } else { self.policy.grace };
            self.state = Lifecycle::Leaving { child, killed, until: now + wait, asked: false };
        }
    }

    /// Returns true if the server exits when the child, or its orphans, are gone.
    pub fn is_leaving(&self) -> bool {
        self.state.is_leaving()
    }

    /// Returns true if the server exits, and the child has not been sent SIGKILL.
    pub fn in_grace(&self) -> bool {
        self.is_leaving() && !matches!(self.state, Lifecycle::Leaving { killed: true, .. })
    }

    /// Ends the present wait: that of `--stop-input`, or the grace period of the child or of its orphans.
    pub fn end_grace(&mut self, now: Monotonic) {
        match &mut self.state {
            Lifecycle::Leaving { killed: false, until, .. } => *until = now,
            Lifecycle::CleaningUp(cleanup) => cleanup.end_grace(now),
            _ => {}
        }
    }

    /// Asks for a child beside the running one. Returns false if no child runs that may be replaced.
    pub fn begin_replacement(&mut self) -> bool {
        let Lifecycle::Running(child) = self.state else {
            return false;
        };
        self.state = Lifecycle::Replacing(child);
        true
    }

    /// Cancels a pending replacement. Returns true if there was one.
    pub fn cancel_replacement(&mut self) -> bool {
        let Lifecycle::Replacing(child) = self.state else {
            return false;
        };
        self.state = Lifecycle::Running(child);
        true
    }

    /// Returns true if a child beside the running one was asked for, and the answer has not come.
    pub fn is_replacing(&self) -> bool {
        matches!(self.state, Lifecycle::Replacing(_))
    }

    /// The old child takes the place of the current one.
    pub fn restore_old(&mut self, old: ChildProcess) {
        self.state = Lifecycle::running(old);
    }

    /// The current child ended after SIGTERM, and the old child is still to end.
    pub fn shut_down_with(&mut self, old: ChildProcess) {
        if let Lifecycle::Leaving { child, .. } = &mut self.state {
            *child = Child { process: old, is_daemon: false };
        }
    }

    /// Takes the number of orphans that the last scan found. Returns what follows if the cleanup is
    /// over.
    pub fn cleanup_scanned(&mut self, count: usize, now: Monotonic) -> Option<Action> {
        let Lifecycle::CleaningUp(cleanup) = &mut self.state else {
            return None;
        };
        if !cleanup.scanned(count, now) {
            return None;
        }
        let then = cleanup.then;
        self.state = Lifecycle::NoChild;
        match then {
            AfterCleanup::Wait => None,
            AfterCleanup::Start => Some(self.start(now)),
            AfterCleanup::Exit(code) => Some(Action::Exit(code)),
        }
    }

    /// If orphans are being killed, makes the server exit after that, and returns true.
    pub fn exit_after_cleanup(&mut self, code: u8) -> bool {
        let Lifecycle::CleaningUp(cleanup) = &mut self.state else {
            return false;
        };
        cleanup.then = AfterCleanup::Exit(code);
        true
    }

    fn start(&mut self, now: Monotonic) -> Action {
        self.state = Lifecycle::Starting;
        self.last_start = Some(Start { at: now, failed: false });
        self.oneshot_start_pending = false;
        Action::Start
    }

    /// The state after the child, which may have left orphans.
    fn without_child(&self, now: Monotonic) -> Lifecycle {
        let Policy { daemonizes, kill_orphans, grace, .. } = self.policy;
        let is_daemon = self.state.child().is_some_and(|child| child.is_daemon);
        if kill_orphans || (daemonizes && !is_daemon) {
            Lifecycle::CleaningUp(OrphanCleanup::new(grace, AfterCleanup::Wait, now))
        } else {
            Lifecycle::NoChild
        }
    }

    fn next(&self) -> Next {
        if self.waiting {
            return Next::Nothing;
        }
        let Some(start) = self.last_start else {
            return Next::Start(Monotonic(0));
        };
        // Without a holdoff time, a child that ends at once would be started without pause, and a system
        // that has no process to give would be asked without pause.
        let least = if start.failed { START_RETRY } else { RESTART_INTERVAL_MIN };
        let delay = self.policy.holdoff.delay(self.deaths);
        match self.mode {
            RestartMode::Off => Next::Nothing,
            RestartMode::Oneshot if !self.oneshot_start_pending => Next::Exit(start.at + delay),
            RestartMode::On | RestartMode::Oneshot => Next::Start(start.at + delay.max(least)),
        }
    }
}
