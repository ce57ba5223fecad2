//! What servers and instances that are gone, and procServ's helper, have left behind.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::sync::Arc;

use super::finding::{Finding, Look, suggested_command};
use crate::manage::files;
use crate::manage::inspect::bounded;
use crate::manage::inspect::proc;
use crate::manage::inspect::servers::RunningServer;
use crate::manage::registry::{Instance, Registry, Sources, Unusable};
use crate::manage::systemd::unit;

/// Sockets of servers that are gone.
pub(super) fn sockets(
    registry: &Arc<Registry>,
    instances: &BTreeMap<String, Arc<Instance>>,
) -> Vec<Finding> {
    let control = |name: &String| (name.clone(), registry.run_directory(name).join("control"));
    let paths: Vec<_> = instances.keys().map(control).collect();
    let is_there = bounded::each(paths.clone(), |(_, path)| is_socket(&path));
    let there: Vec<_> = paths
        .into_iter()
        .zip(is_there)
        .filter(|(_, is)| *is == Some(true))
        .map(|(it, _)| it)
        .collect();
    // The kernel is asked after the files have been seen, and the files are looked for again: a
    // server may have started or ended meanwhile.
    let Ok(open) = proc::unix_sockets() else { return Vec::new() };
    let dead: Vec<_> = there
        .into_iter()
        .filter(|(_, path)| !open.contains(path.as_os_str().as_encoded_bytes()))
        .collect();
    let is_there = bounded::each(dead.clone(), |(_, path)| is_socket(&path));
    let dead = dead.into_iter().zip(is_there).filter(|(_, is)| *is == Some(true));
    dead.map(|((name, path), _)| {
        Finding::new(
            &name,
            format!("{}: nobody listens on it", path.display()),
            format!("{}, or remove the file", suggested_command(registry, "restart", &name)),
        )
    })
    .collect()
}

fn is_socket(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket())
}

/// Units without an instance, whose servers may still run.
pub(super) fn units(
    registry: &Registry,
    servers: &[RunningServer],
    instances: &BTreeMap<String, Arc<Instance>>,
) -> Vec<Finding> {
    let mut found = Vec::new();
    // That is a finding of its own, and the directory may not answer.
    let Ok(sources) = Sources::read(registry) else { return found };
    let is_off = |name: &str| sources.instance(name) == Err(Unusable::Off);
    for entry in fs::read_dir(registry.directory()).into_iter().flatten().flatten() {
        let file = entry.file_name().to_string_lossy().into_owned();
        let name = file.strip_prefix("procserv-").and_then(|name| name.strip_suffix(".service"));
        let Some(name) = name else { continue };
        let path = entry.path();
        if instances.contains_key(name) {
            found.extend(unit_of_the_helper(registry, name, &path));
        } else if is_off(name) {
            let problem =
                format!("{} is the unit of a section that is switched off", path.display());
            let advice = suggested_command(registry, "set", &format!("{name} instance=0"));
            found.push(Finding::new(name, problem, format!("{advice} removes it")));
        } else if !registry.instance_file(name).exists() {
            let info = registry.run_directory(name).join("info");
            let problem = match servers.iter().find(|server| server.has_file(&info)) {
                Some(server) => format!(
                    "{file} is still running (PID {}) but is in no configuration file",
                    server.pid
                ),
                None => format!(
                    "{} is the unit of an instance that is in no configuration file",
                    path.display()
                ),
            };
            found.push(Finding::new(name, problem, suggested_command(registry, "remove", name)));
        }
    }
    found
}

/// A unit that procServ's helper has written: no comment at its head, and none of the settings that
/// this program adds. The helper writes such a unit also for an instance of another file.
fn unit_of_the_helper(registry: &Registry, name: &str, path: &Path) -> Option<Finding> {
    let text = files::read_text(path).ok()?;
    unit::is_of_the_helper(&text, name).then(|| {
        Finding::hint(
            name,
            format!("{} is a unit of procServ's helper", path.display()),
            format!("rm {}; {}", path.display(), suggested_command(registry, "restart", name)),
        )
    })
}

/// Generators of procServ's helper, which make units of the same names.
pub(super) fn generators(registry: &Arc<Registry>) -> Look {
    let registry = Arc::clone(registry);
    Look::new("systemd", "a directory of generators", move || {
        let kind = registry.scope.option().trim_start_matches("--");
        let places = ["/run", "/etc", "/usr/local/lib", "/usr/lib"].iter().flat_map(|directory| {
            let directory = format!("{directory}/systemd/{kind}-generators");
            ["", "-system", "-user"]
                .map(|end| format!("{directory}/systemd-procserv-generator{end}"))
        });
        let theirs = places.filter(|path| is_their_generator(&registry.in_root(Path::new(path))));
        let advice = "remove it, with its package if it has one, then systemctl daemon-reload";
        theirs
            .map(|path| {
                Finding::new(
                    "systemd",
                    format!("{path} is a generator of procServ's helper"),
                    advice,
                )
            })
            .collect()
    })
}

/// Returns true if a file is a generator, and not this program by another name.
fn is_their_generator(path: &Path) -> bool {
    let Ok(head) = files::read_head(path, 64) else { return false };
    let line = head.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    match line.strip_prefix("#!") {
        Some(interpreter) => !interpreter.trim_end().ends_with("manage-procs as"),
        // A link to this program, or a mask.
        None => !head.is_empty() && !head.starts_with(b"\x7fELF"),
    }
}
