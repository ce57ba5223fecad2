//! Upgrades in the simulation: what the rehearsed program does, and a server that goes on where
//! another stopped.

use std::rc::Rc;

use super::far::Far;
use super::threads::log_handle;
use super::world::{Id, Simulated, World};
use super::{LISTENER, Run, Seconds, settings, settings_of};
use crate::config::endpoint::Address;
use crate::console::Console;
use crate::console::clock::Monotonic;
use crate::console::event::{ClientId, ClientKind, Event, Role, Sink};
use crate::handover::state::ServerIdentity;
use crate::handover::state::{ChildState, ConnectionKind};
use crate::handover::{answer, format};
use crate::limits::HANDOVER_TIMEOUT;
use crate::server::Server;
use crate::server::event_loop::child::Child;
use crate::server::event_loop::listener::Listener;
use crate::server::os::Ready;
use crate::server::service_manager::ServiceReporter;
use crate::server::writers::sink::SinkWriter;
use crate::sys::process::ExitStatus;

/// Stands among what the service manager is told where a new server begins to tell it.
pub(super) const NEW: &str = "upgraded";

/// The rehearsed program answers, says something else, fails, dies, or hangs.
pub(super) fn go_on_with_rehearsal(world: &mut World) {
    let Some((program, state)) = &world.rehearsal else {
        return;
    };
    let (id, digest) = (program.pipe, format::digest(state));
    let state = format::decode(state).unwrap();
    Console::restore(settings(), Box::new(Seconds), state.console).unwrap();
    let kind = world.dice.roll(10);
    world.note(format!("the new program does {kind}"));
    let end = match kind {
        0 => ExitStatus::Exited(0),
        1 => ExitStatus::Exited(1),
        2 => ExitStatus::Killed(11),
        3 => {
            world.send(id, b"something else", false);
            ExitStatus::Exited(0)
        }
        4 => return,
        5 => {
            world.send(id, &[b'x'; 10_000], false);
            return;
        }
        _ => {
            world.send(id, &answer(digest), false);
            ExitStatus::Exited(0)
        }
    };
    world.end(id, end);
}

impl Run {
    /// If the server has become another program: that one goes on.
    pub(super) fn go_on(&mut self) {
        let Some(state) = self.world.borrow().executed.clone() else {
            return;
        };
        assert!(self.server.exit.is_none(), "became another one instead of leaving");
        let state = format::decode(&state).unwrap();
        let world = Rc::clone(&self.world);
        let simulated = || Simulated(Rc::clone(&world));
        let console =
            Console::restore(settings_of(self.seed), Box::new(Seconds), state.console).unwrap();
        let next_token = state.next_token as usize;
        // The old server is no more, and with it its descriptors, its thread and what it had heard.
        self.server = Server::new(simulated(), console, next_token, ServerIdentity::default());
        let faults = {
            let mut world = world.borrow_mut();
            world.note("upgraded".to_owned());
            world.executed = None;
            world.told.push(NEW.to_owned());
            world.news.clear();
            world.log_queue.end();
            world.records_queue.end();
            world.epoch = 0;
            let readiness = Ready { readable: true, writable: false };
            world.news.push((LISTENER, readiness));
            std::mem::take(&mut world.faults)
        };
        let endpoint = Address::Abstract(b"sim".to_vec()).into();
        self.server.listeners.push(Listener::new(LISTENER, simulated(), endpoint, Role::User));
        let retry = state.log.unwrap().retry.map(|retry| (Monotonic(retry.at), retry.on_output));
        self.server.log = Some(SinkWriter::new(Sink::Log, log_handle(&world)).with_retry(retry));
        self.server.service = Some(ServiceReporter::new(None));
        self.server.records = Some(super::accounts::records(&world).with_state(state.records));
        for connection in state.connections {
            let medium = match connection.kind {
                ConnectionKind::Telnet => ClientKind::Telnet,
                ConnectionKind::Pipe => ClientKind::Pipe,
                ConnectionKind::Terminal(_) => ClientKind::Terminal,
                ConnectionKind::Raw => ClientKind::Raw,
            };
            let far = Far::new(&world, -connection.stream.number as Id, medium, 0);
            self.server.resume_client(ClientId(connection.id), far);
        }
        let mut adopt = |child: ChildState| {
            let id = -child.pty.number as Id;
            let token = self.server.take_token();
            world.borrow_mut().pipe(id).token = Some(token);
            world.borrow_mut().tell(id, true, true);
            Child::new(Far::new(&world, id, ClientKind::Telnet, child.pid), token)
        };
        let (child, old_child) = (state.child.map(&mut adopt), state.old_child.map(adopt));
        (self.server.child, self.server.old_child) = (child, old_child);
        self.server.resume(Event::Upgraded { version: crate::VERSION });
        world.borrow_mut().faults = faults;
        self.upgrades += 1;
    }
}

/// A disk that does not take the events holds an upgrade up for so long, and is named as the reason.
#[test]
fn events_that_hang_refuse_an_upgrade() {
    let mut run = Run::new(0);
    // The thread has got the start of the child by then.
    run.settle();
    run.world.borrow_mut().signals.upgrade = true;
    run.world.borrow_mut().woken = true;
    run.settle();
    {
        let mut world = run.world.borrow_mut();
        let (program, state) = world.rehearsal.as_ref().expect("a rehearsal");
        let (id, digest) = (program.pipe, format::digest(state));
        world.send(id, &answer(digest), false);
        world.end(id, ExitStatus::Exited(0));
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

/// Each signal is one try, also while one is under way and when all fail.
#[test]
fn upgrade_that_fails_is_tried_no_more_often_than_asked_for() {
    let mut run = Run::new(0);
    run.settle();
    run.world.borrow_mut().never_executes = true;
    let mut tries = 0;
    for round in 0..200 {
        {
            let mut world = run.world.borrow_mut();
            // The second signal comes while the first program is tried.
            if round < 2 {
                world.signals.upgrade = true;
                world.woken = true;
            } else if let Some((program, state)) = &world.rehearsal {
                let (id, digest) = (program.pipe, format::digest(state));
                tries += 1;
                world.send(id, &answer(digest), false);
                world.end(id, ExitStatus::Exited(0));
            }
            world.write_log();
            world.write_records();
        }
        run.settle();
    }
    assert_eq!(tries, 2);
    assert_eq!(run.upgrades, 0);
}
