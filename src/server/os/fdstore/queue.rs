//! What the service manager is still to be told.

use std::collections::{BTreeMap, HashMap};
use std::os::fd::OwnedFd;

/// A copy for the service manager to keep.
#[derive(Debug)]
pub(super) struct StoredFd {
    pub(super) fd: OwnedFd,
    /// True if the service manager is to close it when the other side is gone.
    pub(super) watched: bool,
}

/// What the service manager is still to be told: names, and what to keep under them; `None` removes. No
/// name is looked for among all, as there may be as many as clients.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// In the order of their numbers.
    messages: BTreeMap<u64, (String, Option<StoredFd>)>,
    /// The numbers of the messages with a copy, by name.
    stored: HashMap<String, u64>,
    /// The number of the last message.
    last: u64,
}

impl Queue {
    /// The service manager is to keep a copy under this name.
    pub(super) fn store(&mut self, name: &str, copy: StoredFd) {
        self.last += 1;
        self.messages.insert(self.last, (name.to_owned(), Some(copy)));
        self.stored.insert(name.to_owned(), self.last);
    }

    /// The service manager is to close what it keeps under this name.
    pub(super) fn remove(&mut self, name: &str) {
        // What it was not told of is only taken out of the queue, which so has at most one entry for
        // each descriptor that there is.
        if let Some(number) = self.stored.remove(name) {
            self.messages.remove(&number);
        } else {
            self.last += 1;
            self.messages.insert(self.last, (name.to_owned(), None));
        }
    }

    /// The same, before anything else that it is told.
    pub(super) fn remove_first(&mut self, name: &str) {
        self.messages.insert(0, (name.to_owned(), None));
    }

    /// The next message.
    pub(super) fn first(&self) -> Option<(&str, Option<&StoredFd>)> {
        let (_, (name, copy)) = self.messages.first_key_value()?;
        Some((name, copy.as_ref()))
    }

    /// The next message was sent, or nobody takes it.
    pub(super) fn pop(&mut self) {
        if let Some((number, (name, _))) = self.messages.pop_first()
            && self.stored.get(&name) == Some(&number)
        {
            self.stored.remove(&name);
        }
    }

    /// Returns true if the service manager was told everything.
    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }
}
