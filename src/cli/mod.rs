//! The command line: argv in, [`Config`] or an [`Exit`] out. Decides what the words mean together;
//! prints nothing, opens nothing.

mod args;
mod getopt;
mod life;
mod number;
mod own;
mod stderr;

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use clap::ArgMatches;

use crate::caret;
use crate::config::{
    ByteSet, CommandChars, Config, LogTarget, Overlap, RestartMode, Rotation, RunMode,
};
use crate::endpoint::{Access, Endpoint};
use crate::limits::OVERLAP_GRACE;
use crate::listen::{ListenUri, Place};
pub use args::definition;
use getopt::Item;
use number::Numbers;
use stderr::Stderr;

/// The server does not start: what to print, and the status to leave with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// For stdout, complete with newlines.
    pub stdout: Vec<u8>,
    /// For stderr, complete with newlines.
    pub stderr: Vec<u8>,
    /// The exit status.
    pub code: u8,
}

/// Reads `argv`, its first word the server's own name, as procServ does (contract section 1).
/// `env` is asked for PROCSERV_PID and PROCSERV_DEBUG only.
///
/// # Errors
/// An [`Exit`] for help, version and everything that keeps the server from starting.
pub fn parse(argv: Vec<OsString>, env: &dyn Fn(&str) -> Option<OsString>) -> Result<Config, Exit> {
    let mut words = argv.into_iter();
    let argv0 = words.next().unwrap_or_else(|| "procServ".into());
    let definition = args::definition();
    let scanned = getopt::scan(&definition, words.collect());

    let mut stderr = Stderr::new(&argv0);
    let mut numbers = Numbers::default();
    let mut usable = true;
    for item in &scanned.items {
        match item {
            Item::Problem(text) => {
                usable = false;
                stderr.say(text);
            }
            Item::Option { id, .. } if id == args::HELP => {
                return Err(stderr.exit(args::help(&argv0), 0));
            }
            Item::Option { id, .. } if id == args::VERSION => {
                return Err(stderr.exit(format!("{}\n", crate::VERSION).into_bytes(), 0));
            }
            Item::Option { id, value } => {
                if let Some(value) = value {
                    numbers.read(id, value.as_bytes(), &mut stderr);
                }
            }
        }
    }

    let new_style = scanned.has("port");
    let mut operands = scanned.operands.iter().cloned();
    let old_style = if new_style { None } else { operands.next() };
    let Some(command) = operands.next() else {
        stderr.say(b"missing argument");
        return Err(stderr.exit(args::usage(&argv0), 1));
    };
    if !usable {
        return Err(stderr.exit(args::usage(&argv0), 1));
    }

    let matches = match definition.try_get_matches_from(scanned.canonical(&argv0)) {
        Ok(matches) => matches,
        Err(error) => {
            stderr.say(error.to_string().as_bytes());
            return Err(stderr.exit(args::usage(&argv0), 1));
        }
    };
    let given = Given(&matches);
    if given.flag("quiet") {
        stderr.hush();
    }
    let fdstore = given.flag("fdstore");
    let notify = given.flag("notify") || given.value("ready").is_some() || fdstore;
    let own = || {
        check_notify(&given, notify)?;
        Ok((
            own::history(&given)?,
            own::allow_from(&given)?,
            own::wording(&given)?,
            life::holdoff_max(&given, numbers.holdoff)?,
        ))
    };
    let (history, allow_from, wording, holdoff_max) = match own() {
        Ok(values) => values,
        Err(problem) => {
            let problem: String = problem;
            stderr.say(problem.as_bytes());
            return Err(stderr.exit(Vec::new(), 1));
        }
    };
    let (controls, log_endpoint) = match endpoints(&given, old_style) {
        Ok(endpoints) => endpoints,
        Err(error) => {
            stderr.line(error.message(&argv0));
            return Err(stderr.exit(Vec::new(), 1));
        }
    };
    let listen = match listen(&given) {
        Ok(listen) => listen,
        Err(problem) => {
            stderr.say(&problem);
            return Err(stderr.exit(Vec::new(), 1));
        }
    };
    let overlap = match overlap(&given, &numbers) {
        Ok(overlap) => overlap,
        Err(problem) => {
            stderr.say(&problem);
            return Err(stderr.exit(Vec::new(), 1));
        }
    };
    let log_rotate = match log_rotate(&given) {
        Ok(rotation) => rotation,
        Err(problem) => {
            stderr.say(problem.as_bytes());
            return Err(stderr.exit(Vec::new(), 1));
        }
    };
    let command_chars = command_chars(&given);
    let time_format = given.value("timefmt").map_or(b"%c".to_vec(), bytes);
    let syslog = given.0.contains_id("syslog").then(|| {
        let name = given.value("name").unwrap_or_else(|| command.clone());
        bytes(given.value("syslog").unwrap_or(name))
    });
    Ok(Config {
        controls,
        log_endpoint,
        name: given.value("name").unwrap_or_else(|| command.clone()),
        command,
        args: operands.collect(),
        exec: given.value("exec"),
        chdir: given.value("chdir").map(PathBuf::from),
        core_size: numbers.core_size,
        user: given.value("user"),
        run_mode: match (
            given.flag("debug") || env("PROCSERV_DEBUG").is_some(),
            given.flag("foreground"),
        ) {
            (false, false) => RunMode::Daemon,
            (false, true) => RunMode::Foreground,
            (true, false) => RunMode::Debug,
            (true, true) => RunMode::DebugForeground,
        },
        holdoff: numbers.holdoff,
        holdoff_max,
        grace_period: numbers.grace_period,
        ignore: ignored(&given, command_chars, overlap),
        command_chars,
        kill_signal: numbers.kill_signal,
        log_file: given.value("logfile").map(|file| match file {
            stdout if stdout == "-" => LogTarget::Stdout,
            file => LogTarget::File(file.into()),
        }),
        log_stamp: given.0.contains_id("logstamp").then(|| {
            let default = || [b"[", time_format.as_slice(), b"] "].concat();
            given.value("logstamp").map_or_else(default, bytes)
        }),
        log_rotate,
        syslog,
        save_log: given.flag("savelog"),
        restart: if given.flag("oneshot") {
            RestartMode::Oneshot
        } else if given.flag("noautorestart") {
            RestartMode::Off
        } else {
            RestartMode::On
        },
        history,
        wording,
        allow_from,
        kill_orphans: given.flag("kill-orphans"),
        child_pid_file: given.value("child-pidfile").map(PathBuf::from),
        signal_status: given.flag("signal-status"),
        wait: given.flag("wait"),
        fdstore,
        listen,
        overlap,
        notify,
        ready: given.value("ready").map(bytes),
        quiet: given.flag("quiet"),
        pid_file: given
            .value("pidfile")
            .or_else(|| env("PROCSERV_PID").filter(|file| !file.is_empty()))
            .map(PathBuf::from),
        info_file: given.value("info-file").map(PathBuf::from),
        events: given.value("events").map(PathBuf::from),
        status_file: given.value("status-file").map(PathBuf::from),
        time_format,
        warnings: stderr.lines(),
        argv0,
    })
}

/// What clap found, with the types all our options have.
struct Given<'a>(&'a ArgMatches);

impl Given<'_> {
    fn flag(&self, id: &str) -> bool {
        self.0.get_flag(id)
    }

    /// Every value of the option `id`, in the order given.
    fn values(&self, id: &str) -> impl Iterator<Item = &OsString> {
        self.0.get_many(id).unwrap_or_default()
    }

    /// The one that counts. A bare `--logstamp` has none and so takes no earlier one back.
    fn value(&self, id: &str) -> Option<OsString> {
        self.values(id).last().cloned()
    }
}

fn bytes(text: OsString) -> Vec<u8> {
    std::os::unix::ffi::OsStringExt::into_vec(text)
}

/// The control endpoints in the order declared, and the log endpoint. procServ, too, looks at the
/// control ones first, and never at a log endpoint that a later one replaces.
fn endpoints(
    given: &Given,
    old_style: Option<OsString>,
) -> Result<(Vec<Endpoint>, Option<Endpoint>), crate::endpoint::EndpointError> {
    let control = Access::Control { allow: given.flag("allow") };
    let log = Access::Log { restrict: given.flag("restrict") };
    let controls = given
        .values("port")
        .chain(old_style.as_ref())
        .map(|spec| Endpoint::parse(spec, control))
        .collect::<Result<_, _>>()?;
    let log = given.value("logport").map(|spec| Endpoint::parse(&spec, log)).transpose()?;
    Ok((controls, log))
}

/// What is wrong with `--notify` and `--ready`, if anything is. A daemon's first process leaves at
/// once, which tells a service manager what it wants to know.
fn check_notify(given: &Given, notify: bool) -> Result<(), &'static str> {
    let text = given.value("ready");
    match text.as_ref().map(|text| text.as_bytes()) {
        Some(b"") => Err("--ready needs a text"),
        Some(text) if text.contains(&b'\n') => Err("--ready looks for a text within one line"),
        Some(_) if !given.flag("foreground") => Err("--ready needs --foreground"),
        None if given.flag("fdstore") && !given.flag("foreground") => {
            Err("--fdstore needs --foreground")
        }
        None if notify && !given.flag("foreground") => Err("--notify needs --foreground"),
        Some(_) | None => Ok(()),
    }
}

/// The sockets for the child, or what is wrong with one.
fn listen(given: &Given) -> Result<Vec<ListenUri>, Vec<u8>> {
    let mut all: Vec<ListenUri> = Vec::new();
    for text in given.values("listen") {
        let wrong =
            |problem: &str| [b"--listen ", text.as_bytes(), b" ", problem.as_bytes()].concat();
        let uri = ListenUri::parse(text).map_err(wrong)?;
        let twice = |other: &ListenUri| {
            other.place == uri.place && matches!(uri.place, Place::Descriptor(_))
        };
        if all.iter().any(twice) {
            return Err(wrong("is given twice"));
        }
        all.push(uri);
    }
    Ok(all)
}

/// `--overlap` and what belongs to it, or what is wrong with it.
fn overlap(given: &Given, numbers: &Numbers) -> Result<Option<Overlap>, Vec<u8>> {
    let command = given.value("reloadcmd");
    let Some(text) = given.value("overlap") else {
        return match command {
            Some(_) => Err(b"--reloadcmd needs --overlap".to_vec()),
            None => Ok(None),
        };
    };
    if given.value("child-pidfile").is_some() {
        return Err(
            b"--overlap does not go with --child-pidfile: a daemon is not replaced".to_vec()
        );
    }
    let digits = text.to_str().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let Some(after) = digits.and_then(|text| text.parse::<u32>().ok()) else {
        return Err([b"--overlap ", text.as_bytes(), b" is no number of milliseconds"].concat());
    };
    let command = match command
        .as_ref()
        .map(|text| (text.as_bytes(), caret::list(text.as_bytes()).count()))
    {
        None | Some((b"", _)) => None,
        Some((text, 1)) => caret::command_char(text),
        Some((text, _)) => {
            return Err([b"--reloadcmd ", text, b" is no single character"].concat());
        }
    };
    let grace = if numbers.grace_given { numbers.grace_period } else { OVERLAP_GRACE };
    Ok(Some(Overlap {
        after: Duration::from_millis(after.into()),
        grace: Duration::from_secs(grace.into()),
        command,
    }))
}

/// What `--log-rotate` says, or what is wrong with it.
fn log_rotate(given: &Given) -> Result<Option<Rotation>, &'static str> {
    let Some(rule) = given.value("log-rotate") else {
        return Ok(None);
    };
    match given.value("logfile") {
        Some(file) if file != "-" => {}
        Some(_) | None => return Err("--log-rotate needs --logfile with a file"),
    }
    let rule = number::rotation(rule.as_bytes());
    rule.map(Some).ok_or("--log-rotate needs a size (1000, 64k, 10M, 2G) and perhaps ,<keep>")
}

fn command_chars(given: &Given) -> CommandChars {
    let command =
        |id, default| given.value(id).map_or(default, |text| caret::command_char(text.as_bytes()));
    CommandChars {
        kill: command("killcmd", Some(0x18)),
        toggle: command("autorestartcmd", Some(0x14)),
        logout: command("logoutcmd", None),
    }
}

/// The list of `-i`, the command characters, and NUL as soon as there is any list.
fn ignored(given: &Given, commands: CommandChars, overlap: Option<Overlap>) -> ByteSet {
    let mut set = ByteSet::EMPTY;
    let list = given.value("ignore");
    let reload = overlap.and_then(|overlap| overlap.command);
    let commands = [commands.kill, commands.toggle, commands.logout, reload];
    for byte in commands.into_iter().flatten() {
        set.insert(byte);
    }
    for byte in caret::list(list.as_deref().unwrap_or_default().as_bytes()) {
        set.insert(byte);
    }
    if list.is_some() || !set.is_empty() {
        set.insert(0);
    }
    set
}
