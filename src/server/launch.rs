//! A server is put together from its parts, new ones or those that another program had, and runs.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::Server;
use super::bind::Bound;
use super::child::Child;
use super::child_sockets::{ChildSocket, environment, is_about_sockets, vault_name};
use super::files::OwnFile;
use super::handover::Origin;
use super::kernel::Kernel;
use super::listener::Listener;
use super::logfile::Writer;
use super::manager::Manager;
use super::pty_process::PtyProcess;
use super::records::{EndpointLine, Fixed, Keeper, Records};
use super::startup::{is_foreground, log_path, own_pid};
use super::stream::Terminus;
use super::syslog::Syslog;
use super::system::{Lasting, System};
use super::thread::Thread;
use super::vault::{self, Vault};
use crate::config::{Config, LogTarget, RunMode};
use crate::core::clock::{Calendar, Moment, UnixTime};
use crate::core::event::{ClientId, Event, Role, Sink};
use crate::core::{Console, Settings};
use crate::error::StartupError;
use crate::handover;
use crate::handover::state::RecordsState;
use crate::sys::spawn::{Plan, Program};
use crate::sys::user::{self, Account};
use crate::sys::{process, procfs, signal, time};
use crate::systemd;
use crate::systemd::notify::{Notifier, watchdog};

/// Where a server comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begun {
    /// It is the first.
    New,
    /// Another program in this process made way for it.
    Upgraded,
    /// The one before it died.
    Restarted,
}

/// Everything that a server is made of.
pub(super) struct Parts {
    pub(super) begun: Begun,
    pub(super) origin: Origin,
    pub(super) console: Console,
    pub(super) listeners: Vec<Bound>,
    pub(super) child_sockets: Vec<ChildSocket>,
    pub(super) log: Option<Output>,
    /// Why there is none.
    pub(super) log_error: Option<String>,
    pub(super) stdout: Option<Output>,
    /// What the records go on with, and the version of the program before.
    pub(super) records: (RecordsState, String),
    pub(super) child: Option<PtyProcess>,
    pub(super) old_child: Option<PtyProcess>,
    pub(super) connections: Vec<(ClientId, Terminus)>,
    /// Tokens and clients below it have been.
    pub(super) next_token: usize,
    pub(super) files: Vec<OwnFile>,
    /// The way to the service manager, if it is to be told anything.
    pub(super) notifier: Option<Notifier>,
    /// With `--fdstore`.
    pub(super) vault: Option<Vault>,
    /// Since when the child's kin are in the world.
    pub(super) kin_since: Option<u64>,
    /// Lines for `-d`.
    pub(super) said: Vec<String>,
}

/// The way to the service manager, with `--notify` and if there is one.
pub(super) fn notifier(config: &Config) -> Result<Option<Notifier>, StartupError> {
    let address = std::env::var_os("NOTIFY_SOCKET");
    let notifier = address.filter(|name| config.notify && !name.is_empty());
    let notifier = notifier.map(|address| Notifier::new(&address)).transpose();
    notifier.map_err(|error| StartupError::System { what: "use NOTIFY_SOCKET", error })
}

/// Whom to run the child as, under `--user`.
pub(super) fn account(config: &Config) -> Result<Option<Account>, StartupError> {
    let Some(who) = &config.user else {
        return Ok(None);
    };
    let refused = |error| StartupError::System { what: "obey --user", error };
    if !user::is_root() {
        return Err(refused(io::Error::other("the server was not started as root")));
    }
    match Account::find(who).map_err(refused)? {
        Some(account) => Ok(Some(account)),
        None => Err(refused(io::Error::other(format!("unknown user '{}'", who.display())))),
    }
}

/// A file for a thread to write.
pub(super) struct Output {
    pub(super) file: File,
    /// After a failure: when to try again, and whether only new output makes that worth it.
    pub(super) retry: Option<(Moment, bool)>,
}

impl Output {
    /// Has it written by the thread that `start` starts.
    fn writer(
        self,
        sink: Sink,
        start: impl Fn(File) -> io::Result<Thread>,
    ) -> io::Result<Writer<Thread>> {
        Ok(Writer::new(sink, start(self.file)?).with_retry(self.retry))
    }
}

/// Runs the server that is made of these parts; the exit status.
pub(super) fn launch(config: &Config, mut parts: Parts) -> Result<u8, StartupError> {
    let system = |what| move |error| StartupError::System { what, error };
    let manager = parts.notifier.is_some().then(|| {
        let [usec, watched] = ["WATCHDOG_USEC", "WATCHDOG_PID"].map(std::env::var_os);
        Manager::new(watchdog(usec.as_deref(), watched.as_deref(), std::process::id()))
    });
    let kernel = kernel(config, &mut parts)?;
    signal::unblock_all().map_err(system("set the signal mask"))?;
    let write_log = |file| kernel.write_log(file);
    let log = parts.log.map(|it| it.writer(Sink::Log, write_log)).transpose();
    let log = log.map_err(system("start a thread"))?;
    let write_stdout = |file| kernel.write_stdout(file);
    let stdout = parts.stdout.map(|it| it.writer(Sink::Stdout, write_stdout)).transpose();
    let stdout = stdout.map_err(system("start a thread"))?;

    let syslog = config.syslog.as_ref().map(|tag| {
        let hand = Syslog::new("/dev/log".into(), tag, std::process::id());
        Ok(Writer::new(Sink::Syslog, kernel.start_thread("syslog", hand)?))
    });
    let syslog = syslog.transpose().map_err(system("start a thread"))?;

    let mut server = Server::new(kernel, parts.console, parts.next_token, parts.origin);
    (server.log, server.stdout, server.manager) = (log, stdout, manager);
    server.allow_from.clone_from(&config.allow_from);
    server.syslog = syslog;
    let fixed = fixed(config, &server.origin, &parts.listeners, parts.records.1);
    server.records = records(config, &server.system, fixed).map_err(system("start a thread"))?;
    server.records = server.records.map(|records| records.with_state(parts.records.0));
    if parts.begun == Begun::New
        && let Some(records) = &mut server.records
    {
        records.begin(server.system.millis());
    }
    if parts.begun != Begun::Upgraded && server.log.is_none() && log_path(config).is_some() {
        let reason = parts.log_error.unwrap_or_default();
        server.console.handle(Event::LogNotOpened(&reason), server.system.now());
    }
    parts.said.iter().for_each(|line| server.diagnose(line));
    for listener in parts.listeners {
        let token = server.take_token();
        server.system.watch_listener(&listener, token).map_err(system("poll"))?;
        let (endpoint, role) = (listener.endpoint.clone(), listener.role);
        server.listeners.push(Listener::new(token, listener, endpoint, role));
    }
    for (id, connection) in parts.connections {
        server.go_on_with(id, connection);
    }
    let mut adopt = |child| {
        let token = server.take_token();
        let process = server.system.adopt(child, token).map_err(system("poll"))?;
        Ok(Child::new(process, token))
    };
    let child = parts.child.map(&mut adopt).transpose()?;
    let old_child = parts.old_child.map(adopt).transpose()?;
    (server.child, server.old_child) = (child, old_child);
    match parts.begun {
        Begun::New => {
            if is_foreground(config)
                && config.log_file != Some(LogTarget::Stdout)
                && let Some(stdin) = Terminus::stdin()
            {
                server.join(stdin, Role::User, "stdin", server.system.now());
            }
        }
        Begun::Upgraded => server.settle_in(Event::Upgraded { version: crate::VERSION }),
        Begun::Restarted => server.settle_in(Event::Restarted),
    }
    let code = server.run().map_err(system("poll"))?;
    server.finish(parts.files).map_err(system("poll"))?;
    Ok(code)
}

/// The kernel as this server wants it; what survives a crash is kept from here on.
fn kernel(config: &Config, parts: &mut Parts) -> Result<Kernel, StartupError> {
    let system = |what| move |error| StartupError::System { what, error };
    let program = Program::new(&plan(config, parts, own_pid()));
    let program = program.map_err(system("prepare the child"))?;
    let argv0 = config.argv0.as_bytes().to_vec();
    let mut kernel = Kernel::new(program, log_path(config), argv0).map_err(system("poll"))?;
    (kernel.notifier, kernel.vault) = (parts.notifier.take(), parts.vault.take());
    kernel.child_sockets = std::mem::take(&mut parts.child_sockets);
    kernel.hears = config.overlap.is_some();
    kernel.rotation = config.log_rotate;
    (kernel.lineage.pid_file, kernel.lineage.since) =
        (config.child_pid_file.clone(), parts.kin_since);
    if config.kill_orphans || config.child_pid_file.is_some() {
        process::adopt_orphans().map_err(system("become the parent of orphans"))?;
        if parts.kin_since.is_none() {
            // They are not the child's, and stay alive.
            procfs::outlast_elders();
        }
    }
    if parts.begun != Begun::Upgraded
        && let Some(vault) = &mut kernel.vault
    {
        for listener in parts.listeners.iter().filter(|listener| !listener.passed) {
            if let Ok(socket) = listener.descriptor() {
                vault.keep(&vault::listener(socket), listener, true);
            }
        }
        for (index, socket) in kernel.child_sockets.iter().enumerate() {
            if !socket.passed {
                vault.keep(&vault_name(index), socket, true);
            }
        }
    }
    Ok(kernel)
}

/// The records, if any are wanted.
fn records(config: &Config, kernel: &Kernel, fixed: Fixed) -> io::Result<Option<Records<Thread>>> {
    let (events, status) = (config.events.clone(), config.status_file.clone());
    let (with_events, with_status) = (events.is_some(), status.is_some());
    if !with_events && !with_status {
        return Ok(None);
    }
    let link = kernel.start_thread("records", Keeper::new(events, status))?;
    Ok(Some(Records::new(link, fixed, with_events, with_status)))
}

/// What records say of the server.
fn fixed(config: &Config, origin: &Origin, listeners: &[Bound], predecessor: String) -> Fixed {
    let endpoints =
        listeners.iter().map(|it| EndpointLine::new(it.role, it.endpoint.to_string())).collect();
    Fixed {
        pid: std::process::id(),
        started: origin.started,
        name: config.name.to_string_lossy().into_owned(),
        argv: origin.argv.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect(),
        endpoints,
        predecessor,
    }
}

/// The child: what to run, where, with which environment and limits.
fn plan(config: &Config, parts: &Parts, pid: i32) -> Plan {
    let mut info = format!("PID={pid}").into_bytes();
    for listener in &parts.listeners {
        info.extend_from_slice(match listener.role {
            Role::Logger => b";LOG=",
            Role::User => b";CTL=",
        });
        info.extend_from_slice(&listener.endpoint.to_bytes());
    }
    let set = [("PROCSERV_INFO", OsStr::from_bytes(&info))];
    let user = parts.origin.account.iter().flat_map(Account::variables);
    let set: Vec<(&str, &OsStr)> = set.into_iter().chain(user).collect();
    let inherited = std::env::vars_os().filter(|(key, _)| {
        let sockets = !parts.child_sockets.is_empty() && is_about_sockets(key);
        let ours = key == handover::VARIABLE || set.iter().any(|(name, _)| key == name) || sockets;
        !ours && !systemd::is_for_server(key, config.notify || config.overlap.is_some())
    });
    let set = set.iter().map(|&(name, value)| (name.into(), value.to_owned()));
    let env = inherited.chain(set).chain(environment(&parts.child_sockets)).collect();
    let (executable, args) = match &config.exec {
        Some(file) => {
            let args = std::iter::once(&config.command).chain(&config.args);
            (file.clone(), args.cloned().collect())
        }
        None => (config.command.clone(), config.args.clone()),
    };
    Plan {
        argv0: config.argv0.clone(),
        executable,
        args,
        env,
        dir: config.chdir.clone().map(PathBuf::into_os_string),
        core_size: config.core_size,
        open_files: parts.origin.open_files,
        ignore_hangup: config.child_pid_file.is_some(),
        user: parts.origin.account.clone(),
    }
}

pub(super) fn settings(config: &Config, origin: &Origin, log_opened: bool) -> Settings {
    let server_dir = origin.dir.clone();
    let child_dir = match &config.chdir {
        Some(dir) => dir.as_os_str().as_bytes().to_vec(),
        None => server_dir.clone(),
    };
    let log = config.log_file.as_ref().map(|log| match log {
        LogTarget::Stdout => (b"-".to_vec(), true),
        LogTarget::File(path) => (path.as_os_str().as_bytes().to_vec(), log_opened),
    });
    Settings {
        version: crate::VERSION.as_bytes().to_vec(),
        server_pid: std::process::id(),
        server_started: UnixTime(origin.started),
        server_dir,
        child_dir,
        name: config.name.as_bytes().to_vec(),
        command: config.command.as_bytes().to_vec(),
        executed: config.exec.as_ref().unwrap_or(&config.command).as_bytes().to_vec(),
        log,
        log_stamp: config.log_stamp.clone(),
        to_stdout: config.run_mode == RunMode::Debug,
        to_syslog: config.syslog.is_some(),
        commands: config.command_chars,
        ignore: config.ignore.clone(),
        kill_signal: config.kill_signal,
        holdoff: std::time::Duration::from_secs(config.holdoff.into()),
        holdoff_max: std::time::Duration::from_secs(config.holdoff_max.into()),
        signal_status: config.signal_status,
        kill_orphans: config.kill_orphans,
        daemonizes: config.child_pid_file.is_some(),
        grace: std::time::Duration::from_secs(config.grace_period.into()),
        restart: config.restart,
        wait: config.wait,
        ready: config.ready.clone(),
        overlap: config.overlap,
        time_format: config.time_format.clone(),
        history: config.history,
        wording: config.wording,
    }
}

pub(super) struct LocalCalendar;

impl Calendar for LocalCalendar {
    fn format(&self, time: UnixTime, format: &[u8]) -> Vec<u8> {
        time::strftime(time.0, format)
    }
}
