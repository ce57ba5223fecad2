//! When a child is started, and when the server leaves.
//!
//! There is a child, or there is none. While there is none, what comes next follows from five
//! facts, so it is computed and never stored:
//!
//! - Under `--wait`, until a user starts the first child by hand: nothing.
//! - No child was started yet: one is, at once, in every mode.
//! - Mode ON: one is started when the holdoff time since the last start is over
//!   ([`holdoff`](crate::console::child::restart_delay)).
//! - Mode OFF: nothing.
//! - Mode ONESHOT: if one more is due (the first one, or the one that choosing ONESHOT with the
//!   toggle asks for), as in ON. If none is due, the server exits when the holdoff time since the
//!   last start is over: units with `Restart=always` rely on that wait not to spin.
//!
//! A user's start (`^R`, or the kill character on a dead child) waits for none of this; in ONESHOT
//! with nothing due it makes the server exit at once.
//!
//! A child that makes itself a daemon ends well and goes on as another process: until that is known
//! it counts as running. What a child left behind may have to be killed: until that is done nothing
//! else comes, neither a start nor the exit.
//!
//! A child may be replaced by one that is started beside it; what becomes of the other then is told
//! in [`overlap`](crate::console::child::overlap). All of the above looks at the new one.
//!
//! SIGTERM with a child signals it and leaves when it is gone: after the grace period it gets
//! SIGKILL, and should not even that end it, the server leaves without it.

mod beside;
mod kin;

use std::time::Duration;

use minicbor::{Decode, Encode};

use super::orphan_cleanup::{AfterCleanup, OrphanCleanup};
use super::restart_delay::RestartDelay;
use super::status::ChildPhase;
use crate::config::RestartMode;
use crate::console::clock::{Monotonic, Timestamps};
use crate::console::event::{ChildProcess, ExitStatus};
use crate::console::snapshot::InvalidSnapshot;
use crate::limits::{DAEMON_SCAN_INTERVAL, KILL_WAIT, START_RETRY, UNKNOWN_EXIT_CODE};

/// The child's life cycle. It is its own record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Supervisor {
    // No Option: one of a kind that an older program does not know would be no child to it.
    #[n(0)]
    child: Lifecycle,
    #[n(1)]
    mode: RestartMode,
    /// From the settings.
    #[cbor(skip)]
    policy: Policy,
    /// When the last child was started, or its start was tried.
    #[n(2)]
    last_start: Option<Monotonic>,
    /// `--wait`, and no user has started a child yet.
    #[cbor(n(3), default)]
    waiting: bool,
    /// In ONESHOT one more start is due.
    #[cbor(n(4), default)]
    oneshot_start_pending: bool,
    /// The last start failed.
    #[cbor(n(5), default)]
    last_start_failed: bool,
    /// Exit status of the last child that ended normally, or under `--signal-status` at all.
    #[cbor(n(6), default)]
    last_code: u8,
    /// How many children were started.
    #[cbor(n(7), default)]
    starts: u64,
    /// The child is one that made itself a daemon.
    #[cbor(n(8), default)]
    daemon: bool,
    /// So many children in a row died within the holdoff time.
    #[cbor(n(9), default)]
    deaths: u32,
}

/// What of the settings decides here.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// How long it is from one start to the next.
    pub holdoff: RestartDelay,
    /// Whether a death by a signal counts as an exit status: 128 and its number.
    pub signal_status: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
enum Lifecycle {
    #[n(0)]
    None,
    /// Asked for, not yet answered.
    #[n(1)]
    Starting,
    #[n(2)]
    Running(#[n(0)] ChildProcess),
    /// SIGTERM came. `until` is the time of the next step: SIGKILL, or after it leaving anyhow.
    #[n(3)]
    Leaving {
        #[n(0)]
        child: ChildProcess,
        #[n(1)]
        killed: bool,
        #[n(2)]
        until: Monotonic,
    },
    /// The child has ended as one that makes itself a daemon does; which process that is is not
    /// known yet.
    #[n(4)]
    Forked {
        #[n(0)]
        first: ChildProcess,
        /// It has to be known by then.
        #[n(1)]
        until: Monotonic,
        /// When to look next.
        #[n(2)]
        look: Monotonic,
    },
    /// What it left behind is being killed.
    #[n(5)]
    CleaningUp(#[n(0)] OrphanCleanup),
    /// Another one was asked for beside it, not yet answered.
    #[n(6)]
    Replacing(#[n(0)] ChildProcess),
}

/// What comes next while there is no child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Nothing,
    Start(Monotonic),
    Exit(Monotonic),
}

/// What is to be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Start a child.
    Start,
    /// Exit with this status.
    Exit(u8),
    /// SIGTERM's grace is over: kill the child's process group.
    Kill,
    /// The child survives SIGKILL: leave without it.
    ExitWithoutChild,
    /// Look which process the child has become.
    FindDaemon,
    /// Send this signal to what the child left behind.
    SignalOrphans(i32),
}

impl Supervisor {
    /// Before the first start.
    pub fn new(mode: RestartMode, wait: bool, policy: Policy) -> Supervisor {
        Supervisor {
            child: Lifecycle::None,
            mode,
            policy,
            last_start: None,
            waiting: wait,
            oneshot_start_pending: true,
            last_start_failed: false,
            last_code: 0,
            starts: 0,
            deaths: 0,
            daemon: false,
        }
    }

    /// What follows from no setting.
    pub fn snapshot(&self) -> Supervisor {
        Supervisor { policy: Policy::default(), ..*self }
    }

    /// Goes on from a record.
    pub fn restore(record: Supervisor, policy: Policy) -> Result<Supervisor, InvalidSnapshot> {
        if matches!(record.child, Lifecycle::Starting | Lifecycle::Replacing(_)) {
            // The effect was obeyed, and its answer would never come.
            return Err(InvalidSnapshot("a child is being started"));
        }
        // A signal to the groups 0 and 1 is one to ourselves, or to everybody.
        if record.running().is_some_and(|child| child.pid <= 1) {
            return Err(InvalidSnapshot("the child's PID can be no child's"));
        }
        Ok(Supervisor { policy, ..record })
    }

    /// The mode as users see it.
    pub fn mode(&self) -> RestartMode {
        self.mode
    }

    /// The child, while there is one.
    pub fn running(&self) -> Option<ChildProcess> {
        match self.child {
            Lifecycle::Running(child)
            | Lifecycle::Replacing(child)
            | Lifecycle::Leaving { child, .. }
            | Lifecycle::Forked { first: child, .. } => Some(child),
            Lifecycle::None | Lifecycle::Starting | Lifecycle::CleaningUp(_) => None,
        }
    }

    /// The child, or what follows.
    pub fn phase(&self) -> ChildPhase {
        match self.child {
            Lifecycle::Running(child)
            | Lifecycle::Replacing(child)
            | Lifecycle::Leaving { child, .. }
            | Lifecycle::Forked { first: child, .. } => ChildPhase::Running(child.pid),
            Lifecycle::Starting
            | Lifecycle::CleaningUp(OrphanCleanup { then: AfterCleanup::Start, .. }) => {
                ChildPhase::StartPending
            }
            Lifecycle::CleaningUp(OrphanCleanup { then: AfterCleanup::Exit(_), .. }) => {
                ChildPhase::ExitPending
            }
            Lifecycle::None | Lifecycle::CleaningUp(_) => match self.next() {
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

    /// How many children were started after the first.
    pub fn restarts(&self) -> u64 {
        self.starts.saturating_sub(1)
    }

    /// When [`poll`](Self::poll) has something to do.
    pub fn deadline(&self) -> Option<Monotonic> {
        match self.child {
            Lifecycle::None => match self.next() {
                Next::Nothing => None,
                Next::Start(at) | Next::Exit(at) => Some(at),
            },
            Lifecycle::Starting | Lifecycle::Running(_) | Lifecycle::Replacing(_) => None,
            Lifecycle::Leaving { until, .. } => Some(until),
            Lifecycle::Forked { look, .. } => Some(look),
            Lifecycle::CleaningUp(clearing) => Some(clearing.deadline()),
        }
    }

    /// What time has made due. Asked too early or twice, it is nothing.
    pub fn poll(&mut self, now: Monotonic) -> Option<Action> {
        match &mut self.child {
            Lifecycle::Forked { look, .. } if now < *look => return None,
            Lifecycle::Forked { look, .. } => {
                *look = now + DAEMON_SCAN_INTERVAL;
                return Some(Action::FindDaemon);
            }
            Lifecycle::CleaningUp(clearing) => {
                return clearing.poll(now).map(Action::SignalOrphans);
            }
            Lifecycle::None
            | Lifecycle::Starting
            | Lifecycle::Running(_)
            | Lifecycle::Replacing(_)
            | Lifecycle::Leaving { .. } => {}
        }
        match self.child {
            Lifecycle::None => match self.next() {
                Next::Start(at) if now >= at => Some(self.start(now)),
                Next::Exit(at) if now >= at => Some(Action::Exit(self.last_code)),
                Next::Start(_) | Next::Exit(_) | Next::Nothing => None,
            },
            Lifecycle::Starting
            | Lifecycle::Running(_)
            | Lifecycle::Replacing(_)
            | Lifecycle::Forked { .. }
            | Lifecycle::CleaningUp(_) => None,
            Lifecycle::Leaving { until, .. } if now < until => None,
            Lifecycle::Leaving { killed: true, .. } => Some(Action::ExitWithoutChild),
            Lifecycle::Leaving { child, killed: false, .. } => {
                self.child = Lifecycle::Leaving { child, killed: true, until: now + KILL_WAIT };
                Some(Action::Kill)
            }
        }
    }

    /// A user asked for a child while there was none.
    pub fn start_by_hand(&mut self, now: Monotonic) -> Option<Action> {
        let exits = self.mode == RestartMode::Oneshot && !self.oneshot_start_pending;
        match &mut self.child {
            Lifecycle::CleaningUp(clearing) => {
                self.waiting = false;
                let then =
                    if exits { AfterCleanup::Exit(self.last_code) } else { AfterCleanup::Start };
                if clearing.then == AfterCleanup::Wait {
                    clearing.then = then;
                }
                None
            }
            Lifecycle::None => {
                self.waiting = false;
                if exits { Some(Action::Exit(self.last_code)) } else { Some(self.start(now)) }
            }
            Lifecycle::Starting
            | Lifecycle::Running(_)
            | Lifecycle::Replacing(_)
            | Lifecycle::Leaving { .. }
            | Lifecycle::Forked { .. } => None,
        }
    }

    /// The next mode: ON, OFF, ONESHOT if users know it, ON.
    pub fn toggle(&mut self, with_oneshot: bool) -> RestartMode {
        self.mode = match self.mode {
            RestartMode::On => RestartMode::Off,
            RestartMode::Off if with_oneshot => RestartMode::Oneshot,
            RestartMode::Off | RestartMode::Oneshot => RestartMode::On,
        };
        if self.mode == RestartMode::Oneshot {
            self.oneshot_start_pending = true;
        }
        self.mode
    }

    /// The child asked for runs. The one beside which it was started.
    pub fn started(&mut self, pid: i32, now: Timestamps) -> Option<ChildProcess> {
        let beside = match self.child {
            Lifecycle::Replacing(child) => Some(child),
            Lifecycle::None
            | Lifecycle::Starting
            | Lifecycle::Running(_)
            | Lifecycle::Leaving { .. }
            | Lifecycle::Forked { .. }
            | Lifecycle::CleaningUp(_) => None,
        };
        if beside.is_some() {
            self.last_start = Some(now.mono);
            self.oneshot_start_pending = false;
        }
        self.child = Lifecycle::Running(ChildProcess { pid, started: now.wall });
        self.last_start_failed = false;
        self.starts += 1;
        beside
    }

    /// The child asked for could not be started; the try counts for the holdoff.
    pub fn start_failed(&mut self) {
        self.child = Lifecycle::None;
        self.oneshot_start_pending = true;
        self.last_start_failed = true;
    }

    /// The child ended. Whether the server was only waiting for that.
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
            self.deaths =
                self.policy.holdoff.next_streak(self.deaths, now.saturating_duration_since(start));
        }
        let leaving = matches!(self.child, Lifecycle::Leaving { .. });
        self.child = Lifecycle::None;
        leaving
    }

    /// SIGTERM with a child: from now on its end is the server's. The child has had the kill
    /// signal; whether it has had SIGKILL too, and else how long it may take.
    pub fn begin_shutdown(&mut self, killed: bool, grace: Duration, now: Monotonic) {
        if let Lifecycle::Running(child) = self.child {
            let wait = if killed { KILL_WAIT } else { grace };
            self.child = Lifecycle::Leaving { child, killed, until: now + wait };
        }
    }

    /// Whether SIGTERM came already, and the child has not had SIGKILL.
    pub fn in_grace(&self) -> bool {
        let clearing = matches!(
            self.child,
            Lifecycle::CleaningUp(OrphanCleanup { then: AfterCleanup::Exit(_), .. })
        );
        clearing || matches!(self.child, Lifecycle::Leaving { killed: false, .. })
    }

    /// Whether SIGTERM came already, or something else decided that the server leaves.
    pub fn is_leaving(&self) -> bool {
        let clearing = matches!(
            self.child,
            Lifecycle::CleaningUp(OrphanCleanup { then: AfterCleanup::Exit(_), .. })
        );
        clearing || matches!(self.child, Lifecycle::Leaving { .. })
    }

    /// Ends the grace period.
    pub fn end_grace(&mut self, now: Monotonic) {
        match &mut self.child {
            Lifecycle::Leaving { killed: false, until, .. } => *until = now,
            Lifecycle::CleaningUp(clearing) => clearing.end_grace(now),
            _ => {}
        }
    }

    fn start(&mut self, now: Monotonic) -> Action {
        self.child = Lifecycle::Starting;
        self.daemon = false;
        self.last_start = Some(now);
        self.oneshot_start_pending = false;
        Action::Start
    }

    fn next(&self) -> Next {
        let Some(last_start) = self.last_start else {
            return if self.waiting { Next::Nothing } else { Next::Start(Monotonic(0)) };
        };
        // Without holdoff a system that has no process to give would be asked without pause.
        let least = if self.last_start_failed { START_RETRY } else { Duration::ZERO };
        let ready = last_start + self.policy.holdoff.delay(self.deaths).max(least);
        match self.mode {
            _ if self.waiting => Next::Nothing,
            RestartMode::On => Next::Start(ready),
            RestartMode::Off => Next::Nothing,
            RestartMode::Oneshot if self.oneshot_start_pending => Next::Start(ready),
            RestartMode::Oneshot => Next::Exit(ready),
        }
    }
}
