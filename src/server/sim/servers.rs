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
use crate::server::os::fdstore::{self, FdStore};
use crate::server::service_manager::ServiceReporter;
use crate::server::writers::sink::SinkWriter;

/// The parts of a server beside its console.
struct Parts {
    tokens: Tokens,
    children: [Option<Child<PeerEnd>>; 2],
    log_retry: Option<Retry>,
    records: RecordsState,
    store: FdStore<SimulatedSystem>,
}

/// A server that starts.
pub(super) fn fresh(world: &Shared, seed: u64) -> Server<SimulatedSystem> {
    let console = Console::new(settings_of(seed), Box::new(Seconds));
    let mut store = FdStore::new(Rc::new(SimulatedSystem(Rc::clone(world)))).unwrap();
    for (_, role) in LISTENERS {
        let socket = SimulatedSocket::new(world, role);
        store.store(&fdstore::listener(socket.descriptor()), &socket, true);
    }
    world.borrow_mut().memory = Some(store.memory().try_clone().unwrap().into());
    let parts = Parts {
        tokens: Tokens { next: 1 },
        children: [None, None],
        log_retry: None,
        records: RecordsState::default(),
        store,
    };
    assemble(world, console, parts)
}

/// A server that goes on from this state. Its caller calls [`Server::resume`].
pub(super) fn successor(world: &Shared, seed: u64, state: State) -> Server<SimulatedSystem> {
    let console = Console::restore(settings_of(seed), Box::new(Seconds), state.console).unwrap();
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
    let memory = world.borrow().memory.as_ref().unwrap().try_clone().unwrap();
    let parts = Parts {
        tokens,
        children,
        log_retry: state.log.and_then(|log| log.retry),
        records: state.records,
        store: FdStore::adopt(Rc::new(SimulatedSystem(Rc::clone(world))), memory),
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
    let Parts { tokens, children: [child, old_child], log_retry, records, store } = parts;
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
        log: Some(SinkWriter::new(Sink::Log, log_handle(world)).with_retry(retry)),
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
