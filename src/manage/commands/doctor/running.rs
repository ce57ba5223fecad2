//! What is wrong with the server of an instance that runs, or has been killed.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use nix::sys::statvfs::statvfs;
use nix::unistd::Group;
use serde_json::Value;

use super::finding::{Finding, Look, suggested_command};
use crate::manage::error::CommandError;
use crate::manage::inspect::probe::{self, ServerStatus};
use crate::manage::inspect::proc::{Clock, Process};
use crate::manage::inspect::trouble::{self, Trouble};
use crate::manage::inspect::{ends, past};
use crate::manage::limits::{RECENT_END, ROOM_MIN, TAIL_CHUNK};
use crate::manage::output;
use crate::manage::registry::{Instance, Registry, Scope, unit_name};

/// The looks at the server of one instance.
pub(super) fn looks(
    registry: &Arc<Registry>,
    instance: &Arc<Instance>,
    clock: Option<Clock>,
) -> Vec<Look> {
    let name = &instance.name;
    let run = registry.run_directory(name).display().to_string();
    let both = || (Arc::clone(registry), Arc::clone(instance));
    let ((registry_1, instance_1), (registry_2, instance_2)) = (both(), both());
    vec![
        Look::new(name, run, move || server(&registry_1, &instance_1, clock)),
        Look::new(name, "the disk of its log", move || disks(&registry_2, &instance_2)),
    ]
}

fn server(registry: &Registry, instance: &Instance, clock: Option<Clock>) -> Vec<Finding> {
    let name = &instance.name;
    let run = registry.run_directory(name);
    let mut found = Vec::new();
    match fs::read_dir(&run) {
        Err(error) if error.kind() != ErrorKind::NotFound => found.push(Finding::new(
            name,
            CommandError::file(&run, &error).text,
            "ask as a user who may read it",
        )),
        _ => {}
    }
    let live = probe::probe(registry, instance, clock);
    let info = live.as_ref().map_or_else(|| run.join("info"), |live| live.info.clone());
    let says = match &live {
        Some(live) if live.server.is_some() || live.is_hidden() => {
            found.extend(stopped(name, live));
            found.extend(child(registry, instance, live));
            found.extend(killed(registry, name, live));
            found.extend(group(registry, instance));
            found.extend(trouble(registry, name, live));
            return found;
        }
        Some(live) => format!("PID {}, which is not its server", live.pid),
        None if info.symlink_metadata().is_ok() => "no server".to_owned(),
        None => return found,
    };
    found.push(Finding::new(
        name,
        format!("{}: names {says}", info.display()),
        format!("the server was killed: {}", suggested_command(registry, "restart", name)),
    ));
    found
}

/// A server whose sockets are not for `control_group`: it was started before the key was set, or its
/// user is no member of the group.
fn group(registry: &Registry, instance: &Instance) -> Option<Finding> {
    let name = instance.control_group.as_ref()?;
    let group = Group::from_name(name).ok()??;
    let socket = registry.api_socket(&instance.name);
    let owner = fs::symlink_metadata(&socket).ok()?.gid();
    (owner != group.gid.as_raw()).then(|| {
        let restart = suggested_command(registry, "restart", &instance.name);
        Finding::new(
            &instance.name,
            format!("{} does not belong to group {name}", socket.display()),
            match registry.scope {
                Scope::System => restart,
                Scope::User => format!("{restart}; you have to be a member of the group"),
            },
        )
    })
}

/// A server or a child that a signal or a debugger has stopped.
fn stopped(name: &str, live: &ServerStatus) -> Vec<Finding> {
    let find = |what: &str, process: &Option<Process>| {
        let process = process.as_ref().filter(|process| process.is_stopped)?;
        Some(Finding::new(
            name,
            format!("its {what} (PID {}) is stopped, by a signal or a debugger", process.pid),
            format!("kill -CONT {}", process.pid),
        ))
    };
    find("server", &live.server).into_iter().chain(find("child", &live.child)).collect()
}

/// A child that does not run, or not for long.
fn child(registry: &Registry, instance: &Instance, live: &ServerStatus) -> Option<Finding> {
    let name = &instance.name;
    let status = live.status.as_ref()?;
    let text = |field: &str| status.pointer(field).and_then(Value::as_str).unwrap_or_default();
    let mode = || {
        let change = past::read(registry, instance, TAIL_CHUNK).mode_change;
        let by = change.map(|change| format!(", set by {}", change.person()));
        format!("the mode is {}{}", text("/mode"), by.unwrap_or_default())
    };
    let set_on = suggested_command(registry, "mode", &format!("{name} on"));
    if text("/child/state") == "by_hand" {
        return Some(Finding::new(
            name,
            format!("no child runs, and none is started: {}", mode()),
            format!("{set_on} starts the child"),
        ));
    }
    let ends = ends::of(status);
    if ends::are_loop(&ends, live.child_since) {
        let restarts = status.get("restarts").and_then(Value::as_u64).unwrap_or(0);
        let last = ends.iter().find(|end| !end.is_server);
        let last = last.map(|end| format!(", the last time: {}", end.what)).unwrap_or_default();
        return Some(Finding::new(
            name,
            format!("its child ends soon after each start, {restarts} times so far{last}"),
            format!("{} has its last words", suggested_command(registry, "why", name)),
        ));
    }
    (text("/mode") == "OFF").then(|| {
        Finding::hint(
            name,
            format!("{}: the child is not started again when it ends", mode()),
            set_on,
        )
    })
}

/// A server before this one that came to no orderly end: its child may have ended with it.
fn killed(registry: &Registry, name: &str, live: &ServerStatus) -> Option<Finding> {
    let status = live.status.as_ref()?;
    let last = status.get("last_server").filter(|last| last.is_object())?;
    let pid = last.get("pid").and_then(Value::as_i64).unwrap_or_default();
    let age = ends::time(status, "started")?.elapsed().unwrap_or_default();
    let times = status.get("crashes").and_then(Value::as_u64).filter(|crashes| *crashes > 1);
    let times = times.map(|times| format!(", as {times} servers in a row")).unwrap_or_default();
    (age < RECENT_END).then(|| {
        let ago = output::age(age.as_secs());
        Finding::hint(
            name,
            format!("its server (PID {pid}) was killed or crashed {ago} ago{times}"),
            format!("{} tells more", suggested_command(registry, "why", name)),
        )
    })
}

/// What the server can't do at the moment.
fn trouble(registry: &Registry, name: &str, live: &ServerStatus) -> Vec<Finding> {
    let find = |trouble: Trouble| {
        let advice = match trouble.what.as_str() {
            _ if trouble.is_full_disk() => "make room: writing goes on by itself".to_owned(),
            "child_start" => format!(
                "systemctl show -p TasksCurrent,TasksMax {}; /proc/sys/kernel/pty has the number \
                 of terminals",
                unit_name(name)
            ),
            _ => format!(
                "{} says since when; it is tried again each second",
                suggested_command(registry, "events", name)
            ),
        };
        Finding::new(name, trouble, advice)
    };
    let all = live.status.as_ref().map(trouble::of).unwrap_or_default();
    all.into_iter().map(find).collect()
}

/// Full disks that the server writes to.
fn disks(registry: &Registry, instance: &Instance) -> Vec<Finding> {
    let Ok(config) = instance.server_config(registry) else { return Vec::new() };
    let files = [("log", config.log.path()), ("events file", config.files.events.as_deref())];
    let full = files.into_iter().filter_map(|(kind, path)| {
        let path = registry.in_root(&instance.chdir.join(path?));
        let disk = statvfs(path.parent()?).ok()?;
        // Some file systems count no files at all, and some root may still fill.
        let is_full = disk.blocks_available() as u64 * (disk.fragment_size() as u64) < ROOM_MIN
            || (disk.files() > 0 && disk.files_available() == 0);
        is_full.then(|| {
            Finding::new(
                &instance.name,
                format!("the disk of its {kind} {} is full", path.display()),
                "make room: writing goes on by itself",
            )
        })
    });
    full.collect()
}
