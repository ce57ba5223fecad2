//! Going on where another program stopped that was this process before: its state is read, and the
//! descriptors it left open are taken over.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;

use super::child_sockets::ChildSocket;
use super::parts::{LocalTime, OutputFile, ServerParts, StartKind, notifier, settings};
use crate::cli;
use crate::config::Config;
use crate::console::Console;
use crate::console::clock::Monotonic;
use crate::console::event::{ChildSlot, ClientId, DisconnectReason, Event, ExitStatus};
use crate::handover::state::{ChildState, Descriptor, SinkState, State};
use crate::handover::{self, format};
use crate::server::Server;
use crate::server::event_loop::peer::Peer;
use crate::server::event_loop::poll_stream::PollStream;
use crate::server::event_loop::upgrade::{ServerIdentity, describe};
use crate::server::os::client_stream::ClientStream;
use crate::server::os::fdstore::FdStore;
use crate::server::os::listening_socket::ListeningSocket;
use crate::server::os::pty_process::PtyProcess;
use crate::server::os::{Connection, System};
use crate::server::startup::error::StartupError;
use crate::sys::fd;
use crate::systemd::notify_socket::NotifySocket;

/// What this process was when it executed this program.
pub(crate) struct Predecessor {
    state: State,
    /// What it left open, by number.
    held: BTreeMap<i32, OwnedFd>,
}

impl Predecessor {
    /// If the program before this one left a state: what it was. An error if it can't be read; then
    /// nothing has been changed.
    pub(crate) fn from_environment() -> Result<Option<Predecessor>, StartupError> {
        let Some(number) = std::env::var_os(handover::VARIABLE) else {
            return Ok(None);
        };
        let read = number
            .to_str()
            .and_then(|number| number.parse().ok())
            .ok_or_else(|| io::Error::from_raw_os_error(nix::libc::EBADF))
            .and_then(read)
            .and_then(|bytes| format::decode(&bytes).map_err(io::Error::other));
        let state = read.map_err(system("read the state named by PROCSERV_HANDOVER"))?;
        fd::close_on_exec_all();
        let take = |wanted: Descriptor| {
            let fd = fd::adopt(wanted.number)?;
            let fits = describe(&fd)? == wanted;
            // What is not what it was is closed.
            Ok::<_, io::Error>(fits.then_some((wanted.number, fd)))
        };
        let held = state.descriptors().filter_map(|wanted| take(wanted).ok().flatten()).collect();
        Ok(Some(Predecessor { state, held }))
    }

    /// What the server goes on with.
    pub(crate) fn into_parts(mut self, config: &Config) -> Result<ServerParts, StartupError> {
        let origin = ServerIdentity {
            argv: self.state.argv.iter().map(|word| word.0.clone()).collect(),
            started: self.state.started,
            dir: self.state.dir.0.clone(),
            open_files: self.state.open_files,
            account: self.state.account.take(),
        };
        let child = self.state.child.map(|child| self.process(child)).transpose()?;
        let old_child = self.state.old_child.map(|child| self.process(child)).transpose()?;
        let mut listeners = Vec::new();
        for listener in std::mem::take(&mut self.state.listeners) {
            let socket = self.take(listener.socket)?;
            let bound = ListeningSocket::adopt(socket, listener.role, listener.raw, listener.file)
                .map_err(system("take over a listener"))?;
            listeners.push(bound);
        }
        let mut child_sockets = Vec::new();
        for socket in std::mem::take(&mut self.state.child_sockets) {
            child_sockets.push(ChildSocket::adopt(self.take(socket.socket)?, &socket));
        }
        let mut connections = Vec::new();
        for connection in std::mem::take(&mut self.state.connections) {
            let id = ClientId(connection.id);
            let stream = self.take(connection.stream)?;
            let terminus = ClientStream::adopt(stream, connection.kind);
            connections.push((id, terminus.map_err(system("take over a terminal"))?));
        }
        let fdstore = self.state.store.map(|memory| self.take(memory)).transpose()?;
        let log = self.state.log.map(|sink| self.output(sink)).transpose()?;
        let stdout = self.state.stdout.map(|sink| self.output(sink)).transpose()?;
        let settings = settings(config, &origin, log.is_some());
        let console = Console::restore(settings, Box::new(LocalTime), self.state.console)
            .map_err(|error| io::Error::other(error.to_string()))
            .map_err(system("go on from the state of the server before"))?;
        let notifier = notifier(config)?;
        let files = super::adopt_files(config, super::own_pid(), &listeners);
        let next_token = usize::try_from(self.state.next_token).unwrap_or(usize::MAX);
        let records = (self.state.records, self.state.version);
        Ok(ServerParts {
            start_kind: StartKind::Upgraded,
            identity: origin,
            console,
            listeners,
            child_sockets,
            log,
            log_error: None,
            stdout,
            records,
            child,
            old_child,
            connections,
            next_token,
            files,
            notifier,
            fdstore: fdstore.map(FdStore::adopt),
            descendants_since: self.state.descendants_since,
            debug_lines: Vec::new(),
        })
    }

    fn take(&mut self, wanted: Descriptor) -> Result<OwnedFd, StartupError> {
        let gone = || io::Error::from_raw_os_error(nix::libc::EBADF);
        let held = self.held.remove(&wanted.number).ok_or_else(gone);
        held.map_err(system("take over the descriptors of the server before"))
    }

    /// Without its terminal there is no child.
    fn process(&mut self, child: ChildState) -> Result<PtyProcess, StartupError> {
        let orphan = child.pidfd.map(|orphan| self.take(orphan)).transpose()?;
        let notify_socket = child
            .notify_socket
            .map(|notify_socket| self.take(notify_socket))
            .transpose()?
            .map(NotifySocket::adopt);
        let master = File::from(self.take(child.pty)?);
        Ok(PtyProcess { pid: child.pid, master, notify_socket, pidfd: orphan })
    }

    fn output(&mut self, sink: SinkState) -> Result<OutputFile, StartupError> {
        let retry = sink.retry.map(|retry| (Monotonic(retry.at), retry.on_output));
        Ok(OutputFile { file: File::from(self.take(sink.file)?), retry })
    }
}

impl<S: System> Server<S> {
    /// Goes on with a client of the program before this one.
    pub(crate) fn resume_client(&mut self, id: ClientId, connection: S::Connection) {
        match self.system.watch(&connection, mio::Token(id.0 as usize)) {
            Ok(always) => {
                if let Some(records) = &mut self.records {
                    records.set_peer(id, connection.peer_identity());
                }
                let source = PollStream::new(connection, always);
                self.peers.insert(id, Peer { source, leaving: None });
            }
            Err(_) => {
                let left = Event::Left { id, farewell: DisconnectReason::Failed };
                self.console.handle(left, self.system.now());
            }
        }
    }

    /// The first that a server does that goes on where another stopped. What happened in between was
    /// told to nobody.
    pub(crate) fn resume(&mut self, news: Event<'_>) {
        let now = self.system.now();
        let gone = self.console.clients().filter(|id| !self.peers.contains_key(id));
        for id in gone.collect::<Vec<_>>() {
            self.console.handle(Event::Left { id, farewell: DisconnectReason::Closed }, now);
        }
        self.console.handle(news, now);
        match &mut self.old_child {
            Some(child) => child.poll_exit(),
            // After a crash it was not taken over but killed.
            None => {
                let killed = ExitStatus::Signal(nix::libc::SIGKILL);
                self.console.handle(Event::Exited(ChildSlot::Old, killed), now);
            }
        }
        match &mut self.child {
            Some(child) => child.poll_exit(),
            None => {
                self.console.handle(Event::Exited(ChildSlot::Current, ExitStatus::Unknown), now)
            }
        }
        self.reap_orphans();
        // Perhaps nothing else happens for long.
        self.write_sinks(now);
    }
}

/// If `argv` asks for nothing but a rehearsal: what to print, and the status to leave with. Nothing
/// is changed by it.
pub fn check_requested(argv: &[OsString]) -> Option<(Vec<u8>, u8)> {
    let [_, only] = argv else {
        return None;
    };
    let number = only.to_str()?.strip_prefix(handover::CHECK)?;
    Some(match check(number) {
        Ok(digest) => (handover::answer(digest), 0),
        Err(reason) => (reason.into_bytes(), 1),
    })
}

/// Whether this program could go on from the state behind `number`: the state's digest.
fn check(number: &str) -> Result<u32, String> {
    let number = number.parse().map_err(|_| format!("invalid descriptor '{number}'"))?;
    let bytes = read(number).map_err(|error| format!("cannot read the state: {error}"))?;
    let state = format::decode(&bytes).map_err(|error| error.to_string())?;
    let argv = state.argv.iter().map(|word| OsString::from_vec(word.0.clone())).collect();
    let config = cli::parse(argv, &|name| std::env::var_os(name))
        .map_err(|exit| String::from_utf8_lossy(&exit.stderr).into_owned())?;
    let settings = settings(&config, &ServerIdentity::default(), state.log.is_some());
    Console::restore(settings, Box::new(LocalTime), state.console)
        .map_err(|error| error.to_string())?;
    Ok(format::digest(&bytes))
}

fn read(number: i32) -> io::Result<Vec<u8>> {
    let mut file = File::from(fd::adopt(number)?);
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn system(what: &'static str) -> impl Fn(io::Error) -> StartupError {
    move |error| StartupError::System { what, error }
}
