//! The oracle's part about the size of the child's window: it is found out anew each time from who is
//! there and in which order they typed.

use std::collections::BTreeMap;

use crate::config::{WindowPolicy, WindowSize};
use crate::console::clock::Timestamps;
use crate::console::event::{ClientId, Effect};
use crate::console::sim::oracle::Oracle;
use crate::console::sim::reached;

const TENTH: u64 = 100_000_000;

#[derive(Debug, Default)]
pub struct ExpectedWindow {
    /// The sizes that clients have, of those that have one.
    sizes: BTreeMap<ClientId, WindowSize>,
    /// The clients that typed and are there, the last one last.
    typists: Vec<ClientId>,
    somebody_typed: bool,
    /// The client that was the first to tell a size.
    first: Option<ClientId>,
    wanted: Option<WindowSize>,
    set: Option<WindowSize>,
    set_at: Option<u64>,
}

impl Oracle {
    pub fn follows_windows(&self) -> bool {
        self.settings.console.window == WindowPolicy::Follow
    }

    /// A client told this size.
    pub fn window_told(&mut self, id: ClientId, size: WindowSize, now: Timestamps) {
        if self.exiting || !self.follows_windows() {
            return;
        }
        if size.columns == 0 || size.rows == 0 {
            reached("a window of no size");
            self.window.sizes.remove(&id);
        } else {
            self.window.sizes.insert(id, size);
            self.window.first.get_or_insert(id);
        }
        self.window_changed(now.mono.0);
    }

    /// A client typed something.
    pub fn typed(&mut self, id: ClientId, now: Timestamps) {
        if self.exiting || !self.follows_windows() || self.window.typists.last() == Some(&id) {
            return;
        }
        self.window.typists.retain(|&typist| typist != id);
        self.window.typists.push(id);
        self.window.somebody_typed = true;
        self.window_changed(now.mono.0);
    }

    pub fn window_closed(&mut self, id: ClientId, now: Timestamps) {
        let counted = self.window.typists.last() == Some(&id);
        self.window.sizes.remove(&id);
        self.window.typists.retain(|&typist| typist != id);
        if counted && !self.window.typists.is_empty() && !self.exiting {
            reached("a window followed the typist before");
            self.window_changed(now.mono.0);
        }
    }

    fn window_changed(&mut self, now: u64) {
        let window = &mut self.window;
        let counted =
            if window.somebody_typed { window.typists.last().copied() } else { window.first };
        let size = counted.and_then(|id| window.sizes.get(&id)).copied();
        window.wanted = size.or(window.wanted);
        self.window_time_passed(now);
    }

    pub fn window_deadline(&self) -> Option<u64> {
        let window = &self.window;
        let next = window.set_at.map_or(0, |at| at + TENTH);
        (window.wanted != window.set).then_some(next)
    }

    pub fn window_time_passed(&mut self, now: u64) {
        let Some(size) = self.window.wanted.filter(|_| !self.exiting) else {
            return;
        };
        match self.window_deadline() {
            Some(at) if at <= now => {
                self.window.set = Some(size);
                self.window.set_at = Some(now);
                self.effects.push_back(Effect::SetWindow(size));
            }
            Some(_) => reached("a window changed too soon"),
            None => {}
        }
    }
}
