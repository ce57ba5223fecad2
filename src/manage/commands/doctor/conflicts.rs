//! What only one server or instance may have, and two want.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::finding::{Finding, no_answer};
use crate::config::endpoint::Address;
use crate::manage::files;
use crate::manage::inspect::proc::Clock;
use crate::manage::inspect::servers::{RunningServer, addresses};
use crate::manage::inspect::{bounded, probe, proc};
use crate::manage::registry::{Instance, Registry};

/// What the instances listen on.
#[derive(Default)]
struct Wanted<'i> {
    /// The TCP ports, with the address of each.
    ports: BTreeMap<u16, Vec<(SocketAddr, &'i Instance)>>,
    /// The Unix sockets, by path or name.
    sockets: BTreeMap<String, Vec<&'i Instance>>,
}

/// Ports and sockets that two instances want, and ports that another program has.
pub(super) fn endpoints(
    registry: &Registry,
    servers: &[RunningServer],
    instances: &BTreeMap<String, Arc<Instance>>,
    clock: Option<Clock>,
) -> Vec<Finding> {
    let mut found = Vec::new();
    let wanted = wanted(registry, instances);
    let advice = "give each its own: port and options in its file";
    for (socket, wanted) in wanted.sockets {
        let names: Vec<&str> = wanted.iter().map(|instance| instance.name.as_str()).collect();
        if names.len() > 1 {
            found.push(Finding::new(names.join(", "), format!("all want {socket}"), advice));
        }
    }
    let listening = if registry.root.is_none() { proc::listening_ports() } else { BTreeSet::new() };
    let taken = wanted.ports.iter().filter(|(port, _)| listening.contains(port));
    let taken = taken.flat_map(|(_, wanted)| wanted.iter().map(|(_, instance)| *instance));
    let running = running(registry, taken, clock);
    for (port, wanted) in wanted.ports {
        let clashes = |(address, _): &&(SocketAddr, &Instance)| {
            wanted.iter().filter(|(other, _)| is_same(*address, *other)).count() > 1
        };
        let rivals: Vec<&str> =
            wanted.iter().filter(clashes).map(|(_, instance)| instance.name.as_str()).collect();
        if !rivals.is_empty() {
            found.push(Finding::new(rivals.join(", "), format!("all want port {port}"), advice));
            continue;
        }
        if let Some((_, instance)) = wanted.first()
            && listening.contains(&port)
            && !wanted.iter().any(|(_, instance)| running.contains(&instance.name))
        {
            let owner = servers.iter().find(|server| server.has_port(port));
            let owner = owner.map(RunningServer::to_string).or_else(|| {
                let process = bounded::one(move || proc::listener(port))??;
                Some(format!("{} (PID {})", process.comm, process.pid))
            });
            let owner = owner.unwrap_or_else(|| "another program".to_owned());
            found.push(Finding::new(
                &instance.name,
                format!("port {port} is in use by {owner}"),
                format!("stop that, or change port in {}", instance.file.display()),
            ));
        }
    }
    found
}

/// The names of those instances that run, or do not answer.
fn running<'i>(
    registry: &Registry,
    instances: impl Iterator<Item = &'i Instance>,
    clock: Option<Clock>,
) -> BTreeSet<String> {
    let registry = registry.clone();
    let instances: Vec<Instance> = instances.cloned().collect();
    let looks = bounded::each(instances.clone(), move |instance| {
        probe::probe(&registry, &instance, clock).is_some_and(|live| live.server.is_some())
    });
    let running = instances.into_iter().zip(looks).filter(|(_, runs)| *runs != Some(false));
    running.map(|(instance, _)| instance.name).collect()
}

/// What the instances ask for. Those whose server refuses its command line ask for nothing.
fn wanted<'i>(registry: &Registry, instances: &'i BTreeMap<String, Arc<Instance>>) -> Wanted<'i> {
    let mut wanted = Wanted::default();
    for instance in instances.values() {
        let Ok(config) = instance.server_config(registry) else { continue };
        for address in addresses(&config).filter(|address| address.port() != 0) {
            wanted.ports.entry(address.port()).or_default().push((address, instance));
        }
        for endpoint in config.endpoints.controls.iter().chain(&config.endpoints.log) {
            let socket = match &endpoint.address {
                Address::Unix { path, .. } => {
                    let path: PathBuf = instance.chdir.join(path).components().collect();
                    format!("the socket {}", path.display())
                }
                Address::Abstract(name) => {
                    format!("the socket @{}", String::from_utf8_lossy(name))
                }
                Address::Tcp(_) | Address::Passed(_) => continue,
            };
            wanted.sockets.entry(socket).or_default().push(instance);
        }
    }
    wanted
}

/// Files that two servers write, and files with the PID of a server in which another PID stands.
pub(super) fn files_of(servers: &[RunningServer]) -> Vec<Finding> {
    let files: Vec<(usize, &'static str, PathBuf)> = servers
        .iter()
        .enumerate()
        .flat_map(|(place, server)| {
            server.files().into_iter().map(move |(kind, path)| (place, kind, path))
        })
        .collect();
    let looks = bounded::each(files.clone(), |(_, kind, path)| look_at(kind, &path));
    let mut found = Vec::new();
    let mut users: BTreeMap<_, Vec<(&RunningServer, PathBuf)>> = BTreeMap::new();
    let mut pids = Vec::new();
    for ((place, kind, path), look) in files.into_iter().zip(looks) {
        let Some(server) = servers.get(place) else { continue };
        let Some((identity, pid)) = look else {
            let object = format!("its {kind} {}", path.display());
            found.push(no_answer(&server.to_string(), &object));
            continue;
        };
        if let Some((device, inode)) = identity {
            users.entry((kind, device, inode)).or_default().push((server, path.clone()));
        }
        if let Some(pid) = pid {
            pids.extend(wrong_pid(server, kind, &path, pid));
        }
    }
    for ((kind, ..), users) in users {
        if let [(_, path), _, ..] = users.as_slice() {
            let names: Vec<String> = users.iter().map(|(server, _)| server.to_string()).collect();
            found.push(Finding::new(
                names.join(", "),
                format!("all have the {kind} {}", path.display()),
                "give each its own, and restart all but one",
            ));
        }
    }
    found.extend(pids);
    found
}

/// The identity of a regular file; and the PID in a file of PIDs, `Some(None)` if there is none in
/// it.
type FileLook = (Option<(u64, u64)>, Option<Option<i32>>);

fn look_at(kind: &str, path: &Path) -> FileLook {
    let file = fs::metadata(path).ok().filter(fs::Metadata::is_file);
    let identity = file.map(|file| (file.dev(), file.ino()));
    if matches!(kind, "log file" | "status file") {
        return (identity, None);
    }
    let pid = files::read_text(path).ok().map(|text| {
        let line = text.lines().next().map(|line| line.trim_start_matches("pid:").trim());
        line.and_then(|pid| pid.parse().ok())
    });
    (identity, pid)
}

fn wrong_pid(server: &RunningServer, kind: &str, path: &Path, pid: Option<i32>) -> Option<Finding> {
    if pid == Some(server.pid) {
        return None;
    }
    let named = pid.map_or("no process".to_owned(), |pid| match proc::process(pid) {
        Some(process) => format!("PID {pid} ({})", process.comm),
        None => format!("PID {pid}, which is gone"),
    });
    Some(Finding::new(
        server,
        format!("its {kind} {} names {named}", path.display()),
        format!("restart it, or write {} into the file", server.pid),
    ))
}

/// Returns true if a listener on one of two addresses with the same port keeps others from
/// listening on the other address.
fn is_same(one: SocketAddr, other: SocketAddr) -> bool {
    let any = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.is_ipv4() == other.is_ipv4() && (any || one.ip() == other.ip())
}
