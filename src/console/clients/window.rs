//! The size of the window of the child's terminal under `--window follow`: that of the client who
//! typed last. The size is set at most once in [`WINDOW_INTERVAL`], and the last one always is.

use minicbor::{Decode, Encode};

use crate::config::{WindowPolicy, WindowSize};
use crate::console::Console;
use crate::console::clock::Monotonic;
use crate::console::event::{ClientId, Effect};
use crate::limits::WINDOW_INTERVAL;

/// What the size depends on. The type is also its own snapshot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(crate) struct ChildWindow {
    /// The size that the children are to have, once a client has told one.
    #[n(0)]
    wanted: Option<WindowSize>,
    /// The size that was set last.
    #[n(1)]
    set: Option<WindowSize>,
    /// Before this time no other size is set.
    #[cbor(n(2), default)]
    next: Monotonic,
    /// The client whose size counts: the one that typed last, or before anybody typed the one that
    /// first told a size. It may have left.
    #[n(3)]
    followed: Option<ClientId>,
    /// How often another client began to type.
    #[cbor(n(4), default)]
    turns: u64,
}

/// What is known of the window of a client. The type is also its own snapshot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ClientWindow {
    /// The size that the client told last, unless the client has no window.
    #[n(0)]
    size: Option<WindowSize>,
    /// The number of the last turn that the client typed in; 0 for one that never typed.
    #[cbor(n(1), default)]
    turn: u64,
}

impl Console {
    /// Returns true if the size of clients' windows matters.
    pub(crate) fn follows_windows(&self) -> bool {
        self.settings.console.window == WindowPolicy::Follow
    }

    /// The size that the terminal of a child has from its start on; `None` for the kernel's default.
    pub fn child_window(&self) -> Option<WindowSize> {
        match self.settings.console.window {
            WindowPolicy::Unset => None,
            WindowPolicy::Follow => self.window.wanted,
            WindowPolicy::Fixed(size) => Some(size),
        }
    }

    /// A client has told the size of its window. A size without columns or rows is none.
    pub(crate) fn window_told(&mut self, id: ClientId, size: WindowSize, now: Monotonic) {
        if !self.follows_windows() {
            return;
        }
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        client.window.size = Some(size).filter(|size| size.columns > 0 && size.rows > 0);
        if client.window.size.is_some() {
            self.window.followed.get_or_insert(id);
        }
        self.revision += 1;
        self.follow(now);
    }

    /// A client has typed.
    pub(crate) fn has_typed(&mut self, id: ClientId, now: Monotonic) {
        if !self.follows_windows() {
            return;
        }
        let turns = self.window.turns;
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        if turns > 0 && client.window.turn == turns {
            return;
        }
        client.window.turn = turns + 1;
        self.window.turns = turns + 1;
        self.window.followed = Some(id);
        self.revision += 1;
        self.follow(now);
    }

    /// A client has left: the one that typed before it counts, if any of those is still there.
    pub(crate) fn follow_another(&mut self, left: ClientId, now: Monotonic) {
        if self.window.followed != Some(left) {
            return;
        }
        let typists = self.clients.iter().filter(|(_, client)| client.window.turn > 0);
        if let Some((&id, _)) = typists.max_by_key(|(_, client)| client.window.turn) {
            self.window.followed = Some(id);
            self.revision += 1;
            self.follow(now);
        }
    }

    /// Wants the size of the client that counts. Without one, the size stays.
    fn follow(&mut self, now: Monotonic) {
        let client = self.window.followed.and_then(|id| self.clients.get(&id));
        if let Some(size) = client.and_then(|client| client.window.size) {
            self.window.wanted = Some(size);
        }
        self.poll_window(now);
    }

    /// When another size may be set, if one is to be.
    pub(crate) fn window_deadline(&self) -> Option<Monotonic> {
        (self.window.wanted != self.window.set).then_some(self.window.next)
    }

    /// Sets the size that is wanted, unless another one has just been set.
    pub(crate) fn poll_window(&mut self, now: Monotonic) {
        if let Some(size) = self.window.wanted
            && !self.exiting
            && self.window_deadline().is_some_and(|at| now >= at)
        {
            self.window.set = Some(size);
            self.window.next = now + WINDOW_INTERVAL;
            self.revision += 1;
            self.effects.push_back(Effect::SetWindow(size));
        }
    }
}
