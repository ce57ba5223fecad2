//! Assembling a server from its parts, and running it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::child_sockets::{environment, is_about_sockets};
use super::parts::{ServerParts, StartKind};
use super::system;
use crate::config::Config;
use crate::console::event::{ClientId, Event, Role, Sink};
use crate::handover;
use crate::handover::state::{Descriptor, ServerIdentity};
use crate::limits::{KERNEL_TICK, READ_SIZE};
use crate::server::Server;
use crate::server::api::ApiSession;
use crate::server::event_loop::Tokens;
use crate::server::event_loop::child::Child;
use crate::server::event_loop::listener::Listener;
use crate::server::event_loop::upgrade::Handover;
use crate::server::os::Clock;
use crate::server::os::child_socket::ChildSocket;
use crate::server::os::client_stream::ClientStream;
use crate::server::os::descendants::Descendants;
use crate::server::os::fdstore::{self, FdStore};
use crate::server::os::journal::{JOURNAL_SOCKET, JournalSocket};
use crate::server::os::kernel::Kernel;
use crate::server::os::listening_socket::ListeningSocket;
use crate::server::records::{
    EndpointJson, LeftStatus, RecordWriter, Records, RecordsJob, RecordsReply, ServerInfo,
};
use crate::server::service_manager::ServiceReporter;
use crate::server::startup::error::StartupError;
use crate::server::writers::sink::SinkWriter;
use crate::server::writers::syslog::Syslog;
use crate::server::writers::thread::WorkerThread;
use crate::sys::memory;
use crate::sys::process::spawn::{ChildCommand, PreparedCommand};
use crate::sys::process::user::Account;
use crate::sys::process::{self, procfs, signal};
use crate::systemd;
use crate::systemd::notify::{Notifier, watchdog};

/// Runs the server that is made of these parts, and returns its exit status.
pub(super) fn launch(config: &Config, mut parts: ServerParts) -> Result<u8, StartupError> {
    let (start_kind, complete) = (parts.start_kind, parts.complete);
    let last_read = parts.last_read.take();
    let connections = std::mem::take(&mut parts.connections);
    let api = std::mem::take(&mut parts.api);
    let debug_lines = std::mem::take(&mut parts.debug_lines);
    let mut server = assemble(config, parts)?;
    debug_lines.iter().for_each(|line| server.debug_line(line));
    for session in api {
        server.api.insert(ClientId(session.id), ApiSession::restore(session));
    }
    for (id, connection) in connections {
        server.resume_client(id, connection);
    }
    match start_kind {
        StartKind::Fresh => {
            if config.has_keyboard()
                && let Some(stdin) = ClientStream::stdin()
            {
                server.join(stdin, Role::User, "stdin", server.system.now());
            }
        }
        StartKind::Upgraded => server.resume(Event::Upgraded { version: crate::VERSION }, None),
        StartKind::Recovered => server.resume(Event::Restarted { complete }, last_read),
    }
    memory::release_unused();
    let code = server.run().map_err(system("poll"))?;
    server.finish().map_err(system("poll"))?;
    Ok(code)
}

/// The server, with its threads running. The clients that it goes on with are not in it yet.
fn assemble(config: &Config, mut parts: ServerParts) -> Result<Server<Kernel>, StartupError> {
    let mut kernel = kernel(config, &parts)?;
    let start_failed = || system("start a thread");
    kernel.keep_files(std::mem::take(&mut parts.files)).map_err(start_failed())?;
    let log_path = || config.log.path().map(Path::to_owned);
    if parts.start_kind != StartKind::Upgraded
        && let Some(store) = &mut parts.store
    {
        store_sockets(store, &parts.listeners, &parts.child_sockets);
    }
    signal::unblock_all().map_err(system("set the signal mask"))?;
    let start_failed = || system("start a thread");
    let log =
        parts.log.map(|log| Ok(kernel.write_log(log.file, log_path())?.with_retry(log.retry)));
    let mut log = log.transpose().map_err(start_failed())?;
    let has_stream = parts.store.as_ref().is_some_and(FdStore::has_stream);
    if has_stream {
        let (end, rest) = parts.log_place;
        log = log.map(|log| log.noting_places(end, rest));
    }
    let stdout =
        parts.stdout.map(|stdout| Ok(kernel.write_stdout(stdout.file)?.with_retry(stdout.retry)));
    let stdout = stdout.transpose().map_err(start_failed())?;
    let syslog = config.log.syslog.as_ref().map(|tag| {
        let worker = Syslog::new("/dev/log".into(), tag, std::process::id());
        let syslog = SinkWriter::new(Sink::Syslog, kernel.start_thread("syslog", worker)?);
        Ok(if has_stream { syslog.noting_places(None, None) } else { syslog })
    });
    let syslog = syslog.transpose().map_err(start_failed())?;
    let (records_state, predecessor) = parts.records;
    let info = server_info(config, &parts.identity, &parts.listeners, predecessor);
    let mut records = records(config, &kernel, info).map_err(start_failed())?;
    records = records.map(|records| records.with_state(records_state));
    if parts.start_kind != StartKind::Upgraded
        && let (Some(records), Some(path)) = (&mut records, &config.files.status)
        && let Some(left) = LeftStatus::read(path)
    {
        records.succeed(left);
    }
    if parts.start_kind == StartKind::Fresh
        && let Some(records) = &mut records
    {
        records.begin(kernel.unix_millis());
    }
    let mut tokens = Tokens { next: parts.next_token };
    let listeners = parts.listeners.into_iter().map(|socket| {
        let token = tokens.take();
        kernel.watch_listener(&socket, token)?;
        let (endpoint, role) = (socket.endpoint.clone(), socket.role);
        Ok(Listener::new(token, socket, endpoint, role))
    });
    let listeners = listeners.collect::<io::Result<_>>().map_err(system("poll"))?;
    let mut adopt = |process| {
        let token = tokens.take();
        Ok(Child::new(kernel.adopt(process, token)?, token))
    };
    let child = parts.child.map(&mut adopt).transpose().map_err(system("poll"))?;
    let old_child = parts.old_child.map(&mut adopt).transpose().map_err(system("poll"))?;
    let service = parts.notifier.is_some().then(|| {
        let [usec, watched] = ["WATCHDOG_USEC", "WATCHDOG_PID"].map(std::env::var_os);
        ServiceReporter::new(watchdog(usec.as_deref(), watched.as_deref(), std::process::id()))
    });
    Ok(Server {
        system: kernel,
        console: parts.console,
        child,
        old_child,
        child_sockets: parts.child_sockets,
        listeners,
        peers: BTreeMap::new(),
        api: BTreeMap::new(),
        log,
        log_path: log_path(),
        stdout,
        syslog,
        records,
        service,
        notifier: parts.notifier,
        store: parts.store,
        tokens,
        buffer: vec![0; READ_SIZE].into_boxed_slice(),
        exit: None,
        io_retry: None,
        identity: parts.identity,
        handover: Handover::new(),
        announces: config.console.announce,
        allowed_networks: config.endpoints.allow_from.clone(),
    })
}

/// The operating system as this configuration wants it.
fn kernel(config: &Config, parts: &ServerParts) -> Result<Kernel, StartupError> {
    let program = PreparedCommand::new(&child_command(config, parts, process::own_pid()));
    let program = program.map_err(system("prepare the child"))?;
    let descendants =
        Descendants::new(config.restart.daemon_pid_file.clone(), parts.descendants_since);
    let kernel = Kernel::new(
        program,
        config.log.rotation,
        config.argv0.as_bytes().to_vec(),
        config.restart.overlap.is_some(),
        descendants,
        parts.identity.program.clone().unwrap_or_default(),
        parts.start_kind == StartKind::Upgraded,
    );
    let kernel = kernel.map_err(system("poll"))?;
    if config.restart.kill_orphans || config.restart.daemon_pid_file.is_some() {
        // It lasts over an upgrade.
        if parts.start_kind != StartKind::Upgraded {
            process::adopt_orphans().map_err(system("become the parent of orphans"))?;
        }
        if parts.descendants_since.is_none() {
            // Processes that are children already are not the child's descendants, and stay alive.
            procfs::wait_one_tick(KERNEL_TICK);
        }
    }
    Ok(kernel)
}

/// Has the service manager keep the sockets that it has not passed itself.
fn store_sockets(
    store: &mut FdStore<Notifier>,
    listeners: &[ListeningSocket],
    child_sockets: &[ChildSocket],
) {
    for listener in listeners.iter().filter(|listener| !listener.passed) {
        if let Ok(socket) = Descriptor::of(listener) {
            store.store(&fdstore::listener(socket), listener, true);
        }
    }
    for (index, socket) in child_sockets.iter().enumerate() {
        if !socket.passed {
            store.store(&fdstore::child_socket(index), socket, true);
        }
    }
}

/// The records, if any are wanted.
fn records(
    config: &Config,
    kernel: &Kernel,
    fixed: ServerInfo,
) -> io::Result<Option<Records<WorkerThread<RecordsJob, RecordsReply>>>> {
    let (events, status) = (config.files.events.clone(), config.files.status.clone());
    let (with_events, with_status) = (events.is_some(), status.is_some());
    let with_journal = config.files.events_journal;
    if !with_events && !with_status && !with_journal && config.endpoints.api.is_none() {
        return Ok(None);
    }
    let writer = RecordWriter::new(events, config.files.events_rotation, status);
    let link = kernel.start_thread("records", writer)?;
    let records = Records::new(link, fixed, with_events, with_status);
    if !with_journal {
        return Ok(Some(records));
    }
    let journal = JournalSocket::new(Path::new(JOURNAL_SOCKET));
    Ok(Some(records.with_journal(Box::new(journal))))
}

/// The facts about the server that the records have.
fn server_info(
    config: &Config,
    identity: &ServerIdentity,
    listeners: &[ListeningSocket],
    predecessor: String,
) -> ServerInfo {
    let endpoints = listeners
        .iter()
        .map(|it| EndpointJson { role: it.role, endpoint: it.endpoint.to_string() })
        .collect();
    ServerInfo {
        pid: std::process::id(),
        started: identity.started,
        name: config.child.name.to_string_lossy().into_owned(),
        argv: identity
            .argv
            .iter()
            .map(|word| String::from_utf8_lossy(&word.0).into_owned())
            .collect(),
        endpoints,
        predecessor,
    }
}

/// The command to run as the child: with which environment and limits, and where.
fn child_command(config: &Config, parts: &ServerParts, pid: i32) -> ChildCommand {
    let mut info = format!("PID={pid}").into_bytes();
    for listener in &parts.listeners {
        info.extend_from_slice(match listener.role {
            Role::Logger => b";LOG=",
            Role::User | Role::Viewer => b";CTL=",
            // procServ has none.
            Role::Api => continue,
        });
        info.extend_from_slice(&listener.endpoint.to_bytes());
    }
    let set = [("PROCSERV_INFO", OsStr::from_bytes(&info))];
    let term = config.child.term.iter().map(|term| ("TERM", term.as_os_str()));
    let user = parts.identity.account.iter().flat_map(Account::variables);
    let set: Vec<(&str, &OsStr)> = set.into_iter().chain(term).chain(user).collect();
    let inherited = std::env::vars_os().filter(|(key, _)| {
        let sockets = !parts.child_sockets.is_empty() && is_about_sockets(key);
        let ours = key == handover::VARIABLE || set.iter().any(|(name, _)| key == name) || sockets;
        !ours
            && !systemd::is_for_server(
                key,
                config.service.notify || config.restart.overlap.is_some(),
            )
    });
    let set = set.iter().map(|&(name, value)| (name.into(), value.to_owned()));
    let env = inherited.chain(set).chain(environment(&parts.child_sockets)).collect();
    let (executable, args) = match &config.child.exec {
        Some(file) => {
            let args = std::iter::once(&config.child.command).chain(&config.child.args);
            (file.clone(), args.cloned().collect())
        }
        None => (config.child.command.clone(), config.child.args.clone()),
    };
    ChildCommand {
        argv0: config.argv0.clone(),
        executable,
        args,
        env,
        dir: config.child.chdir.clone().map(PathBuf::into_os_string),
        core_size: config.child.core_size,
        open_files: parts.identity.open_files,
        ignore_hangup: config.restart.daemon_pid_file.is_some(),
        user: parts.identity.account.clone(),
    }
}
