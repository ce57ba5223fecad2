//! Servers on the simulated operating system: a fresh one, and a successor of another one.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::LISTENERS;
use super::peer_end::PeerEnd;
use super::records_check;
use super::settings::{Seconds, settings_of};
use super::system::{SimulatedSocket, SimulatedSystem};
use super::threads::log_handle;
use super::world::Shared;
use crate::config::endpoint::Address;
use crate::console::Console;
use crate::console::clock::Monotonic;
use crate::console::event::{ClientId, ClientKind, Sink};
use crate::handover::state::{
    ChildState, ConnectionKind, RecordsState, Retry, ServerIdentity, State,
};
use crate::limits::READ_SIZE;
use crate::server::Server;
use crate::server::api::ApiSession;
use crate::server::event_loop::Tokens;
use crate::server::event_loop::child::Child;
use crate::server::event_loop::listener::Listener;
use crate::server::event_loop::upgrade::Handover;
use crate::server::memory;
use crate::server::os::fdstore::{self, FdStore};
use crate::server::service_manager::ServiceReporter;
use crate::server::startup::stream::{LogPlace, hold_stream};
use crate::server::writers::sink::SinkWriter;

/// The parts of a server beside its console.
struct Parts {
    tokens: Tokens,
    children: [Option<Child<PeerEnd>>; 2],
    log_retry: Option<Retry>,
    log_place: LogPlace,
    records: RecordsState,
    store: FdStore<SimulatedSystem>,
}

/// A server that starts.
pub(super) fn fresh(world: &Shared, seed: u64) -> Server<SimulatedSystem> {
    let mut console = Console::new(settings_of(seed), Box::new(Seconds));
    let history = settings_of(seed).console.history;
    let mut store = FdStore::new(Rc::new(SimulatedSystem(Rc::clone(world))), history).unwrap();
    hold_stream(&mut store, &mut console, false);
    for (_, role) in LISTENERS {
        let socket = SimulatedSocket::new(world, role);
        store.store(&fdstore::listener(socket.descriptor()), &socket, true);
    }
    world.borrow_mut().memory = Some(store.memory().try_clone().unwrap().into());
    let parts = Parts {
        tokens: Tokens { next: 1 },
        children: [None, None],
        log_retry: None,
        log_place: (Some(world.borrow().log_end()), None),
        records: RecordsState::default(),
        store,
    };
    assemble(world, console, parts)
}

/// A server that goes on from this state. Its caller calls [`Server::resume`].
pub(super) fn successor(world: &Shared, seed: u64, state: State) -> Server<SimulatedSystem> {
    let memory = world.borrow().memory.as_ref().unwrap().try_clone().unwrap();
    let (head, is_in_ring) = state.console.stream_end();
    let ring = || memory::ring(&memory.try_clone().unwrap().into(), head).unwrap();
    let ring = is_in_ring.then(ring);
    let log_end = state.console.log_end();
    let (settings, formatter) = (settings_of(seed), Box::new(Seconds));
    let mut console = Console::restore_with_ring(settings, formatter, state.console, ring).unwrap();
    let mut tokens = Tokens { next: state.next_token as usize };
    let mut adopt = |child: ChildState| {
        let token = tokens.take();
        let id = {
            let mut world = world.borrow_mut();
            let id = world.pipe_of(child.pty);
            world.register_at_last();
            world.pipe(id).token = Some(token);
            world.push_ready(id, true, true);
            id
        };
        Child::new(PeerEnd::new(world, id, ClientKind::Telnet, child.pid), token)
    };
    let children = [state.child, state.old_child].map(|child| child.map(&mut adopt));
    let mut store = FdStore::adopt(Rc::new(SimulatedSystem(Rc::clone(world))), memory);
    hold_stream(&mut store, &mut console, is_in_ring);
    let parts = Parts {
        tokens,
        children,
        log_retry: state.log.and_then(|log| log.retry),
        log_place: (log_end, None),
        records: state.records,
        store,
    };
    let mut server = assemble(world, console, parts);
    for session in state.api {
        server.api.insert(ClientId(session.id), ApiSession::restore(session));
    }
    for connection in state.connections {
        let kind = match connection.kind {
            ConnectionKind::Telnet => ClientKind::Telnet,
            ConnectionKind::Pipe => ClientKind::Pipe,
            ConnectionKind::Terminal(_) => ClientKind::Terminal,
            ConnectionKind::Raw => ClientKind::Raw,
            ConnectionKind::Api => ClientKind::Api,
        };
        let id = world.borrow().pipe_of(connection.stream);
        server.resume_client(ClientId(connection.id), PeerEnd::new(world, id, kind, 0));
    }
    server
}

fn assemble(world: &Shared, console: Console, parts: Parts) -> Server<SimulatedSystem> {
    let Parts { tokens, children: [child, old_child], log_retry, log_place, records, store } =
        parts;
    let (end, rest) = log_place;
    let log = SinkWriter::new(Sink::Log, log_handle(world)).noting_places(end, rest);
    let listeners = LISTENERS.map(|(token, role)| {
        let endpoint = Address::Abstract(role.name().into()).into();
        Listener::new(token, SimulatedSocket::new(world, role), endpoint, role)
    });
    let retry = log_retry.map(|retry| (Monotonic(retry.at), retry.on_output));
    Server {
        system: SimulatedSystem(Rc::clone(world)),
        console,
        child,
        old_child,
        child_sockets: Vec::new(),
        listeners: listeners.into(),
        peers: BTreeMap::new(),
        api: BTreeMap::new(),
        log: Some(log.with_retry(retry)),
        log_path: Some("log".into()),
        stdout: None,
        syslog: None,
        records: Some(records_check::records(world).with_state(records)),
        service: Some(ServiceReporter::new(None)),
        notifier: Some(Rc::new(SimulatedSystem(Rc::clone(world)))),
        store: Some(store),
        tokens,
        buffer: vec![0; READ_SIZE].into_boxed_slice(),
        exit: None,
        io_retry: None,
        identity: ServerIdentity::default(),
        handover: Handover::new(),
        announces: false,
        allowed_networks: None,
    }
}
