//! The sizes of windows: what clients tell, and what the children's terminals have in the end.

use std::time::Duration;

use super::Run;
use super::settings::settings_of;
use super::world::{Id, World};
use crate::config::{WindowPolicy, WindowSize};
use crate::limits::WINDOW_INTERVAL;
use crate::sim_support::Random;

/// A client agrees to tell its window, and tells 77 columns and 7 rows, which no other window has.
pub(super) const WINDOW: &[u8] = b"\xff\xfb\x1f\xff\xfa\x1f\0\x4d\0\x07\xff\xf0";
const VIEWERS: WindowSize = WindowSize { columns: 77, rows: 7 };

/// What a client sends that tells a window, perhaps without columns.
pub(super) fn told(random: &mut Random) -> Vec<u8> {
    let columns = random.below(3) as u8 * 80;
    [&b"\xff\xfb\x1f\xff\xfa\x1f\0"[..], &[columns, 0, 24], b"\xff\xf0"].concat()
}

/// The terminal of `-f` gets another size.
pub(super) fn resize_terminal(world: &mut World, id: Id) {
    let size = WindowSize { columns: 1 + world.random.below(200) as u16, rows: 50 };
    world.pipe(id).window = Some(size);
    (world.signals.window, world.woken) = (true, true);
    world.print(&format!("the terminal has {size:?}"));
}

impl Run {
    /// The children have one window, that of who typed last, and it never changed faster than allowed.
    pub(super) fn check_windows(&mut self) {
        let follows = settings_of(self.seed).console.window == WindowPolicy::Follow;
        if self.server.exit.is_none() {
            {
                let mut world = self.world.borrow_mut();
                resize_terminal(&mut world, self.reference);
                world.send(self.reference, b"typed\r", false);
            }
            self.settle();
            self.sleep(WINDOW_INTERVAL);
            self.settle();
            let mut world = self.world.borrow_mut();
            let size = world.pipe(self.reference).window.filter(|_| follows);
            let children: Vec<Id> = world.children.iter().map(|child| child.pipe).collect();
            for id in children {
                assert_eq!(world.pipe(id).window, size, "the window of a child");
            }
        }
        for pipe in self.world.borrow().pipes.values().filter(|pipe| pipe.is_child) {
            assert!(follows || pipe.window.is_none() && pipe.window_changes.is_empty());
            assert_ne!(pipe.window, Some(VIEWERS), "the window of a viewer");
            for pair in pipe.window_changes.windows(2) {
                assert!(Duration::from_nanos(pair[1] - pair[0]) >= WINDOW_INTERVAL, "too often");
            }
        }
    }
}
