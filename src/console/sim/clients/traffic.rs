//! The traffic of clients: they connect, type, read and disconnect.

use super::client::{Client, window_size};
use crate::console::audit::AuditEvent;
use crate::console::clock::Monotonic;
use crate::console::event::{ClientId, ClientKind, DisconnectReason, Event, Role};
use crate::console::sim::reached;
use crate::console::sim::simulation::{Load, Simulation};
use crate::console::sim::stream::reader::{ReaderCheck, show};
use crate::limits::{CLIENT_BUDGET, CLIENT_READS, STREAM_BUFFER_MAX};
use crate::telnet;

/// How many bytes the kernel takes for a client.
const KERNEL_MAX: usize = 200_000;

impl Simulation {
    pub fn join(&mut self) {
        if self.clients.len() >= 6 {
            return;
        }
        let id = ClientId(self.next_client);
        self.next_client += 1;
        let (role, kind) = self.random.pick(&[
            (Role::User, ClientKind::Telnet),
            (Role::User, ClientKind::Telnet),
            (Role::User, ClientKind::Telnet),
            (Role::User, ClientKind::Terminal),
            (Role::User, ClientKind::Pipe),
            (Role::User, ClientKind::Raw),
            (Role::Api, ClientKind::Api),
            (Role::Logger, ClientKind::Telnet),
            (Role::Logger, ClientKind::Telnet),
            (Role::Logger, ClientKind::Raw),
            (Role::Viewer, ClientKind::Telnet),
            (Role::Viewer, ClientKind::Raw),
        ]);
        self.trace(|_| format!("{id:?} joins: {role:?} {kind:?}"));
        let who = format!("client {}", id.0);
        self.handle(Event::Introduced { id, role, kind, who: &who });
        self.oracle.introduced(id, role, kind, &who, self.now());
        self.handle(Event::Joined { id, role, kind });
        if self.oracle.exiting {
            return;
        }
        self.oracle.audit_events.push_back(AuditEvent::Joined(id));
        let mut greeting = match kind {
            ClientKind::Pipe | ClientKind::Api => Vec::new(),
            ClientKind::Telnet | ClientKind::Terminal | ClientKind::Raw => {
                self.oracle.greeting(role)
            }
        };
        let telnet = kind == ClientKind::Telnet;
        let asked = telnet && role == Role::User && self.oracle.follows_windows();
        if telnet {
            greeting.extend_from_slice(&telnet::OFFER);
        }
        if asked {
            greeting.extend_from_slice(&[0xFF, 0xFD, 31]);
        }
        let stamp = self.stamp.clone().filter(|_| role == Role::Logger);
        let head = self.oracle.stream.head();
        let replay = self.oracle.stream.replay_point();
        let from = if kind.reads_stream() { replay } else { head };
        let check = ReaderCheck::new(from, telnet, stamp);
        let joins_line_ends = telnet && self.oracle.settings.console.join_line_ends;
        let mut client = Client::new(id, role, kind, greeting, check, head, joins_line_ends);
        client.asked_for_window = asked;
        client.trickles = self.waits && self.random.one_in(2);
        self.clients.push(client);
        self.count_clients();
    }

    pub fn count_clients(&mut self) {
        let counted = self.clients.iter().filter(|client| client.kind.reads_stream());
        let (users, loggers): (Vec<_>, _) = counted.partition(|client| client.role != Role::Logger);
        (self.oracle.users, self.oracle.loggers) = (users.len(), loggers.len());
    }

    pub fn client_sends(&mut self) {
        let Some(index) = self.any_client() else {
            return;
        };
        let client = &mut self.clients[index];
        if self.load == Load::InputFlood && self.random.one_in(3) {
            // More than the queue to the child holds, for as long as the console reads it.
            let negotiates = self.random.one_in(4);
            let reads = self.random.one_in(2);
            for _ in 0..self.random.below(100) {
                let client = &mut self.clients[index];
                if client.unread() >= CLIENT_BUDGET {
                } else if negotiates {
                    client.flood_requests(&mut self.random);
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
            if self.load == Load::CommandFlood && self.random.one_in(2) {
                client.flood_commands(&mut self.random, self.commands);
            } else if client.unread() < CLIENT_BUDGET {
                client.type_something(&mut self.random, self.commands, self.pool);
            }
            let most = 1 + self.random.length(200);
            self.client_sends_bytes(index, most);
        }
    }

    pub fn client_sends_bytes(&mut self, index: usize, most: usize) {
        // The server tells it before each input.
        let hides = self.oracle.hides_input != self.random.one_in(8);
        self.handle(Event::InputHidden(hides));
        self.oracle.hides_input = hides;
        let client = &mut self.clients[index];
        let id = client.id;
        if client.leaving || !self.console.accepts_input(id) || client.unread() == 0 {
            return;
        }
        let listens = client.role != Role::Logger && !self.oracle.exiting;
        let may_type = listens && client.role == Role::User;
        let (sent, typed, told) = client.send(most, listens);
        let now = self.now();
        self.trace(|_| format!("{id:?} sends {}", show(&sent)));
        self.console.handle(Event::Input { id, bytes: &sent }, now);
        if may_type {
            if let Some(size) = told {
                self.oracle.window_told(id, size, now);
            }
            self.oracle.client_input(id, &typed, now);
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
            let client = &self.clients[index];
            let room = KERNEL_MAX.saturating_sub(client.kernel);
            self.reads(index, if client.trickles { most.min(room) } else { most });
        }
    }

    /// Clients that trickle read a byte of what their kernel has.
    pub fn trickle(&mut self) {
        for client in self.clients.iter_mut().filter(|client| client.trickles && client.kernel > 0)
        {
            client.kernel -= 1;
            client.has_read = true;
        }
    }

    /// The console looks which clients read.
    pub fn update_backpressure(&mut self) {
        let kernel = |id| self.clients.iter().find(|client| client.id == id).unwrap().kernel;
        self.console.update_backpressure(Monotonic(self.mono), kernel);
        for client in self.clients.iter_mut().filter(|client| client.has_read) {
            // The console does not always look at a client that does not lag.
            let known = self.console.clients.get(&client.id);
            if known.is_some_and(|known| known.progress.unread == client.kernel as u64) {
                (client.has_read, client.read_at) = (false, Some(self.mono));
            }
        }
        let is_extended = self.console.stream.is_extended();
        self.oracle.stream.extend(is_extended);
        let head = self.oracle.stream.head();
        let reads = |client: &Client| {
            let until = |at: u64| at + CLIENT_READS.as_nanos() as u64;
            client.read_at.is_some_and(|at| self.mono < until(at))
        };
        let needs = |client: &Client| head - client.check.offset > STREAM_BUFFER_MAX / 2;
        let reader = self.clients.iter().find(|client| needs(client) && reads(client));
        assert!(!is_extended || reader.is_some(), "the stream is extended for nobody");
        let passed = |client: &Client| {
            let known = self.console.clients.get(&client.id);
            known.is_some_and(|known| {
                known.kind.is_socket() && known.reader.cursor() < self.console.stream.tail()
            })
        };
        let passed: Vec<bool> = self.clients.iter().map(passed).collect();
        for (client, passed) in self.clients.iter().zip(&passed) {
            let is_new = *passed && !client.passed;
            assert!(!(is_new && self.waits && reads(client)), "{client:?} has been passed");
        }
        if self.clients.iter().any(|client| client.trickles && needs(client) && is_extended) {
            reached("the stream grew for a client that reads");
        }
        for (client, passed) in self.clients.iter_mut().zip(passed) {
            client.passed = passed;
        }
    }

    /// A client reads at most so many bytes. Returns true if it read any.
    pub fn reads(&mut self, index: usize, most: usize) -> bool {
        let client = &mut self.clients[index];
        if !client.kind.reads_stream() {
            assert!(self.console.is_drained(client.id));
            return false;
        }
        let stream = &self.oracle.stream;
        let drained = self.console.is_drained(client.id);
        let (first, second) = self.console.output(client.id);
        assert_eq!(first.is_empty(), drained);
        assert!(!first.is_empty() || second.is_empty());
        if let Some(missing) = client.offered(first, stream) {
            self.oracle.audit_events.push_back(AuditEvent::Skipped(client.id, missing as u64));
        }
        let stream = &self.oracle.stream;
        let first = &first[..first.len().min(most)];
        client.receive(first, stream);
        let second = &second[..second.len().min(most - first.len())];
        client.receive(second, stream);
        let count = first.len() + second.len();
        self.console.written(client.id, count);
        client.kernel += count;
        if !client.trickles {
            client.has_read |= client.kernel > 0;
            client.kernel = 0;
        }
        assert!(!drained || client.is_complete(stream), "{client:?} has not got everything");
        if self.verbose && count > 0 {
            let id = self.clients[index].id;
            self.trace(|simulation| {
                format!("{id:?} reads {count} to {}", simulation.clients[index].check.offset)
            });
        }
        count > 0
    }

    pub fn client_changes(&mut self) {
        let Some(index) = self.any_client() else {
            return;
        };
        let client = &mut self.clients[index];
        if client.kind == ClientKind::Terminal && self.random.one_in(2) {
            let (id, size) = (client.id, window_size(&mut self.random));
            self.trace(|_| format!("{id:?} has a window of {size:?}"));
            self.handle(Event::Window { id, size });
            self.oracle.window_told(id, size, self.now());
        } else if self.random.one_in(3) {
            client.leaving = true;
            self.drop_departed();
        } else {
            client.stalled = !client.stalled;
        }
    }

    pub fn drop_departed(&mut self) {
        let now = self.now();
        for client in self.clients.extract_if(.., |client| client.leaving) {
            if self.verbose {
                eprintln!("{:?} is gone", client.id);
            }
            self.oracle.client_left(client.id, now);
            self.console
                .handle(Event::Left { id: client.id, reason: DisconnectReason::Closed }, now);
            self.oracle.left(client.id, now);
        }
        self.count_clients();
    }
}
