//! A server is put together from its parts, new ones or those that another program had, and runs.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::child_sockets::{environment, is_about_sockets};
use super::parts::{OutputFile, ServerParts, StartKind};
use crate::config::{Config, LogTarget};
use crate::console::event::{Event, Role, Sink};
use crate::handover;
use crate::handover::state::ServerIdentity;
use crate::limits::KERNEL_TICK;
use crate::server::Server;
use crate::server::event_loop::child::Child;
use crate::server::event_loop::listener::Listener;
use crate::server::os::client_stream::ClientStream;
use crate::server::os::fdstore;
use crate::server::os::kernel::Kernel;
use crate::server::os::listening_socket::ListeningSocket;
use crate::server::os::{Inheritable, System};
use crate::server::records::{
    EndpointJson, RecordWriter, Records, RecordsJob, RecordsReply, ServerInfo,
};
use crate::server::service_manager::ServiceReporter;
use crate::server::startup::error::StartupError;
use crate::server::writers::sink::SinkWriter;
use crate::server::writers::syslog::Syslog;
use crate::server::writers::thread::{LogThread, WorkerThread};
use crate::sys::spawn::{ChildCommand, PreparedCommand};
use crate::sys::user::Account;
use crate::sys::{process, procfs, signal};
use crate::systemd;
use crate::systemd::notify::watchdog;

/// Runs the server that is made of these parts; the exit status.
pub(crate) fn launch(config: &Config, mut parts: ServerParts) -> Result<u8, StartupError> {
    let system = |what| move |error| StartupError::System { what, error };
    let manager = parts.notifier.is_some().then(|| {
        let [usec, watched] = ["WATCHDOG_USEC", "WATCHDOG_PID"].map(std::env::var_os);
        ServiceReporter::new(watchdog(usec.as_deref(), watched.as_deref(), std::process::id()))
    });
    let kernel = kernel(config, &mut parts)?;
    signal::unblock_all().map_err(system("set the signal mask"))?;
    let write_log = |file| kernel.write_log(file);
    let log = parts.log.map(|it| it.writer(Sink::Log, write_log)).transpose();
    let log = log.map_err(system("start a thread"))?;
    let write_stdout = |file| kernel.write_stdout(file);
    let stdout = parts.stdout.map(|it| it.writer(Sink::Stdout, write_stdout)).transpose();
    let stdout = stdout.map_err(system("start a thread"))?;

    let syslog = config.log.syslog.as_ref().map(|tag| {
        let worker = Syslog::new("/dev/log".into(), tag, std::process::id());
        Ok(SinkWriter::new(Sink::Syslog, kernel.start_thread("syslog", worker)?))
    });
    let syslog = syslog.transpose().map_err(system("start a thread"))?;

    let mut server = Server::new(kernel, parts.console, parts.next_token, parts.identity);
    (server.log, server.stdout, server.service) = (log, stdout, manager);
    server.allowed_networks.clone_from(&config.endpoints.allow_from);
    server.syslog = syslog;
    let fixed = server_info(config, &server.identity, &parts.listeners, parts.records.1);
    server.records = records(config, &server.system, fixed).map_err(system("start a thread"))?;
    server.records = server.records.map(|records| records.with_state(parts.records.0));
    if parts.start_kind == StartKind::Fresh
        && let Some(records) = &mut server.records
    {
        records.begin(server.system.millis());
    }
    if parts.start_kind != StartKind::Upgraded
        && server.log.is_none()
        && config.log.path().is_some()
    {
        let reason = parts.log_error.unwrap_or_default();
        server.console.handle(Event::LogOpenFailed(&reason), server.system.now());
    }
    parts.debug_lines.iter().for_each(|line| server.debug_line(line));
    for listener in parts.listeners {
        let token = server.take_token();
        server.system.watch_listener(&listener, token).map_err(system("poll"))?;
        let (endpoint, role) = (listener.endpoint.clone(), listener.role);
        server.listeners.push(Listener::new(token, listener, endpoint, role));
    }
    for (id, connection) in parts.connections {
        server.resume_client(id, connection);
    }
    let mut adopt = |child| {
        let token = server.take_token();
        let process = server.system.adopt(child, token).map_err(system("poll"))?;
        Ok(Child::new(process, token))
    };
    let child = parts.child.map(&mut adopt).transpose()?;
    let old_child = parts.old_child.map(adopt).transpose()?;
    (server.child, server.old_child) = (child, old_child);
    match parts.start_kind {
        StartKind::Fresh => {
            if config.is_foreground()
                && config.log.target != Some(LogTarget::Stdout)
                && let Some(stdin) = ClientStream::stdin()
            {
                server.join(stdin, Role::User, "stdin", server.system.now());
            }
        }
        StartKind::Upgraded => server.resume(Event::Upgraded { version: crate::VERSION }),
        StartKind::Recovered => server.resume(Event::Restarted),
    }
    let code = server.run().map_err(system("poll"))?;
    server.finish(parts.files).map_err(system("poll"))?;
    Ok(code)
}

/// The kernel as this server wants it; what survives a crash is kept from here on.
fn kernel(config: &Config, parts: &mut ServerParts) -> Result<Kernel, StartupError> {
    let system = |what| move |error| StartupError::System { what, error };
    let program = PreparedCommand::new(&child_command(config, parts, process::own_pid()));
    let program = program.map_err(system("prepare the child"))?;
    let argv0 = config.argv0.as_bytes().to_vec();
    let mut kernel = Kernel::new(program, config.log.path().map(Path::to_owned), argv0)
        .map_err(system("poll"))?;
    (kernel.notifier, kernel.fdstore) = (parts.notifier.take(), parts.fdstore.take());
    kernel.child_sockets = std::mem::take(&mut parts.child_sockets);
    kernel.has_notify_socket = config.restart.overlap.is_some();
    kernel.rotation = config.log.rotation;
    (kernel.descendants.pid_file, kernel.descendants.since_ticks) =
        (config.restart.daemon_pid_file.clone(), parts.descendants_since);
    if config.restart.kill_orphans || config.restart.daemon_pid_file.is_some() {
        process::adopt_orphans().map_err(system("become the parent of orphans"))?;
        if parts.descendants_since.is_none() {
            // They are not the child's, and stay alive.
            procfs::wait_one_tick(KERNEL_TICK);
        }
    }
    if parts.start_kind != StartKind::Upgraded
        && let Some(fdstore) = &mut kernel.fdstore
    {
        for listener in parts.listeners.iter().filter(|listener| !listener.passed) {
            if let Ok(socket) = listener.descriptor() {
                fdstore.store(&fdstore::listener(socket), listener, true);
            }
        }
        for (index, socket) in kernel.child_sockets.iter().enumerate() {
            if !socket.passed {
                fdstore.store(&fdstore::child_socket(index), socket, true);
            }
        }
    }
    Ok(kernel)
}

/// The records, if any are wanted.
fn records(
    config: &Config,
    kernel: &Kernel,
    fixed: ServerInfo,
) -> io::Result<Option<Records<WorkerThread<RecordsJob, RecordsReply>>>> {
    let (events, status) = (config.files.events.clone(), config.files.status.clone());
    let (with_events, with_status) = (events.is_some(), status.is_some());
    if !with_events && !with_status {
        return Ok(None);
    }
    let writer = RecordWriter::new(events, config.files.events_rotation, status);
    let link = kernel.start_thread("records", writer)?;
    Ok(Some(Records::new(link, fixed, with_events, with_status)))
}

/// What records say of the server.
fn server_info(
    config: &Config,
    origin: &ServerIdentity,
    listeners: &[ListeningSocket],
    predecessor: String,
) -> ServerInfo {
    let endpoints = listeners
        .iter()
        .map(|it| EndpointJson { role: it.role, endpoint: it.endpoint.to_string() })
        .collect();
    ServerInfo {
        pid: std::process::id(),
        started: origin.started,
        name: config.child.name.to_string_lossy().into_owned(),
        argv: origin
            .argv
            .iter()
            .map(|word| String::from_utf8_lossy(&word.0).into_owned())
            .collect(),
        endpoints,
        predecessor,
    }
}

/// The child: what to run, where, with which environment and limits.
fn child_command(config: &Config, parts: &ServerParts, pid: i32) -> ChildCommand {
    let mut info = format!("PID={pid}").into_bytes();
    for listener in &parts.listeners {
        info.extend_from_slice(match listener.role {
            Role::Logger => b";LOG=",
            Role::User => b";CTL=",
        });
        info.extend_from_slice(&listener.endpoint.to_bytes());
    }
    let set = [("PROCSERV_INFO", OsStr::from_bytes(&info))];
    let user = parts.identity.account.iter().flat_map(Account::variables);
    let set: Vec<(&str, &OsStr)> = set.into_iter().chain(user).collect();
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

impl OutputFile {
    /// Has it written by the thread that `start` starts.
    fn writer(
        self,
        sink: Sink,
        start: impl Fn(File) -> io::Result<LogThread>,
    ) -> io::Result<SinkWriter<LogThread>> {
        Ok(SinkWriter::new(sink, start(self.file)?).with_retry(self.retry))
    }
}
