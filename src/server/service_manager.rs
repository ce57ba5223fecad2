//! What the service manager is told, and when: state, readiness, that the event loop still turns.
//! The protocol is that of sd_notify(3). A [`ServiceReporter`] knows no socket: it hands its messages
//! to whoever sends them, and keeps those that can't be sent now.
//!
//! Nothing is queued. Of each kind of message there is one, the newest, and the order in which they
//! are sent makes any of them true: a reload that began before the last one ended supersedes it.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use crate::console::child::status::Status;
use crate::console::clock::Monotonic;
use crate::limits::{NOTIFY_RETRY, WATCHDOG_MIN};
use crate::sys;
use crate::sys::socket::is_queue_full;

/// The server's conversation with the service manager.
#[derive(Debug, Default)]
pub(super) struct ServiceReporter {
    /// The messages that are yet to be sent.
    pending: BTreeMap<Message, String>,
    phase: Phase,
    /// The status that was reported last, or is pending.
    last_status: Option<Status>,
    /// Half of the watchdog's time, and when the next sign of life is due.
    watchdog: Option<(Duration, Monotonic)>,
    /// The service manager had no room: nothing is sent before this time.
    retry_at: Option<Monotonic>,
    /// True if a failure was returned and nothing could be sent since.
    failure_reported: bool,
}

/// The kinds of messages, in the order in which they are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Message {
    Reloading,
    Status,
    Ready,
    Stopping,
    Watchdog,
}

/// How far the service is, for the service manager. That it stops is part of its status.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The service is not ready.
    #[default]
    Starting,
    /// The service is ready, but the first READY=1 was not sent.
    Ready,
    /// READY=1 was sent.
    Running,
    /// The last RELOADING=1, sent or pending, is not followed by a READY=1.
    Reloading,
}

impl ServiceReporter {
    /// A reporter that has sent nothing. `watchdog` is the time without a sign of life after which
    /// the service manager takes the server for hung.
    pub(super) fn new(watchdog: Option<Duration>) -> ServiceReporter {
        let watchdog = watchdog.map(|limit| ((limit / 2).max(WATCHDOG_MIN), Monotonic(0)));
        ServiceReporter { watchdog, ..ServiceReporter::default() }
    }

    /// A reload begins. `now` must not be before the time of the signal that asked for it: the
    /// service manager compares. It doesn't want to know of reloads before the first READY=1 or
    /// after STOPPING=1.
    pub(super) fn reload(&mut self, now: Monotonic) {
        if self.last_status.is_some_and(|status| status.leaving) {
            return;
        }
        if matches!(self.phase, Phase::Running | Phase::Reloading) {
            self.phase = Phase::Reloading;
            let text = format!("RELOADING=1\nMONOTONIC_USEC={}", now.0 / 1000);
            self.pending.insert(Message::Reloading, text);
            self.pending.remove(&Message::Ready);
        }
    }

    /// Returns true if a reload is under way.
    pub(super) fn is_reloading(&self) -> bool {
        self.phase == Phase::Reloading
    }

    /// Takes note of how the service is, and whether a reload that has begun still goes on. Sends
    /// what is pending with `send`. Returns the first failure after something was sent.
    pub(super) fn turn(
        &mut self,
        status: Status,
        name: &[u8],
        reloads: bool,
        now: Monotonic,
        send: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Option<String> {
        let before = self.last_status.replace(status);
        if before != self.last_status {
            self.pending.insert(Message::Status, format!("STATUS={}", status.line(name)));
        }
        if status.leaving {
            if !before.is_some_and(|before| before.leaving) {
                self.pending.insert(Message::Stopping, "STOPPING=1".to_owned());
            }
        } else {
            let next = match self.phase {
                Phase::Starting if status.ready => Phase::Ready,
                Phase::Reloading if !reloads => Phase::Running,
                phase => phase,
            };
            if next != self.phase {
                self.phase = next;
                self.pending.insert(Message::Ready, "READY=1".to_owned());
            }
        }
        if let Some((half, at)) = &mut self.watchdog
            && now >= *at
        {
            self.pending.insert(Message::Watchdog, "WATCHDOG=1".to_owned());
            *at = now + *half;
        }
        // Who leaves may have no other chance.
        let waits = self.retry_at.is_some_and(|at| now < at) && !status.leaving;
        if waits { None } else { self.flush(now, send) }
    }

    /// When [`turn`](Self::turn) has something to do though nothing has happened.
    pub(super) fn deadline(&self) -> Option<Monotonic> {
        // The first status is to be sent even if nothing happens.
        let first = self.last_status.is_none().then_some(Monotonic(0));
        first.into_iter().chain(self.retry_at).chain(self.watchdog.map(|(_, at)| at)).min()
    }

    fn flush(
        &mut self,
        now: Monotonic,
        mut send: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Option<String> {
        self.retry_at = None;
        while let Some(message) = self.pending.first_entry() {
            match send(message.get().as_bytes()) {
                Ok(()) => {
                    self.failure_reported = false;
                    let (message, _) = message.remove_entry();
                    if message == Message::Ready && self.phase == Phase::Ready {
                        self.phase = Phase::Running;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_queue_full(&error) => {
                    self.retry_at = Some(now + NOTIFY_RETRY);
                    return None;
                }
                // The service manager doesn't listen any more, and does not get this message.
                Err(error) => {
                    message.remove();
                    if !std::mem::replace(&mut self.failure_reported, true) {
                        return Some(sys::reason(&error));
                    }
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RestartMode;
    use crate::console::child::status::ChildPhase;
    use nix::errno::Errno;

    const RUNNING: Status = Status {
        ready: true,
        leaving: false,
        mode: RestartMode::On,
        child: ChildPhase::Running(1),
    };
    const STATUS: &str = "STATUS=Child ioc running, PID 1";

    /// A reporter, and a service manager that has room for so many messages.
    struct Fixture {
        reporter: ServiceReporter,
        room: usize,
        sent: Vec<String>,
    }

    fn fixture(watchdog: Option<u64>, room: usize) -> Fixture {
        let reporter = ServiceReporter::new(watchdog.map(Duration::from_millis));
        Fixture { reporter, room, sent: Vec::new() }
    }

    impl Fixture {
        /// Makes a turn at this time in milliseconds. Returns the messages that were sent.
        fn turn(&mut self, millis: u64, status: Status, reloads: bool) -> Vec<String> {
            let Fixture { reporter, room, sent } = self;
            reporter.turn(status, b"ioc", reloads, at(millis), |message| {
                *room = room.checked_sub(1).ok_or(io::ErrorKind::WouldBlock)?;
                sent.push(String::from_utf8(message.to_vec()).unwrap());
                Ok(())
            });
            std::mem::take(sent)
        }
    }

    fn at(millis: u64) -> Monotonic {
        Monotonic(millis * 1_000_000)
    }

    #[test]
    fn each_change_is_said_once() {
        let mut fixture = fixture(None, 100);
        assert_eq!(fixture.reporter.deadline(), Some(at(0)));
        let starting = Status { ready: false, ..RUNNING };
        assert_eq!(fixture.turn(0, starting, false), ["STATUS=Child ioc starting, PID 1"]);
        assert!(fixture.turn(1, starting, false).is_empty());
        assert_eq!(fixture.turn(2, RUNNING, false), [STATUS, "READY=1"]);
        assert!(fixture.turn(3, RUNNING, false).is_empty());
        let down = Status { child: ChildPhase::StartPending, ..RUNNING };
        assert_eq!(fixture.turn(4, down, false), ["STATUS=Child ioc down, to be started"]);
        assert_eq!(fixture.turn(5, RUNNING, false), [STATUS]);
        let leaving = Status { leaving: true, ..RUNNING };
        assert_eq!(
            fixture.turn(6, leaving, false),
            ["STATUS=Child ioc ending, PID 1", "STOPPING=1"]
        );
        assert!(fixture.turn(7, leaving, false).is_empty());
        assert_eq!(fixture.reporter.deadline(), None);
    }

    #[test]
    fn reload_has_a_beginning_and_an_end() {
        let mut fixture = fixture(None, 100);
        fixture.reporter.reload(at(1));
        let starting = Status { ready: false, ..RUNNING };
        fixture.turn(1, starting, true);
        assert_eq!(fixture.turn(2, RUNNING, false), [STATUS, "READY=1"], "none before the first");
        fixture.reporter.reload(at(3));
        assert_eq!(fixture.turn(3, RUNNING, true), ["RELOADING=1\nMONOTONIC_USEC=3000"]);
        assert!(fixture.turn(4, RUNNING, true).is_empty());
        fixture.reporter.reload(at(5));
        assert_eq!(fixture.turn(5, RUNNING, true), ["RELOADING=1\nMONOTONIC_USEC=5000"]);
        assert_eq!(fixture.turn(6, RUNNING, false), ["READY=1"]);
        assert!(fixture.turn(7, RUNNING, false).is_empty());
        fixture.reporter.reload(at(8));
        let both = ["RELOADING=1\nMONOTONIC_USEC=8000", "READY=1"];
        assert_eq!(fixture.turn(8, RUNNING, false), both);
        let leaving = Status { leaving: true, ..RUNNING };
        fixture.turn(9, leaving, false);
        fixture.reporter.reload(at(10));
        assert!(fixture.turn(10, leaving, true).is_empty(), "none after the end has begun");
    }

    #[test]
    fn what_has_no_room_comes_later() {
        let mut fixture = fixture(None, 0);
        let down = Status { ready: false, child: ChildPhase::StartPending, ..RUNNING };
        assert!(fixture.turn(0, down, false).is_empty());
        assert_eq!(fixture.reporter.deadline(), Some(at(1000)));
        fixture.room = 1;
        assert!(fixture.turn(999, RUNNING, false).is_empty(), "not tried all the time");
        assert_eq!(fixture.turn(1000, RUNNING, false), [STATUS], "the newest");
        fixture.reporter.reload(at(1100));
        fixture.room = 100;
        assert_eq!(fixture.turn(2000, RUNNING, false), ["READY=1"]);
        assert_eq!(fixture.reporter.deadline(), None);
        fixture.reporter.reload(at(2100));
        fixture.room = 0;
        assert!(fixture.turn(2100, RUNNING, false).is_empty());
        fixture.reporter.reload(at(2200));
        fixture.room = 1;
        let leaving = Status { leaving: true, ..RUNNING };
        let said = fixture.turn(2200, leaving, true);
        assert_eq!(said, ["RELOADING=1\nMONOTONIC_USEC=2200000"], "at the end at once");
        fixture.room = 100;
        let last = fixture.turn(2201, leaving, true);
        assert_eq!(last, ["STATUS=Child ioc ending, PID 1", "STOPPING=1"]);
    }

    #[test]
    fn watchdog_hears_twice_in_its_time() {
        let mut fixture = fixture(Some(3000), 100);
        assert_eq!(fixture.turn(100, RUNNING, false), [STATUS, "READY=1", "WATCHDOG=1"]);
        assert_eq!(fixture.reporter.deadline(), Some(at(1600)));
        assert!(fixture.turn(1599, RUNNING, false).is_empty());
        assert_eq!(fixture.turn(1600, RUNNING, false), ["WATCHDOG=1"]);
        fixture.room = 0;
        assert!(fixture.turn(3100, RUNNING, false).is_empty());
        assert_eq!(fixture.reporter.deadline(), Some(at(4100)), "before the watchdog's own time");
        fixture.room = 1;
        assert_eq!(fixture.turn(4100, RUNNING, false), ["WATCHDOG=1"]);
    }

    #[test]
    fn manager_that_is_gone_is_told_of_once_and_not_asked_again() {
        let mut reporter = ServiceReporter::new(None);
        let gone = |_: &[u8]| Err(io::Error::from_raw_os_error(Errno::ECONNREFUSED as i32));
        let said = reporter.turn(RUNNING, b"ioc", false, at(0), gone);
        assert_eq!(said.as_deref(), Some("Connection refused"));
        let down = Status { child: ChildPhase::StartPending, ..RUNNING };
        assert_eq!(reporter.turn(down, b"ioc", false, at(1), gone), None);
        assert_eq!(reporter.deadline(), None);
    }
}
