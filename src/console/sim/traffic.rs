//! The traffic of a world: clients come, type, read and go; files take what they are to hold.

use super::client::Client;
use super::disk::{Disk, News};
use super::stream::{Follower, show};
use super::world::{Kind, World};
use crate::console::audit::AuditEvent;
use crate::console::clock::{Monotonic, Timestamps, UnixTime};
use crate::console::event::{ClientId, ClientKind, DisconnectReason, Event, Role, Sink, Subsystem};
use crate::limits::CLIENT_BUDGET;
use crate::telnet;

impl World {
    pub fn join(&mut self) {
        if self.clients.len() >= 6 {
            return;
        }
        let id = ClientId(self.next_client);
        self.next_client += 1;
        let (role, medium) = self.random.pick(&[
            (Role::User, ClientKind::Telnet),
            (Role::User, ClientKind::Telnet),
            (Role::User, ClientKind::Telnet),
            (Role::User, ClientKind::Terminal),
            (Role::User, ClientKind::Pipe),
            (Role::User, ClientKind::Raw),
            (Role::Logger, ClientKind::Telnet),
            (Role::Logger, ClientKind::Telnet),
            (Role::Logger, ClientKind::Raw),
        ]);
        self.tell(|_| format!("{id:?} joins: {role:?} {medium:?}"));
        self.handle(Event::Joined { id, role, medium });
        if self.oracle.exiting {
            return;
        }
        self.oracle.entries.push_back(AuditEvent::Joined(id));
        let mut greeting = match medium {
            ClientKind::Pipe => Vec::new(),
            ClientKind::Telnet | ClientKind::Terminal | ClientKind::Raw => {
                self.oracle.greeting(role)
            }
        };
        let telnet = medium == ClientKind::Telnet;
        if telnet {
            greeting.extend_from_slice(&telnet::OFFER);
        }
        let stamp = self.stamp.clone().filter(|_| role == Role::Logger);
        let head = self.oracle.stream.head();
        let from = if medium == ClientKind::Pipe { head } else { self.oracle.stream.replay() };
        let follower = Follower::new(from, telnet, stamp);
        self.clients.push(Client::new(id, role, medium, greeting, follower, head));
        self.count_clients();
    }

    pub fn count_clients(&mut self) {
        let counted = self.clients.iter().filter(|client| client.medium != ClientKind::Pipe);
        let (users, loggers): (Vec<_>, _) = counted.partition(|client| client.role == Role::User);
        (self.oracle.users, self.oracle.loggers) = (users.len(), loggers.len());
    }

    pub fn client_sends(&mut self) {
        let Some(index) = self.any_client() else {
            return;
        };
        let client = &mut self.clients[index];
        if self.kind == Kind::Paste && self.random.one_in(3) {
            // More than the queue to the child holds, as long as the console takes it.
            let negotiates = self.random.one_in(4);
            let reads = self.random.one_in(2);
            for _ in 0..self.random.below(100) {
                let client = &mut self.clients[index];
                if client.unread() >= CLIENT_BUDGET {
                } else if negotiates {
                    client.ask_a_lot(&mut self.random);
                } else {
                    client.paste(&mut self.random, self.commands, self.pool, CLIENT_BUDGET);
                }
                self.client_sends_bytes(index, CLIENT_BUDGET);
                if negotiates && reads {
                    let most = self.random.below(CLIENT_BUDGET);
                    self.reads(index, most);
                }
            }
        } else {
            if client.unread() < CLIENT_BUDGET {
                client.type_something(&mut self.random, self.commands, self.pool);
            }
            let most = 1 + self.random.length(200);
            self.client_sends_bytes(index, most);
        }
    }

    pub fn client_sends_bytes(&mut self, index: usize, most: usize) {
        let client = &mut self.clients[index];
        let id = client.id;
        if client.leaving || !self.console.accepts_input(id) || client.unread() == 0 {
            return;
        }
        let listens = client.role == Role::User && !self.oracle.exiting;
        let (sent, typed) = client.send(most, listens);
        let now = self.now();
        self.tell(|_| format!("{id:?} sends {}", show(&sent)));
        self.console.handle(Event::Input { id, bytes: &sent }, now);
        if listens {
            self.oracle.typed(id, &typed, now);
        }
        self.upgrade();
    }

    pub fn any_client(&mut self) -> Option<usize> {
        let count = self.clients.len();
        (count > 0).then(|| self.random.below(count))
    }

    pub fn client_reads(&mut self) {
        if let Some(index) = self.any_client()
            && !self.clients[index].stalled
        {
            let most = self.random.pick(&[1, 7, 100, 5000, usize::MAX]);
            self.reads(index, most);
        }
    }

    /// One write to a client takes at most so many bytes. Whether there was anything.
    pub fn reads(&mut self, index: usize, most: usize) -> bool {
        let client = &mut self.clients[index];
        if client.medium == ClientKind::Pipe {
            assert!(self.console.is_drained(client.id));
            return false;
        }
        let stream = &self.oracle.stream;
        let served = self.console.is_drained(client.id);
        let (first, second) = self.console.output(client.id);
        assert_eq!(first.is_empty(), served);
        assert!(!first.is_empty() || second.is_empty());
        if let Some(missing) = client.offered(first, stream) {
            self.oracle.entries.push_back(AuditEvent::Skipped(client.id, missing as u64));
        }
        let stream = &self.oracle.stream;
        let first = &first[..first.len().min(most)];
        client.get(first, stream);
        let second = &second[..second.len().min(most - first.len())];
        client.get(second, stream);
        let count = first.len() + second.len();
        self.console.written(client.id, count);
        assert!(!served || client.is_complete(stream), "{client:?} is not served");
        if self.told && count > 0 {
            let id = self.clients[index].id;
            self.tell(|world| {
                format!("{id:?} reads {count} to {}", world.clients[index].follower.place)
            });
        }
        count > 0
    }

    pub fn client_changes(&mut self) {
        let Some(index) = self.any_client() else {
            return;
        };
        let client = &mut self.clients[index];
        if self.random.one_in(3) {
            client.leaving = true;
            self.drop_departed();
        } else {
            client.stalled = !client.stalled;
        }
    }

    pub fn drop_departed(&mut self) {
        for client in self.clients.extract_if(.., |client| client.leaving) {
            if self.told {
                eprintln!("{:?} is gone", client.id);
            }
            self.oracle.entries.push_back(AuditEvent::Left(client.id, DisconnectReason::Closed));
            let now = Timestamps { mono: Monotonic(self.mono), wall: UnixTime(0) };
            self.console
                .handle(Event::Left { id: client.id, farewell: DisconnectReason::Closed }, now);
        }
        self.count_clients();
    }

    pub fn log_opened(&mut self) {
        self.handle(Event::LogOpened);
        self.oracle.log_works(self.log.is_none());
        if !self.oracle.exiting && self.log.is_none() {
            self.log = Some(Disk::new(Sink::Log, self.oracle.stream.head(), self.stamp.clone()));
        }
    }

    pub fn disk_works(&mut self) {
        let is_log = self.random.one_in(2);
        for _ in 0..=self.random.below(3) {
            let give_up = self.random.one_in(2);
            self.disk_takes(is_log, give_up);
        }
        for _ in 0..self.random.below(4) {
            self.disk_steps(is_log, true);
        }
    }

    pub fn disk_takes(&mut self, is_log: bool, give_up: bool) -> bool {
        let disk = if is_log { &mut self.log } else { &mut self.stdout };
        disk.as_mut().is_some_and(|disk| disk.take(&mut self.console, &self.oracle.stream, give_up))
    }

    /// Whether the file has everything afterwards.
    pub fn disk_steps(&mut self, is_log: bool, may_fail: bool) -> bool {
        let disk = if is_log { &mut self.log } else { &mut self.stdout };
        let Some(disk) = disk else {
            return true;
        };
        let fails = may_fail && self.random.one_in(if disk.failing { 2 } else { 12 });
        let fails = fails.then_some(&mut self.random);
        let news = disk.step(&mut self.console, &self.oracle.stream, fails);
        let complete = disk.is_complete(&self.oracle.stream);
        self.tell(|_| format!("disk (log: {is_log}): {news:?}"));
        self.upgrade();
        if is_log {
            self.news_of_log(&news);
        }
        complete && news == News::None
    }

    pub fn news_of_log(&mut self, news: &News) {
        match news {
            News::None => {}
            News::Failed if self.oracle.exiting => {}
            News::Failed => {
                self.handle(Event::Failed(Subsystem::Log, "No space left on device"));
                self.oracle.log_failed("No space left on device", self.now());
            }
            News::Works => self.log_opened(),
        }
    }
}
