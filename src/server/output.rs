//! The half of a turn that gives things away: input to the child, the console stream to whoever
//! takes it, and at the end everything to everybody.

use std::io;

use super::Server;
use super::child::Child;
use super::logfile::{News, Writer};
use super::system::System;
use crate::core::clock::Now;
use crate::core::event::{ClientId, Event};
use crate::limits::{CLIENT_LINGER, WRITES_PER_TURN};

impl<S: System> Server<S> {
    pub(super) fn write_child(&mut self) {
        let Some(child) = &mut self.child else {
            return;
        };
        for _ in 0..WRITES_PER_TURN {
            let input = self.console.child_input();
            if input.0.is_empty() || !child.is_writable() {
                return;
            }
            let count = child.write(input);
            self.console.child_input_written(count);
        }
    }

    pub(super) fn write_sinks(&mut self, now: Now) {
        if let Some(stdout) = &mut self.stdout {
            stdout.turn(&mut self.console, now.mono);
        }
        let Some(log) = &mut self.log else {
            return;
        };
        let mut told = false;
        for news in log.turn(&mut self.console, now.mono) {
            match news {
                News::Failed(reason) => {
                    self.console.handle(Event::LogFailed(&reason), now);
                }
                News::Works => self.console.handle(Event::LogWorks, now),
                News::NotReopened => told = true,
            }
        }
        if told {
            self.system.complain_of_log();
        }
    }

    pub(super) fn write_clients(&mut self) {
        for (&id, peer) in &mut self.peers {
            if !peer.listens() {
                continue;
            }
            for _ in 0..WRITES_PER_TURN {
                if !peer.source.is_writable() {
                    break;
                }
                let slices = self.console.output(id);
                if slices.0.is_empty() {
                    break;
                }
                match peer.write(slices) {
                    Some(count) => self.console.written(id, count),
                    None => break,
                }
            }
        }
    }

    /// Under `--notify`, what the service manager does not know yet.
    pub(super) fn tell_manager(&mut self, now: Now) {
        let Server { manager: Some(manager), system, console, log, .. } = self else {
            return;
        };
        let reopens = log.as_ref().is_some_and(Writer::is_reopening);
        let reloads = reopens || (console.tells_of_reload() && console.is_reloading());
        let (status, name) = (console.status(), console.child_name());
        let trouble =
            manager.turn(status, name, reloads, now.mono, |message| system.notify(message));
        if let Some(reason) = trouble {
            self.diagnose(&format!("service manager not told: {reason}"));
        }
    }

    /// Sources end here and nowhere else.
    pub(super) fn drop_departed(&mut self, now: Now) {
        let Server { peers, console, system, .. } = self;
        peers.retain(|&id, peer| {
            if peer.leaving {
                console.handle(Event::Left { id }, now);
                system.forget(id);
            }
            !peer.leaving
        });
    }

    /// Under `--fdstore`, writes down what a server would have to know that comes after a crash.
    pub(super) fn save(&mut self) {
        let revision = Some(self.console.revision());
        if self.system.store().is_some()
            && self.saved != revision
            && let Ok(state) = self.state(self.console.outline())
        {
            self.system.save(&state);
            self.saved = revision;
        }
    }

    /// The end: everybody gets what is pending, then every descriptor and file that is ours goes,
    /// `files` among them, and last the log gets its time.
    pub(super) fn finish<F>(&mut self, files: F) -> io::Result<()> {
        self.give_up_upgrade();
        let connections: Vec<ClientId> = self.peers.keys().copied().collect();
        let children = [&self.child, &self.old_child].into_iter().flatten().map(Child::pid);
        let children: Vec<i32> = children.collect();
        self.system.empty_store(&connections, &self.listener_names(), &children);
        for child in [self.child.take(), self.old_child.take()] {
            self.bury(child);
        }
        let deadline = self.system.now().mono + CLIENT_LINGER;
        loop {
            self.write_clients();
            let Server { peers, console, .. } = self;
            peers.retain(|&id, peer| !peer.leaving && peer.listens() && !console.is_served(id));
            let left = deadline.since(self.system.now().mono);
            if self.peers.is_empty() || left.is_zero() {
                break;
            }
            self.wait(Some(left))?;
        }
        self.peers.clear();
        self.listeners.clear();
        drop(files);
        let Server { system, console, log, stdout, .. } = self;
        for writer in [log.take(), stdout.take()].into_iter().flatten() {
            writer.finish(console, || system.now().mono);
        }
        Ok(())
    }
}
