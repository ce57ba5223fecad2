//! Going on after an upgrade in place: the state of the program that was this process before is
//! read, and the descriptors that it left open are taken over.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;

use super::parts::{LocalTime, Output, ServerParts, StartKind, notifier, passage, settings};
use super::pid_files::written_files;
use super::stream::hold_stream;
use super::system;
use crate::config::Config;
use crate::config::endpoint::Endpoint;
use crate::console::Console;
use crate::console::clock::Monotonic;
use crate::console::event::ClientId;
use crate::console::event::Role;
use crate::handover::state::{ChildState, ConnectionKind, Descriptor, Retry, SinkState, State};
use crate::handover::{self, format};
use crate::server::memory;
use crate::server::os::child_socket::ChildSocket;
use crate::server::os::client_stream::ClientStream;
use crate::server::os::fdstore::FdStore;
use crate::server::os::listening_socket::{ListeningSocket, listening_address};
use crate::server::os::persist::persist;
use crate::server::os::pty_process::PtyProcess;
use crate::server::startup::error::StartupError;
use crate::sys::fd;
use crate::sys::passage::Passage;
use crate::sys::process::{self, exec};
use crate::sys::terminal::Terminal;
use crate::systemd::notify_socket::NotifySocket;

/// The program that was this process before.
pub(crate) struct Predecessor {
    state: State,
    /// The descriptors that it left open, by number.
    held: BTreeMap<i32, OwnedFd>,
}

impl Predecessor {
    /// The predecessor, if it left a state.
    ///
    /// # Errors
    /// The state cannot be read. Then nothing was changed.
    pub(crate) fn from_environment(config: &Config) -> Result<Option<Predecessor>, StartupError> {
        let Some(number) = std::env::var_os(handover::VARIABLE) else {
            return Ok(None);
        };
        exec::restore_signals();
        let argv0 = config.argv0.as_bytes();
        let adopt = |number| persist(argv0, "take over a descriptor", || fd::adopt(number));
        let read = number
            .to_str()
            .and_then(|number| number.parse().ok())
            .ok_or_else(|| io::Error::from(Errno::EBADF))
            .and_then(|number| Ok(File::from(adopt(number)?)))
            .and_then(|file| persist(argv0, "read the state", || read_decodable(&file)))
            .and_then(|bytes| format::decode(&bytes).map_err(io::Error::other));
        let state = read.map_err(system("read the state named by PROCSERV_HANDOVER"))?;
        if let Some(path) = state.identity().program {
            exec::restore_process_name(&path);
        }
        fd::close_on_exec_all();
        let take = |wanted: Descriptor| {
            let fd = adopt(wanted.number)?;
            let found = persist(argv0, "take over a descriptor", || Descriptor::of(&fd))?;
            // A descriptor that is not what the state says is closed.
            Ok::<_, io::Error>((found == wanted).then_some((wanted.number, fd)))
        };
        let held = state.descriptors().filter_map(|wanted| take(wanted).ok().flatten()).collect();
        Ok(Some(Predecessor { state, held }))
    }

    /// Returns true if the server has a log.
    pub(crate) fn has_log(&self) -> bool {
        self.state.log.is_some() || self.state.passed_log.is_some()
    }

    /// The parts that the server goes on with.
    ///
    /// # Errors
    /// A descriptor is missing, or the state is one that no console can have had.
    pub(crate) fn into_parts(mut self, config: &Config) -> Result<ServerParts, StartupError> {
        let argv0 = config.argv0.as_bytes();
        let mut identity = self.state.identity();
        identity.program = Some(exec::program_path(identity.program.as_deref()));
        let child = self.state.child.map(|child| self.process(child)).transpose()?;
        let old_child = self.state.old_child.map(|child| self.process(child)).transpose()?;
        let mut listeners = Vec::new();
        for listener in std::mem::take(&mut self.state.listeners) {
            let socket = self.take(listener.socket)?;
            let address =
                persist(argv0, "take over a listener", || listening_address(socket.as_fd()));
            let address = address.map_err(system("take over a listener"))?;
            let endpoint =
                Endpoint { address, raw: listener.raw, view: listener.role == Role::Viewer };
            let (role, file) = (listener.role, listener.file);
            listeners.push(ListeningSocket::with_endpoint(socket, endpoint, role, file));
        }
        let mut child_sockets = Vec::new();
        for socket in std::mem::take(&mut self.state.child_sockets) {
            child_sockets.push(ChildSocket::adopt(self.take(socket.socket)?, &socket));
        }
        let mut connections = Vec::new();
        for connection in std::mem::take(&mut self.state.connections) {
            let id = ClientId(connection.id);
            let stream = self.take(connection.stream)?;
            let stream = match connection.kind {
                ConnectionKind::Terminal(saved) => {
                    let file = File::from(stream);
                    let modes = || Terminal::modes_to_restore(&file, &saved);
                    let modes = persist(argv0, "take over a terminal", modes);
                    modes.map(|modes| ClientStream::Terminal(Terminal::with_modes(file, modes)))
                }
                kind => ClientStream::adopt(stream, kind),
            };
            // A terminal that has hung up meanwhile is a client that has gone.
            connections.extend(stream.ok().map(|stream| (id, stream)));
        }
        let memory = self.state.store.map(|memory| self.take(memory)).transpose()?;
        let log = self.log(config)?;
        let stdout = self.state.stdout.map(|sink| self.output(sink)).transpose()?;
        let settings = settings(config, &identity, log.is_some());
        let log_end = self.state.console.log_end();
        let (head, is_in_ring) = self.state.console.stream_end();
        let memory_file = memory.as_ref().filter(|_| is_in_ring).map(|memory| {
            persist(argv0, "take over the stream", || memory.try_clone()).map(File::from)
        });
        let memory_file = memory_file.transpose().map_err(system("take over the stream"))?;
        let ring = memory_file.and_then(|file| {
            persist(argv0, "take over the stream", || memory::ring(&file, head)).ok()
        });
        let has_stream = ring.is_some();
        let formatter = Box::new(LocalTime);
        let mut console = Console::restore_with_ring(settings, formatter, self.state.console, ring)
            .map_err(|error| io::Error::other(error.to_string()))
            .map_err(system("go on from the state of the server before"))?;
        let notifier = persist(argv0, "use NOTIFY_SOCKET", || notifier(config))
            .map_err(system("use NOTIFY_SOCKET"))?;
        let store = memory.zip(notifier.clone()).map(|(memory, notifier)| {
            let mut store = FdStore::adopt(notifier, memory);
            hold_stream(&mut store, &mut console, has_stream);
            store
        });
        let files = written_files(config, process::own_pid(), &listeners);
        let next_token = usize::try_from(self.state.next_token).unwrap_or(usize::MAX);
        let records = (self.state.records, self.state.version);
        Ok(ServerParts {
            start_kind: StartKind::Upgraded,
            identity,
            console,
            listeners,
            child_sockets,
            log,
            log_place: (log_end, None),
            last_read: None,
            complete: true,
            stdout,
            records,
            child,
            old_child,
            connections,
            api: self.state.api,
            next_token,
            files,
            notifier,
            store,
            descendants_since: self.state.descendants_since,
            debug_lines: Vec::new(),
        })
    }

    fn take(&mut self, wanted: Descriptor) -> Result<OwnedFd, StartupError> {
        let gone = || io::Error::from(Errno::EBADF);
        let held = self.held.remove(&wanted.number).ok_or_else(gone);
        held.map_err(system("take over the descriptors of the server before"))
    }

    /// A child without its terminal is not taken over.
    fn process(&mut self, child: ChildState) -> Result<PtyProcess, StartupError> {
        let pidfd = child.pidfd.map(|pidfd| self.take(pidfd)).transpose()?;
        let notify_socket = child
            .notify_socket
            .map(|notify_socket| self.take(notify_socket))
            .transpose()?
            .map(NotifySocket::adopt);
        let master = File::from(self.take(child.pty)?);
        let ChildState { pid, start_ticks, .. } = child;
        Ok(PtyProcess { pid, start_ticks, master, notify_socket, pidfd })
    }

    fn output(&mut self, sink: SinkState) -> Result<Output<File>, StartupError> {
        Ok(Output { file: File::from(self.take(sink.file)?), retry: retry(sink.retry) })
    }

    /// The log, in its passage. A thread without a descriptor table of its own leaves it open
    /// instead.
    fn log(&mut self, config: &Config) -> Result<Option<Output<Passage>>, StartupError> {
        if let Some(log) = self.state.passed_log {
            let passage = Passage::adopt([self.take(log.entry)?, self.take(log.exit)?]);
            return Ok(Some(Output { file: passage, retry: retry(log.retry) }));
        }
        let Some(log) = self.state.log.map(|sink| self.output(sink)).transpose()? else {
            return Ok(None);
        };
        let pass = || passage(log.file.try_clone()?);
        let passage = persist(config.argv0.as_bytes(), "pass the log on", pass);
        let file = passage.map_err(system("pass the log on"))?;
        Ok(Some(Output { file, retry: log.retry }))
    }
}

fn retry(retry: Option<Retry>) -> Option<(Monotonic, bool)> {
    retry.map(|retry| (Monotonic(retry.at), retry.on_output))
}

/// Reads a state, if there is memory for what is made of it: decoding it does not expect a refusal.
fn read_decodable(file: &File) -> io::Result<Vec<u8>> {
    let bytes = read_all(file)?;
    let needed = bytes.len().saturating_mul(2);
    Vec::<u8>::new().try_reserve_exact(needed).map_err(|_| io::ErrorKind::OutOfMemory)?;
    Ok(bytes)
}

pub(super) fn read(number: i32) -> io::Result<Vec<u8>> {
    read_all(&File::from(fd::adopt(number)?))
}

fn read_all(mut file: &File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}
