//! The next thing to try.

use std::time::{Duration, SystemTime};

use super::cores;
use super::{Log, Report};
use crate::manage::commands::doctor::finding::suggested_command;
use crate::manage::inspect::overview::{Overview, State};
use crate::manage::inspect::proc::Process;
use crate::manage::inspect::{ends, events};
use crate::manage::limits::RECENT_END;
use crate::manage::registry::{Registry, Scope, unit_name};

/// What to try.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Advice {
    /// A sentence for people, with the command.
    pub(super) text: String,
    /// The command alone, if there is one to execute as it stands.
    pub(super) command: Option<String>,
}

/// A command, and what it does.
fn run(command: String, does: &str) -> Advice {
    Advice { text: format!("{command} {does}"), command: Some(command) }
}

/// A sentence without a command.
fn say(text: String) -> Advice {
    Advice { text, command: None }
}

/// The next thing to try with an instance.
pub(super) fn advice(registry: &Registry, report: &Report) -> Advice {
    let one = &report.one;
    let command = |verb: &str| suggested_command(registry, verb, &one.name);
    if let Some(obstacle) = report.obstacles.first() {
        let (problem, remedy) = (&obstacle.problem, &obstacle.advice);
        let restart = command("restart");
        return say(if remedy.contains(&restart) {
            format!("{problem}: {remedy}")
        } else {
            format!("{problem}: {remedy}; then {restart} starts it")
        });
    }
    match one.state {
        State::Broken => run(command("edit"), "corrects its section"),
        State::NoAnswer => say(
            "a disk or file server of its files hangs: see mount, dmesg, and processes in state D"
                .to_owned(),
        ),
        State::Hidden => say(format!("ask as a user who may see it: sudo {}", command("why"))),
        State::Orphan => run(command("stop"), "ends it; write its section again to keep it"),
        State::Dead => run(command("restart"), "starts a server and its child again"),
        State::Failed => failed(registry, report),
        State::Hung => hung(one),
        State::Looping => last_end(registry, report).unwrap_or_else(|| more_lines(registry, one)),
        State::Down => {
            let on = suggested_command(registry, "mode", &format!("{} on", one.name));
            run(on, "starts the child, now and whenever it ends")
        }
        State::Stopped => stopped(registry, report),
        State::Starting | State::Exiting => run(command("logs -f"), "shows what it does"),
        State::HeldOff(_) | State::Running => running(registry, report),
    }
}

/// More of the console than the page shows.
fn more_lines(registry: &Registry, one: &Overview) -> Advice {
    let logs = suggested_command(registry, "logs -n 100", &one.name);
    run(logs, "shows more of what came before its ends")
}

fn failed(registry: &Registry, report: &Report) -> Advice {
    let one = &report.one;
    let Some(unit) = &one.unit else { return more_lines(registry, one) };
    match unit.get("Result") {
        "signal" | "core-dump" | "oom-kill" | "watchdog" => killed_server(registry, one),
        _ => {
            let status = format!("systemctl{} status {}", user(registry), unit_name(&one.name));
            let text = format!(
                "{}: {status} has the reason in its last lines, and then {} tries again",
                unit.failure(),
                suggested_command(registry, "restart", &one.name)
            );
            Advice { text, command: Some(status) }
        }
    }
}

fn user(registry: &Registry) -> &'static str {
    match registry.scope {
        Scope::User => " --user",
        Scope::System => "",
    }
}

/// Nobody records who has sent a SIGKILL, but for the kernel, which ends processes if memory runs out.
fn killed_server(registry: &Registry, one: &Overview) -> Advice {
    let kernel = "journalctl -k -g 'out of memory|killed process'".to_owned();
    let mut text = format!("{kernel} says if the kernel killed its server for want of memory");
    let is_survivor = one.instance.as_ref().is_none_or(|instance| instance.fdstore);
    if !is_survivor {
        let set = suggested_command(registry, "set", &format!("{} fdstore=yes", one.name));
        text.push_str(&format!("; {set} has the child outlive its server"));
    }
    Advice { text, command: Some(kernel) }
}

fn hung(one: &Overview) -> Advice {
    let live = one.server.as_ref();
    let is_stopped = |process: &&Process| process.is_stopped;
    let processes = [live.and_then(|it| it.server.as_ref()), live.and_then(|it| it.child.as_ref())];
    let stopped = processes.into_iter().flatten().find(is_stopped);
    match stopped {
        Some(process) => run(
            format!("kill -CONT {}", process.pid),
            "lets it run on; a signal such as SIGSTOP, or a debugger, has stopped it",
        ),
        None => say("it runs again".to_owned()),
    }
}

fn stopped(registry: &Registry, report: &Report) -> Advice {
    let one = &report.one;
    let start = suggested_command(registry, "start", &one.name);
    match report.ends.first().filter(|it| it.end.is_server && it.end.is_wanted) {
        Some(last) => {
            let by = ends::author(&last.end.cause);
            run(start, &format!("starts it; {by} had it end on purpose"))
        }
        None => run(start, "starts it"),
    }
}

/// What to do about the last end, if nobody asked for it.
fn last_end(registry: &Registry, report: &Report) -> Option<Advice> {
    let one = &report.one;
    let last = report.ends.first().filter(|last| !last.end.is_wanted)?;
    if last.end.is_server {
        return Some(killed_server(registry, one));
    }
    if let Some(core) = last.core.as_ref().filter(|core| core.is_kept) {
        return Some(run(
            format!("coredumpctl gdb {}", core.pid),
            "shows where it crashed: bt prints the stack",
        ));
    }
    let end_loop = suggested_command(registry, "mode", &format!("{} off", one.name));
    let is_looping = one.state == State::Looping;
    let ending = if is_looping { format!("; {end_loop} ends the loop") } else { String::new() };
    let crash = cores::may_have_one(&last.end);
    let dumps = if crash { "; systemd-coredump would keep its core dump" } else { "" };
    let logs = suggested_command(registry, "logs -n 100", &one.name);
    Some(run(logs, &format!("shows more of what came before its end{dumps}{ending}")))
}

fn running(registry: &Registry, report: &Report) -> Advice {
    let one = &report.one;
    if let Some(advice) = trouble(registry, report) {
        return advice;
    }
    if let Some(mode) = one.mode().filter(|mode| *mode != "ON") {
        let on = suggested_command(registry, "mode", &format!("{} on", one.name));
        let by = report.mode_change.as_ref().map(|it| format!(", which {} set", it.person()));
        return run(on, &format!("undoes the mode {mode}{}", by.unwrap_or_default()));
    }
    let now = SystemTime::now();
    let is_recent =
        |time: SystemTime| now.duration_since(time).unwrap_or(Duration::ZERO) < RECENT_END;
    let last = report.ends.first().filter(|last| last.end.time.is_some_and(is_recent));
    if let Some(last) = last {
        if let Some(advice) = last_end(registry, report) {
            return advice;
        }
        let events = suggested_command(registry, "events --since -1d", &one.name);
        let by = ends::author(&last.end.cause);
        return run(events, &format!("shows what else {by} did, who ended it"));
    }
    if one.users().unwrap_or(0) > 1 {
        let watch = suggested_command(registry, "attach --watch", &one.name);
        return run(
            watch,
            "shows what they do, without typing: what several people type is one line",
        );
    }
    say("nothing has to be done".to_owned())
}

/// What to do about what fails at the moment.
fn trouble(registry: &Registry, report: &Report) -> Option<Advice> {
    let one = &report.one;
    let first = one.trouble.first()?;
    if first.starts_with("journal dropped") {
        let set = format!("{} 'options=--logfile FILE'", one.name);
        let set = suggested_command(registry, "set", &set);
        let text = format!("{set} gives its output a log file, of which nothing is dropped");
        return Some(say(text));
    }
    let (what, reason) = first.split_once(": ").unwrap_or((first, ""));
    let file = |what: &str| match what {
        "log" | "log sync" | "log rotate" => match &report.log {
            Log::File(path, _) => Some(path.display().to_string()),
            _ => None,
        },
        "events" | "events rotate" => {
            let instance = one.instance.as_ref()?;
            let file = events::file(registry, instance)?;
            Some(file.display().to_string())
        }
        "status file" => Some(registry.run_directory(&one.name).display().to_string()),
        _ => None,
    };
    let is_full = ["No space left", "Disk quota", "File too large"];
    Some(match file(what) {
        Some(file) if is_full.iter().any(|full| reason.starts_with(full)) => run(
            format!("df -h {file}"),
            "shows the full disk: make room, and writing goes on by itself",
        ),
        Some(file) => run(
            format!("ls -l {file}"),
            "shows the file: as soon as it can be written, writing goes on by itself",
        ),
        None if what == "child start" => run(
            format!("systemctl{} status {}", user(registry), unit_name(&one.name)),
            "has the limit of processes (Tasks); the start is tried again by itself",
        ),
        None if what.starts_with("journal dropped") => run(
            format!("systemctl edit {}", unit_name(&one.name)),
            "with a larger LogRateLimitBurst= keeps the output; a log file of its own \
             (options = --logfile FILE) has all of it",
        ),
        None => run(
            suggested_command(registry, "events --since -1d", &one.name),
            "shows since when it fails; it is tried again by itself",
        ),
    })
}
