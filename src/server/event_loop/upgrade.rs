//! Upgrade in place: another program takes this server's place in the same process, with its child,
//! its sockets and its state.
//!
//! 1. Check run: the program installed now is run beside the server with the present state, and has
//!    to prove that it can read it. The loop goes on meanwhile.
//! 2. The writing threads are told to finish, as exec(2) would wait for one that hangs in a write.
//!    The loop goes on meanwhile, but hands nothing to them.
//! 3. At the end of a turn the state is taken anew, and the very file that had the check run is
//!    executed. If another one was installed meanwhile, that one gets a check run first.
//!
//! If anything fails before the exec or in it, this server goes on and says why in its log.

use super::child::{Child, ReadResult};
use super::poll_stream::filled;
use crate::console::clock::{Monotonic, Timestamps};
use crate::console::event::{Event, ExitStatus};
use crate::handover::{self, format};
use crate::limits::{ANSWER_MAX, HANDOVER_TIMEOUT, READ_SIZE, UPGRADE_CHECKS};
use crate::server::Server;
use crate::server::os::fdstore::FdStore;
use crate::server::os::{ExecFailure, Process, System};
use crate::server::records::Records;
use crate::server::writers::sink::SinkWriter;
use crate::sys;

/// The state of an upgrade.
pub(crate) struct Handover<P> {
    step: Step<P>,
    /// True if another upgrade was requested during this one.
    upgrade_requested: bool,
    /// The number of check runs that this upgrade has had.
    checks: usize,
}

enum Step<P> {
    /// No upgrade is under way.
    Idle,
    /// The new program is run to check whether it can read the state.
    Checking {
        program: Child<P>,
        /// The part of its answer that was read.
        answer: Vec<u8>,
        /// The digest that its answer has to have.
        digest: u32,
        /// The time by which the answer has to be complete.
        until: Monotonic,
    },
    /// The new program passed the check; the writing threads are finishing.
    Finishing {
        /// The time by which they have to be done.
        until: Monotonic,
    },
}

impl<P: Process> Handover<P> {
    /// No upgrade is under way.
    pub(crate) fn new() -> Handover<P> {
        Handover { step: Step::Idle, upgrade_requested: false, checks: 0 }
    }

    /// The new program, during its check run.
    pub(crate) fn program(&mut self) -> Option<&mut Child<P>> {
        match &mut self.step {
            Step::Checking { program, .. } => Some(program),
            Step::Idle | Step::Finishing { .. } => None,
        }
    }

    /// The time at which the upgrade is given up.
    pub(crate) fn deadline(&self) -> Option<Monotonic> {
        match self.step {
            Step::Idle => None,
            Step::Checking { until, .. } | Step::Finishing { until } => Some(until),
        }
    }
}

impl<S: System> Server<S> {
    /// SIGUSR1 asks for an upgrade.
    pub(crate) fn upgrade(&mut self, now: Timestamps) {
        if !matches!(self.handover.step, Step::Idle) {
            self.handover.upgrade_requested = true;
            return;
        }
        self.handover.checks = 0;
        self.begin_check(now);
    }

    fn begin_check(&mut self, now: Timestamps) {
        self.handover.checks += 1;
        let token = self.tokens.take();
        let begun = self.state(self.handed_over()).and_then(|state| {
            let bytes = format::encode(&state);
            let program = self.system.spawn_check(&bytes, token)?;
            Ok((Child::new(program, token), format::digest(&bytes)))
        });
        match begun {
            Ok((program, digest)) => {
                let until = now.mono + HANDOVER_TIMEOUT;
                let answer = Vec::new();
                self.handover.step = Step::Checking { program, answer, digest, until };
            }
            Err(error) => self.upgrade_failed(&sys::reason(&error), now),
        }
    }

    /// The last part of a turn: takes the upgrade one step on.
    pub(crate) fn continue_upgrade(&mut self, now: Timestamps) {
        match &mut self.handover.step {
            Step::Idle => {}
            Step::Checking { program, answer, until, .. } => {
                read_answer(program, answer);
                if answer.len() > ANSWER_MAX {
                    self.upgrade_failed("the new program does something else", now);
                } else if let Some(status) = program.ended() {
                    self.check_finished(status, now);
                } else if now.mono >= *until {
                    self.upgrade_failed("the new program gave no answer in time", now);
                }
            }
            Step::Finishing { until } => {
                let late = now.mono >= *until;
                let writers = || [&self.log, &self.stdout, &self.syslog].into_iter().flatten();
                let refusal = writers().find_map(SinkWriter::refusal).map(str::to_owned);
                let records_rest = self.records.as_ref().is_none_or(Records::is_quiesced);
                let writers_rest = writers().all(SinkWriter::is_quiesced);
                let store_rests = self.store.as_ref().is_none_or(FdStore::is_flushed);
                if let Some(reason) = refusal {
                    return self.upgrade_failed(&reason, now);
                }
                let files_rest = self.system.files_rest();
                match (writers_rest && records_rest && files_rest, late) {
                    (true, false) if store_rests => self.exec_upgrade(now),
                    (true, false) => {}
                    (true, true) => self.upgrade_failed("service manager is hung", now),
                    (false, true) if !writers_rest => self.upgrade_failed("log is hung", now),
                    (false, true) if !records_rest => self.upgrade_failed("events are hung", now),
                    (false, true) => self.upgrade_failed("PID file is hung", now),
                    (false, false) => {}
                }
            }
        }
    }

    /// The check run has ended.
    fn check_finished(&mut self, status: ExitStatus, now: Timestamps) {
        let Step::Checking { answer, digest, .. } = &self.handover.step else {
            return;
        };
        let verdict = match (status, answer.as_slice()) {
            (_, [0, error @ ..]) => {
                let errno = <[u8; 4]>::try_from(error).map_or(0, i32::from_ne_bytes);
                Err(sys::strerror(errno))
            }
            (ExitStatus::Code(0), answer) if answer == handover::answer(*digest) => Ok(()),
            (ExitStatus::Code(0), _) => Err("the new program did not answer".to_owned()),
            (ExitStatus::Code(code), answer) => {
                let words = String::from_utf8_lossy(answer);
                let words = words.lines().next().unwrap_or_default();
                Err(format!("the new program refused with status {code}: {words}"))
            }
            (ExitStatus::Unknown, _) => Err("the new program is gone".to_owned()),
            (ExitStatus::Signal(signal), _) => {
                Err(format!("the new program was killed by signal {signal}"))
            }
        };
        match verdict {
            Ok(()) => {
                self.end_check();
                for writer in
                    [&mut self.log, &mut self.stdout, &mut self.syslog].into_iter().flatten()
                {
                    writer.pause();
                }
                if let Some(records) = &mut self.records {
                    records.pause();
                }
                self.handover.step = Step::Finishing { until: now.mono + HANDOVER_TIMEOUT };
                // Most threads have nothing to do anyway.
                self.write_sinks(now);
                self.continue_upgrade(now);
            }
            Err(reason) => self.upgrade_failed(&reason, now),
        }
    }

    /// Gives the upgrade up: the threads that write get jobs again.
    pub(crate) fn cancel_upgrade(&mut self) {
        self.end_check();
        self.system.discard_check();
        for writer in [&mut self.log, &mut self.stdout, &mut self.syslog].into_iter().flatten() {
            writer.resume();
        }
        if let Some(records) = &mut self.records {
            records.resume();
        }
    }

    fn end_check(&mut self) {
        let step = std::mem::replace(&mut self.handover.step, Step::Idle);
        if let Step::Checking { program, .. } = step {
            program.reap();
            self.reap_orphans();
        }
    }

    /// Executes the new program. Returns only if that fails.
    fn exec_upgrade(&mut self, now: Timestamps) {
        let again = std::mem::take(&mut self.handover.upgrade_requested);
        self.publish(now);
        let failure = match self.state(self.handed_over()) {
            Ok(mut state) => {
                state.records = self.records.as_ref().map(|it| it.state(true)).unwrap_or_default();
                let numbers: Vec<i32> = state.descriptors().map(|fd| fd.number).collect();
                self.system.exec_successor(&format::encode(&state), &numbers, again)
            }
            Err(error) => {
                self.handover.upgrade_requested = again;
                error.into()
            }
        };
        match failure {
            // The signals that may have come are handled first.
            ExecFailure::SignalsPending => self.handover.upgrade_requested |= again,
            ExecFailure::ProgramChanged => {
                self.handover.upgrade_requested |= again;
                self.check_again(now);
            }
            // A pending upgrade request was sent again as SIGUSR1, so it is not counted here.
            ExecFailure::Refused(error) => self.upgrade_failed(&sys::reason(&error), now),
        }
    }

    /// Another program was installed after the check run.
    fn check_again(&mut self, now: Timestamps) {
        if self.handover.checks >= UPGRADE_CHECKS {
            self.upgrade_failed("the new program was replaced again and again", now);
            return;
        }
        self.cancel_upgrade();
        self.begin_check(now);
        self.write_sinks(now);
        self.write_records(now);
    }

    fn upgrade_failed(&mut self, reason: &str, now: Timestamps) {
        self.cancel_upgrade();
        self.console.handle(Event::UpgradeFailed(reason), now);
        let text = format!("not upgraded: {reason}");
        self.system.log_stderr(text.as_bytes());
        self.debug_line(&text);
        if std::mem::take(&mut self.handover.upgrade_requested) {
            self.upgrade(now);
        }
        self.write_sinks(now);
        self.write_records(now);
    }
}

fn read_answer<P: Process>(program: &mut Child<P>, answer: &mut Vec<u8>) {
    let mut buffer = [0; READ_SIZE];
    while program.is_readable() && answer.len() <= ANSWER_MAX {
        match program.read(&mut buffer) {
            ReadResult::Bytes(count) => {
                answer.extend_from_slice(filled(&buffer, count));
            }
            ReadResult::Nothing => return,
            // That the program has ended is seen elsewhere.
            ReadResult::Closed => {}
        }
    }
}
