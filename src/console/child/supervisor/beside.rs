//! The part of the life cycle that has to do with a child that takes the place of another.

use super::{Lifecycle, Supervisor};
use crate::console::event::ChildProcess;

impl Supervisor {
    /// A child is to be started beside the one there is. Whether there is one that may be replaced.
    pub fn begin_replacement(&mut self) -> bool {
        let Lifecycle::Running(child) = self.child else {
            return false;
        };
        self.child = Lifecycle::Replacing(child);
        true
    }

    /// It is not to be started. Whether it was to be.
    pub fn cancel_replacement(&mut self) -> bool {
        let Lifecycle::Replacing(child) = self.child else {
            return false;
        };
        self.child = Lifecycle::Running(child);
        true
    }

    /// Whether it has been asked for.
    pub fn is_replacing(&self) -> bool {
        matches!(self.child, Lifecycle::Replacing(_))
    }

    /// This one is the child.
    pub fn restore_old(&mut self, child: ChildProcess) {
        self.child = Lifecycle::Running(child);
    }

    /// The child ended after SIGTERM; this one is still to end.
    pub fn shut_down_with(&mut self, other: ChildProcess) {
        if let Lifecycle::Leaving { child, .. } = &mut self.child {
            *child = other;
        }
    }
}
