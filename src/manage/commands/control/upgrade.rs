//! `upgrade`: has running servers execute the program that is installed now, and keep their clients
//! and children. One server after the other, so that a bad program does harm to one server at most.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::thread;
use std::time::{Duration, Instant};

use clap::ArgMatches;
use nix::sys::signal::Signal;
use serde_json::json;

use crate::manage::error::CommandResult;
use crate::manage::inspect::proc::{self, Clock};
use crate::manage::inspect::{bounded, probe};
use crate::manage::output;
use crate::manage::registry::pattern::Patterns;
use crate::manage::registry::{Instance, Registry};
use crate::sys;
use crate::sys::process::pidfd;

/// `upgrade`. The exit status is 1 if a server was not upgraded.
///
/// # Errors
/// A pattern that matches no instance; files that can't be read.
pub(crate) fn upgrade(registry: &Registry, matches: &ArgMatches, json: bool) -> CommandResult {
    registry.require_live("upgrade")?;
    let instances = registry.matching(&Patterns::from_matches(matches)?)?;
    let seconds = matches.get_one::<u32>("timeout").copied().unwrap_or(20);
    let keep_going = matches.get_flag("keep-going");
    let clock = Clock::read();
    let mut failed = false;
    let mut report = Vec::new();
    for instance in &instances {
        let result = if failed && !keep_going {
            Err("not tried, after a failure".to_owned())
        } else {
            upgrade_one(registry, instance, clock, Duration::from_secs(seconds.into()))
        };
        let (word, text) = match &result {
            Ok(Some(text)) => ("upgraded", text.clone()),
            Ok(None) => ("stopped", "has no server".to_owned()),
            Err(problem) => ("failed", problem.clone()),
        };
        failed |= result.is_err();
        if !json {
            output::print(&output::line(&format!("{}: {word}: {text}", instance.name)))?;
        }
        report.push(json!({ "v": 1, "name": instance.name, "result": word, "text": text }));
    }
    if json {
        output::print_json(&report.into())?;
    }
    Ok(u8::from(failed))
}

/// Upgrades the server of an instance. `None` if there is no server.
///
/// # Errors
/// Why the server was not upgraded.
fn upgrade_one(
    registry: &Registry,
    instance: &Instance,
    clock: Option<Clock>,
    timeout: Duration,
) -> Result<Option<String>, String> {
    let look = {
        let (registry, instance) = (registry.clone(), instance.clone());
        bounded::one(move || {
            let live = probe::probe(&registry, &instance, clock);
            let is_hidden = match &live {
                Some(live) => live.is_hidden(),
                None => probe::is_hidden(&registry, &instance.name),
            };
            (live, is_hidden)
        })
    };
    let Some((live, is_hidden)) = look else {
        return Err("its files do not answer: a disk or a server hangs".to_owned());
    };
    if is_hidden {
        return Err("only others may see it; are you root?".to_owned());
    }
    let Some(server) = live.and_then(|live| live.server) else {
        return Ok(None);
    };
    let pid = server.pid;
    // From here on another process may get the number, but not the descriptor.
    let process = pidfd::find(pid, server.started).ok_or_else(|| ended(pid))?;
    match proc::catches(pid, Signal::SIGUSR1 as i32) {
        Some(true) => {}
        Some(false) => {
            return Err(format!(
                "PID {pid} knows nothing of upgrades, and SIGUSR1 would kill it; restart it"
            ));
        }
        None => return Err(format!("PID {pid}: /proc/{pid}/status can't be read")),
    }
    let before =
        exec_identity(pid).ok_or_else(|| format!("PID {pid}: not to be seen; are you root?"))?;
    pidfd::signal(&process, Signal::SIGUSR1 as i32)
        .map_err(|error| format!("PID {pid}: {}", sys::reason(&error)))?;
    let deadline = Instant::now() + timeout;
    while Instant::now() < deadline {
        thread::sleep(Duration::from_millis(5));
        match exec_identity(pid) {
            _ if !pidfd::is_alive(&process) => return Err(ended(pid)),
            None => return Err(ended(pid)),
            Some(now) if now.image != before.image => {
                return Ok(Some(format!("PID {pid} is {}", now.path)));
            }
            Some(_) => {}
        }
    }
    let (scope, name) = (registry.scope.option(), &instance.name);
    Err(format!("PID {pid} goes on as it was; \"manage-procs {scope} logs {name}\" has its reason"))
}

fn ended(pid: i32) -> String {
    format!("PID {pid} has ended")
}

/// What a process is executing.
struct ExecIdentity {
    image: (u64, u64, Vec<u64>),
    path: String,
}

/// `None` if the process is gone, or this user may not see it. If the new program is the same file,
/// only the random addresses in memory differ.
fn exec_identity(pid: i32) -> Option<ExecIdentity> {
    let exe = format!("/proc/{pid}/exe");
    let file = fs::metadata(&exe).ok()?;
    let process = proc::process(pid)?;
    Some(ExecIdentity {
        image: (file.dev(), file.ino(), process.memory_layout),
        path: fs::read_link(&exe).ok()?.display().to_string(),
    })
}
