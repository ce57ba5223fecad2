//! The journal of systemd, for `--events journal`. Entries are sent at once and never waited for: journald
//! that is stopped or busy loses entries, which are counted, and their number is an entry once journald
//! takes entries again.

mod entry;

use std::io;

use serde::Serialize;

use super::json::{EventBody, line};
use super::works_again;
use crate::console::clock::Monotonic;
use crate::handover::state::JournalState;
use crate::limits::LOG_RETRY;
use crate::server::os::journal::SendEntry;
use crate::sys::process::user::local_name;

/// The journal, as the event loop knows it.
pub(super) struct Journal {
    sender: Box<dyn SendEntry>,
    /// The name of the server's child.
    name: String,
    state: JournalState,
    /// While entries are lost: the next try without an event.
    retry_at: Monotonic,
    /// What was last reported: that the journal takes entries, or not.
    works: Option<bool>,
    /// What is to be reported.
    news: Option<Result<(), String>>,
}

/// How many events there were, in the status file.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct JournalJson {
    sent: u64,
    lost: u64,
}

impl Journal {
    /// The journal at the other end of `sender`, for the server with this name.
    pub(super) fn new(sender: Box<dyn SendEntry>, name: String) -> Journal {
        let retry_at = Monotonic::default();
        Journal { sender, name, state: JournalState::default(), retry_at, works: None, news: None }
    }

    /// Goes on where another program stopped.
    pub(super) fn restore(&mut self, state: JournalState) {
        self.state = state;
    }

    /// What another program needs to go on.
    pub(super) fn state(&self) -> JournalState {
        self.state
    }

    /// How many events there were.
    pub(super) fn totals(&self) -> JournalJson {
        JournalJson { sent: self.state.sent, lost: self.state.lost }
    }

    /// The number of events so far, which grows with each.
    pub(super) fn revision(&self) -> u64 {
        self.state.sent.saturating_add(self.state.lost)
    }

    /// Sends an event, which is a line of the events file, or counts it as lost.
    pub(super) fn push(&mut self, line: &[u8], millis: i64) {
        let result = self.report_lost(millis).and_then(|()| self.send(line));
        let counter = if result.is_ok() { &mut self.state.sent } else { &mut self.state.lost };
        *counter = counter.saturating_add(1);
        if result.is_err() {
            self.state.untold = self.state.untold.saturating_add(1);
        }
        self.note(result);
    }

    /// Tells of the events that were lost, if there are any and it is time. Returns the result of what was
    /// sent if it is news.
    pub(super) fn turn(&mut self, now: Monotonic, millis: i64) -> Option<Result<(), String>> {
        if self.state.untold > 0 && now >= self.retry_at {
            self.retry_at = now + LOG_RETRY;
            let result = self.report_lost(millis);
            self.note(result);
        }
        self.news.take()
    }

    /// When [`turn`](Self::turn) has something to do though nothing has happened.
    pub(super) fn deadline(&self) -> Option<Monotonic> {
        match (&self.news, self.state.untold) {
            (Some(_), _) => Some(Monotonic::default()),
            (None, 0) => None,
            (None, _) => Some(self.retry_at),
        }
    }

    /// Returns what there is to say at the end of events that nobody was told of.
    pub(super) fn finish(&mut self, millis: i64) -> Option<String> {
        let is_told = self.report_lost(millis).is_ok();
        let count = self.state.untold;
        (!is_told).then(|| format!("{count} events were not sent to the journal"))
    }

    fn note(&mut self, result: io::Result<()>) {
        if let Some(news) = works_again(&mut self.works, result) {
            self.news = Some(news);
        }
    }

    fn report_lost(&mut self, millis: i64) -> io::Result<()> {
        if let count @ 1.. = self.state.untold {
            self.send(&line(&EventBody::EventsLost { count }, millis))?;
            self.state.untold = 0;
        }
        Ok(())
    }

    fn send(&mut self, line: &[u8]) -> io::Result<()> {
        let user = |uid| match local_name(uid) {
            Some(name) => format!("{name} (uid {uid})"),
            None => format!("uid {uid}"),
        };
        self.sender.send(&entry::entry(&self.name, line, &user))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;

    /// What was sent. Entries are refused while there is no room.
    #[derive(Clone, Default)]
    struct Queue {
        sent: Rc<RefCell<Vec<String>>>,
        room: Rc<RefCell<usize>>,
    }

    impl SendEntry for Queue {
        fn send(&mut self, entry: &[u8]) -> io::Result<()> {
            let mut room = self.room.borrow_mut();
            *room = room.checked_sub(1).ok_or(io::ErrorKind::WouldBlock)?;
            let message = String::from_utf8_lossy(entry);
            let message =
                message.lines().next().and_then(|line| line.strip_prefix("MESSAGE=ioc: "));
            self.sent.borrow_mut().push(message.unwrap().to_owned());
            Ok(())
        }
    }

    fn start(journal: &mut Journal, pid: i32) {
        journal.push(&line(&EventBody::ChildStart { pid }, 0), 0);
    }

    #[test]
    fn lost_entries_are_counted_and_told() {
        let queue = Queue::default();
        let mut journal = Journal::new(Box::new(queue.clone()), "ioc".to_owned());
        *queue.room.borrow_mut() = 1;
        (1..=4).for_each(|pid| start(&mut journal, pid));
        assert!(journal.turn(Monotonic(1), 0).unwrap().is_err());
        assert_eq!(journal.turn(Monotonic(2), 0), None);
        let retry = Monotonic(1) + LOG_RETRY;
        assert_eq!(journal.deadline(), Some(retry));
        // A successor goes on with it.
        let mut next = Journal::new(Box::new(queue.clone()), "ioc".to_owned());
        next.restore(journal.state());
        assert!(next.finish(0).unwrap().starts_with("3 events"));
        *queue.room.borrow_mut() = 100;
        assert_eq!(next.turn(retry, 0), Some(Ok(())));
        assert_eq!(next.deadline(), None);
        start(&mut next, 5);
        assert_eq!(next.finish(0), None);
        let expected = ["child started (PID 1)", "3 events were lost", "child started (PID 5)"];
        assert_eq!(*queue.sent.borrow(), expected);
        assert_eq!((next.totals().sent, next.totals().lost, next.revision()), (2, 3, 5));
    }

    #[test]
    fn the_number_comes_before_the_next_entry() {
        let queue = Queue::default();
        let mut journal = Journal::new(Box::new(queue.clone()), "ioc".to_owned());
        start(&mut journal, 1);
        // Room for the number alone.
        *queue.room.borrow_mut() = 1;
        start(&mut journal, 2);
        *queue.room.borrow_mut() = 2;
        start(&mut journal, 3);
        let expected = ["1 events were lost", "1 events were lost", "child started (PID 3)"];
        assert_eq!(*queue.sent.borrow(), expected);
    }
}
