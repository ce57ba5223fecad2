//! What the service manager is told, and when: state, readiness, that the loop still turns. Knows no
//! socket: what it has to say is handed to whoever sends it, and kept if that can't be done now.
//!
//! Nothing is queued. Of each kind of message there is one, the newest, and the order in which they
//! go out makes any of them true: a reload that began before the last one ended supersedes it.

use std::io;
use std::time::Duration;

use crate::console::child::status::Status;
use crate::console::clock::Monotonic;
use crate::limits::{NOTIFY_RETRY, WATCHDOG_MIN};
use crate::sys;

/// The conversation with the service manager.
#[derive(Debug, Default)]
pub(super) struct ServiceReporter {
    /// What is to be sent, in this order.
    reloading: Option<Monotonic>,
    status: Option<String>,
    ready: bool,
    stopping: bool,
    watchdog_due: bool,
    /// What all of it is about.
    last_status: Option<Status>,
    /// Whether READY=1 was wanted once, and whether it was sent once.
    ready_wanted: bool,
    ready_sent: bool,
    /// Told, or to be told, that it reloads, and not that it has.
    reloads: bool,
    /// Half of the watchdog's time, and when it is over.
    watchdog: Option<(Duration, Monotonic)>,
    /// Nothing is sent before: the manager had no room.
    retry: Option<Monotonic>,
    /// A failure has been told, until something is sent again.
    failure_reported: bool,
}

impl ServiceReporter {
    /// Has told nothing yet. After the time `watchdog` without a sign of life, the manager takes the
    /// server for hung.
    pub(super) fn new(watchdog: Option<Duration>) -> ServiceReporter {
        let watchdog = watchdog.map(|limit| ((limit / 2).max(WATCHDOG_MIN), Monotonic(0)));
        ServiceReporter { watchdog, ..ServiceReporter::default() }
    }

    /// A reload begins; the time is not before that of the signal. Before the first READY=1 the
    /// manager doesn't want to know.
    pub(super) fn reload(&mut self, now: Monotonic) {
        if self.ready_sent {
            self.reloading = Some(now);
            self.reloads = true;
            self.ready = false;
        }
    }

    /// Whether a reload is under way.
    pub(super) fn is_reloading(&self) -> bool {
        self.reloads
    }

    /// Takes note of how things are, and says with `send` what has changed. Whether the reload, if
    /// there was one, is still under way. What is wrong, the first time.
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
            self.status = Some(status.line(name));
        }
        if status.leaving {
            self.stopping |= !before.is_some_and(|before| before.leaving);
        } else {
            self.ready |= status.ready && !std::mem::replace(&mut self.ready_wanted, status.ready);
            if self.reloads && !reloads {
                self.reloads = false;
                self.ready = true;
            }
        }
        if let Some((half, at)) = &mut self.watchdog
            && now >= *at
        {
            self.watchdog_due = true;
            *at = now + *half;
        }
        // There may be no other chance.
        let waits = self.retry.is_some_and(|at| now < at) && !status.leaving;
        if waits { None } else { self.flush(now, send) }
    }

    /// When [`turn`](Self::turn) has something to do though nothing has happened.
    pub(super) fn deadline(&self) -> Option<Monotonic> {
        // The beginning is news too, even if nothing happens.
        let first = self.last_status.is_none().then_some(Monotonic(0));
        first.into_iter().chain(self.retry).chain(self.watchdog.map(|(_, at)| at)).min()
    }

    fn flush(
        &mut self,
        now: Monotonic,
        mut send: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Option<String> {
        self.retry = None;
        while let Some(message) = self.next() {
            match send(message.as_bytes()) {
                Ok(()) => {
                    self.failure_reported = false;
                    self.ready_sent |= self.sent();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_queue_full(&error) => {
                    self.retry = Some(now + NOTIFY_RETRY);
                    return None;
                }
                // It doesn't listen any more.
                Err(error) => {
                    self.sent();
                    if !std::mem::replace(&mut self.failure_reported, true) {
                        return Some(sys::reason(&error));
                    }
                }
            }
        }
        None
    }

    fn next(&self) -> Option<String> {
        if let Some(at) = self.reloading {
            return Some(format!("RELOADING=1\nMONOTONIC_USEC={}", at.0 / 1000));
        }
        if let Some(line) = &self.status {
            return Some(format!("STATUS={line}"));
        }
        let rest = [
            (self.ready, "READY=1"),
            (self.stopping, "STOPPING=1"),
            (self.watchdog_due, "WATCHDOG=1"),
        ];
        rest.into_iter().find(|(due, _)| *due).map(|(_, message)| message.to_owned())
    }

    /// What [`next`](Self::next) gave is done with. Whether it was READY=1.
    fn sent(&mut self) -> bool {
        if self.reloading.take().is_some() || self.status.take().is_some() {
            return false;
        }
        if std::mem::take(&mut self.ready) {
            return true;
        }
        if !std::mem::take(&mut self.stopping) {
            self.watchdog_due = false;
        }
        false
    }
}

/// Whether the same message may go through a little later.
fn is_queue_full(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
        || matches!(error.raw_os_error(), Some(nix::libc::ENOBUFS | nix::libc::ENOMEM))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RestartMode;
    use crate::console::child::status::ChildPhase;

    const RUNNING: Status = Status {
        ready: true,
        leaving: false,
        mode: RestartMode::On,
        child: ChildPhase::Running(1),
    };
    const STATUS: &str = "STATUS=Child ioc running, PID 1";

    /// A manager with room for so many messages.
    struct Desk {
        manager: ServiceReporter,
        room: usize,
        got: Vec<String>,
    }

    fn desk(watchdog: Option<u64>, room: usize) -> Desk {
        let manager = ServiceReporter::new(watchdog.map(Duration::from_millis));
        Desk { manager, room, got: Vec::new() }
    }

    impl Desk {
        /// A turn at that many milliseconds. What came out of it.
        fn turn(&mut self, millis: u64, status: Status, reloads: bool) -> Vec<String> {
            let Desk { manager, room, got } = self;
            manager.turn(status, b"ioc", reloads, at(millis), |message| {
                *room = room.checked_sub(1).ok_or(io::ErrorKind::WouldBlock)?;
                got.push(String::from_utf8(message.to_vec()).unwrap());
                Ok(())
            });
            std::mem::take(got)
        }
    }

    fn at(millis: u64) -> Monotonic {
        Monotonic(millis * 1_000_000)
    }

    #[test]
    fn each_change_is_said_once() {
        let mut desk = desk(None, 100);
        assert_eq!(desk.manager.deadline(), Some(at(0)));
        let starting = Status { ready: false, ..RUNNING };
        assert_eq!(desk.turn(0, starting, false), ["STATUS=Child ioc starting, PID 1"]);
        assert!(desk.turn(1, starting, false).is_empty());
        assert_eq!(desk.turn(2, RUNNING, false), [STATUS, "READY=1"]);
        assert!(desk.turn(3, RUNNING, false).is_empty());
        let down = Status { child: ChildPhase::StartPending, ..RUNNING };
        assert_eq!(desk.turn(4, down, false), ["STATUS=Child ioc down, to be started"]);
        assert_eq!(desk.turn(5, RUNNING, false), [STATUS]);
        let leaving = Status { leaving: true, ..RUNNING };
        assert_eq!(desk.turn(6, leaving, false), ["STATUS=Child ioc ending, PID 1", "STOPPING=1"]);
        assert!(desk.turn(7, leaving, false).is_empty());
        assert_eq!(desk.manager.deadline(), None);
    }

    #[test]
    fn reload_has_a_beginning_and_an_end() {
        let mut desk = desk(None, 100);
        desk.manager.reload(at(1));
        let starting = Status { ready: false, ..RUNNING };
        desk.turn(1, starting, true);
        assert_eq!(desk.turn(2, RUNNING, false), [STATUS, "READY=1"], "none before the first");
        desk.manager.reload(at(3));
        assert_eq!(desk.turn(3, RUNNING, true), ["RELOADING=1\nMONOTONIC_USEC=3000"]);
        assert!(desk.turn(4, RUNNING, true).is_empty());
        desk.manager.reload(at(5));
        assert_eq!(desk.turn(5, RUNNING, true), ["RELOADING=1\nMONOTONIC_USEC=5000"]);
        assert_eq!(desk.turn(6, RUNNING, false), ["READY=1"]);
        assert!(desk.turn(7, RUNNING, false).is_empty());
        desk.manager.reload(at(8));
        let both = ["RELOADING=1\nMONOTONIC_USEC=8000", "READY=1"];
        assert_eq!(desk.turn(8, RUNNING, false), both);
    }

    #[test]
    fn what_has_no_room_comes_later() {
        let mut desk = desk(None, 0);
        let down = Status { ready: false, child: ChildPhase::StartPending, ..RUNNING };
        assert!(desk.turn(0, down, false).is_empty());
        assert_eq!(desk.manager.deadline(), Some(at(1000)));
        desk.room = 1;
        assert!(desk.turn(999, RUNNING, false).is_empty(), "not tried all the time");
        assert_eq!(desk.turn(1000, RUNNING, false), [STATUS], "the newest");
        desk.manager.reload(at(1100));
        desk.room = 100;
        assert_eq!(desk.turn(2000, RUNNING, false), ["READY=1"]);
        assert_eq!(desk.manager.deadline(), None);
        desk.manager.reload(at(2100));
        desk.room = 0;
        assert!(desk.turn(2100, RUNNING, false).is_empty());
        desk.manager.reload(at(2200));
        desk.room = 1;
        let leaving = Status { leaving: true, ..RUNNING };
        let said = desk.turn(2200, leaving, true);
        assert_eq!(said, ["RELOADING=1\nMONOTONIC_USEC=2200000"], "at the end at once");
        desk.room = 100;
        let last = desk.turn(2201, leaving, true);
        assert_eq!(last, ["STATUS=Child ioc ending, PID 1", "STOPPING=1"]);
    }

    #[test]
    fn watchdog_hears_twice_in_its_time() {
        let mut desk = desk(Some(3000), 100);
        assert_eq!(desk.turn(100, RUNNING, false), [STATUS, "READY=1", "WATCHDOG=1"]);
        assert_eq!(desk.manager.deadline(), Some(at(1600)));
        assert!(desk.turn(1599, RUNNING, false).is_empty());
        assert_eq!(desk.turn(1600, RUNNING, false), ["WATCHDOG=1"]);
        desk.room = 0;
        assert!(desk.turn(3100, RUNNING, false).is_empty());
        assert_eq!(desk.manager.deadline(), Some(at(4100)), "before the watchdog's own time");
        desk.room = 1;
        assert_eq!(desk.turn(4100, RUNNING, false), ["WATCHDOG=1"]);
    }

    #[test]
    fn manager_that_is_gone_is_told_of_once_and_not_asked_again() {
        let mut manager = ServiceReporter::new(None);
        let gone = |_: &[u8]| Err(io::Error::from_raw_os_error(nix::libc::ECONNREFUSED));
        let said = manager.turn(RUNNING, b"ioc", false, at(0), gone);
        assert_eq!(said.as_deref(), Some("Connection refused"));
        let down = Status { child: ChildPhase::StartPending, ..RUNNING };
        assert_eq!(manager.turn(down, b"ioc", false, at(1), gone), None);
        assert_eq!(manager.deadline(), None);
    }
}
