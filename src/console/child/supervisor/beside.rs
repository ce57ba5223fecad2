//! The part of the life cycle that has to do with a child that takes the place of another.

use super::{Child, Supervisor};
use crate::console::event::Running;

impl Supervisor {
    /// A child is to be started beside the one there is. Whether there is one that may be replaced.
    pub fn begin_beside(&mut self) -> bool {
        let Child::Running(child) = self.child else {
            return false;
        };
        self.child = Child::Replacing(child);
        true
    }

    /// It is not to be started. Whether it was to be.
    pub fn cancel_beside(&mut self) -> bool {
        let Child::Replacing(child) = self.child else {
            return false;
        };
        self.child = Child::Running(child);
        true
    }

    /// Whether it has been asked for.
    pub fn is_replacing(&self) -> bool {
        matches!(self.child, Child::Replacing(_))
    }

    /// This one is the child.
    pub fn stand_in(&mut self, child: Running) {
        self.child = Child::Running(child);
    }

    /// The child ended after SIGTERM; this one is still to end.
    pub fn leave_with(&mut self, other: Running) {
        if let Child::Leaving { child, .. } = &mut self.child {
            *child = other;
        }
    }
}
