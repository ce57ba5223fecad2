//! Upgrades in the simulation: what the new program does in its check run, and a server that goes
//! on where another one stopped.

use std::cell::RefCell;

use nix::errno::Errno;

use super::settings::{Seconds, settings};
use super::world::{Id, World};
use super::{LISTENERS, Run, servers};
use crate::console::Console;
use crate::console::event::Event;
use crate::handover::{answer, format};
use crate::limits::{HANDOVER_TIMEOUT, SHORTAGE_RETRY, UPGRADE_CHECKS};
use crate::server::os::Ready;
use crate::server::os::persist::retry;
use crate::sys::process::ExitStatus;

/// A message that stands where the messages of another server to the service manager begin.
pub(super) const NEW: &str = "upgraded";

/// The new program answers in its check run, says something else, fails, dies, or hangs.
pub(super) fn continue_check(world: &mut World) {
    let Some((program, state)) = &world.check_run else {
        return;
    };
    let (id, digest) = (program.pipe, format::digest(state));
    let state = format::decode(state).unwrap();
    Console::restore(settings(), Box::new(Seconds), state.console).unwrap();
    let kind = world.random.below(10);
    world.print(&format!("the new program does {kind}"));
    let end = match kind {
        0 => ExitStatus::Code(0),
        1 => ExitStatus::Code(1),
        2 => ExitStatus::Signal(11),
        3 => {
            world.send(id, b"something else", false);
            ExitStatus::Code(0)
        }
        4 => return,
        5 => {
            world.send(id, &[b'x'; 10_000], false);
            return;
        }
        _ => {
            world.send(id, &answer(digest), false);
            ExitStatus::Code(0)
        }
    };
    world.end(id, end);
}

impl Run {
    /// Has another server go on if the server has become another program.
    pub(super) fn become_successor(&mut self) {
        let Some(state) = self.world.borrow().executed.clone() else {
            return;
        };
        assert!(self.server.exit.is_none(), "became another one instead of leaving");
        assert!(self.server.store.as_ref().unwrap().is_flushed(), "what was to be kept is lost");
        let state = format::decode(&state).unwrap();
        let faults = self.world.borrow_mut().replace_server("upgraded");
        self.world.borrow_mut().begin_shortage(faults);
        self.server = servers::successor(&self.world, self.seed, state);
        self.world.borrow_mut().executed = None;
        self.server.resume(Event::Upgraded { version: crate::VERSION }, None);
        self.world.borrow_mut().faults = faults;
        self.upgrades += 1;
    }
}

impl World {
    /// The server is gone, and with it its threads and what was reported to it. Returns the faults,
    /// which are set to none.
    pub(super) fn replace_server(&mut self, how: &str) -> usize {
        self.print(how);
        self.notifications.push(NEW.to_owned());
        self.ready_events.clear();
        self.log_queue.end();
        // What closes it then would wait for a disk that hangs.
        assert!(how != NEW || !self.events_open, "the events file is open");
        self.events_open = false;
        self.records_queue.end();
        self.epoch = 0;
        // Nothing is reported to a program that has not registered it.
        let open = self.pipes.values_mut().filter(|pipe| !pipe.closed);
        open.for_each(|pipe| pipe.token = None);
        for (listener, _) in LISTENERS {
            self.ready_events.push((listener, Ready { readable: true, writable: false }));
        }
        std::mem::take(&mut self.faults)
    }
}

impl World {
    /// The system is short of something when the new program begins, if there are faults.
    fn begin_shortage(&mut self, faults: usize) {
        self.persists = true;
        if faults > 0 && self.random.one_in(2) {
            self.shortages = 1 + self.random.below(8);
            let threads = self.random.below(8_000) as u64;
            self.threads_start = self.now + threads * 1_000_000;
            self.print(&format!("{} refusals, no threads for {threads} ms", self.shortages));
        }
    }

    /// The new program registers something, and tries again for as long as that is refused.
    pub(super) fn register_at_last(&mut self) {
        let world = RefCell::new(self);
        let attempt = || {
            let mut world = world.borrow_mut();
            let left = world.shortages;
            world.shortages = left.saturating_sub(usize::from(world.persists));
            if world.persists && left > 0 { Err(Errno::ENOSPC.into()) } else { Ok(()) }
        };
        retry(attempt, |_| world.borrow_mut().go_on_meanwhile()).expect("what was refused only");
    }

    /// Nobody waits for a program that waits.
    fn go_on_meanwhile(&mut self) {
        self.refused += 1;
        self.now += SHORTAGE_RETRY.as_nanos() as u64;
        let pipes = self.children.iter().filter(|child| child.end.is_none());
        let pipes: Vec<Id> = pipes.map(|child| child.pipe).collect();
        match (self.random.below(6), pipes.as_slice()) {
            (0 | 1, [.., pty]) => {
                self.print("the child writes meanwhile");
                self.send(*pty, b"said meanwhile\r\n", false);
            }
            (2, [.., pty]) => {
                self.print("the child ends meanwhile");
                self.end(*pty, ExitStatus::Code(5));
            }
            (3, _) => self.signals.upgrade = true,
            (4, _) => self.signals.reopen = true,
            _ => {}
        }
    }
}

/// A disk that does not take the events delays an upgrade until [`HANDOVER_TIMEOUT`] has passed,
/// and is named as the reason.
#[test]
fn events_that_hang_refuse_an_upgrade() {
    let mut run = Run::new(0, false);
    // By then the thread has the start of the child.
    run.settle();
    run.world.borrow_mut().signals.upgrade = true;
    run.world.borrow_mut().woken = true;
    run.settle();
    {
        let mut world = run.world.borrow_mut();
        let (program, state) = world.check_run.as_ref().expect("a check run");
        let (id, digest) = (program.pipe, format::digest(state));
        world.send(id, &answer(digest), false);
        world.end(id, ExitStatus::Code(0));
    }
    for _ in 0..20 {
        run.settle();
        run.world.borrow_mut().write_log();
        run.settle();
        run.sleep(HANDOVER_TIMEOUT / 4);
    }
    assert_eq!(run.upgrades, 0);
    let world = run.world.borrow();
    let log = String::from_utf8_lossy(&world.disk);
    assert!(log.contains("server not upgraded: events are hung\r\n"), "{log}");
}

/// Another program is installed before the one in its check run answers. Each of them gets a check run
/// in its turn, but not without end.
#[test]
fn program_without_a_check_run_is_not_executed() {
    for (replaced, upgrades) in [(1, 1), (usize::MAX, 0)] {
        let mut run = Run::new(0, false);
        run.settle();
        run.world.borrow_mut().signals.upgrade = true;
        run.world.borrow_mut().woken = true;
        let mut tries = 0;
        for _ in 0..200 {
            run.settle();
            let mut world = run.world.borrow_mut();
            if let Some((program, state)) = &world.check_run {
                let (id, digest) = (program.pipe, format::digest(state));
                world.installed += usize::from(tries < replaced);
                tries += 1;
                world.send(id, &answer(digest), false);
                world.end(id, ExitStatus::Code(0));
            }
            world.write_log();
            world.write_records();
        }
        assert_eq!(run.upgrades, upgrades);
        assert_eq!(tries, if upgrades == 1 { 2 } else { UPGRADE_CHECKS });
        let world = run.world.borrow();
        let log = String::from_utf8_lossy(&world.disk);
        let refused = log.matches("not upgraded: the new program was replaced again and again");
        assert_eq!(refused.count(), 1 - upgrades, "{log}");
    }
}

/// Each signal is one try, also one that comes during another upgrade, and if all fail.
#[test]
fn upgrade_that_fails_is_tried_no_more_often_than_asked_for() {
    let mut run = Run::new(0, false);
    run.settle();
    run.world.borrow_mut().never_executes = true;
    let mut tries = 0;
    for round in 0..200 {
        {
            let mut world = run.world.borrow_mut();
            // The second signal comes during the first check run.
            if round < 2 {
                world.signals.upgrade = true;
                world.woken = true;
            } else if let Some((program, state)) = &world.check_run {
                let (id, digest) = (program.pipe, format::digest(state));
                tries += 1;
                world.send(id, &answer(digest), false);
                world.end(id, ExitStatus::Code(0));
            }
            world.write_log();
            world.write_records();
        }
        run.settle();
    }
    assert_eq!(tries, 2);
    assert_eq!(run.upgrades, 0);
}
