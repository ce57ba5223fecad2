//! What only one server or instance may have, and two want.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use super::Report;
use crate::manage::files;
use crate::manage::inspect::servers::{RunningServer, addresses};
use crate::manage::inspect::{probe, proc};
use crate::manage::registry::Instance;

impl Report<'_> {
    /// Ports that two instances want, or that another program has.
    pub(super) fn ports(&mut self, instances: &BTreeMap<String, Instance>) {
        let registry = self.registry;
        let wanted = self.wanted_ports(instances);
        let listening = proc::listening_ports();
        for (port, wanted) in wanted {
            let clashes = |(address, _): &&(SocketAddr, &Instance)| {
                wanted.iter().filter(|(other, _)| is_same(*address, *other)).count() > 1
            };
            let rivals: Vec<&str> =
                wanted.iter().filter(clashes).map(|(_, instance)| instance.name.as_str()).collect();
            if !rivals.is_empty() {
                self.add(
                    rivals.join(", "),
                    format!("all want port {port}"),
                    "give each its own: port and options in its file",
                );
                continue;
            }
            let clock = self.clock;
            let runs = |instance: &Instance| {
                probe::probe(registry, instance, clock).is_some_and(|live| live.server.is_some())
            };
            let is_taken = registry.root.is_none() && listening.contains(&port);
            if let Some((_, instance)) = wanted.first()
                && is_taken
                && !wanted.iter().any(|(_, instance)| runs(instance))
            {
                let owner = self.servers.iter().find(|server| server.has_port(port));
                let owner = owner.map_or("another program".to_owned(), RunningServer::to_string);
                self.add(
                    &instance.name,
                    format!("port {port} is in use by {owner}"),
                    format!("stop that, or change port in {}", instance.file.display()),
                );
            }
        }
    }

    /// The TCP ports that instances ask for, with the address of each.
    fn wanted_ports<'i>(
        &mut self,
        instances: &'i BTreeMap<String, Instance>,
    ) -> BTreeMap<u16, Vec<(SocketAddr, &'i Instance)>> {
        let mut wanted: BTreeMap<u16, Vec<_>> = BTreeMap::new();
        for instance in instances.values() {
            match instance.server_config(self.registry) {
                Ok(config) => {
                    for address in addresses(&config).filter(|address| address.port() != 0) {
                        wanted.entry(address.port()).or_default().push((address, instance));
                    }
                }
                Err(problem) => self.add(
                    &instance.name,
                    format!("its server refuses to start: {problem}"),
                    format!("correct port and options in {}", instance.file.display()),
                ),
            }
        }
        wanted
    }

    /// Files that two servers write.
    pub(super) fn shared_files(&mut self) {
        let servers = self.servers;
        let mut users: BTreeMap<_, Vec<(&RunningServer, PathBuf)>> = BTreeMap::new();
        for server in servers {
            for (kind, path) in server.files() {
                if let Ok(file) = fs::metadata(&path)
                    && file.is_file()
                {
                    users.entry((kind, file.dev(), file.ino())).or_default().push((server, path));
                }
            }
        }
        for ((kind, ..), users) in users {
            if let [(_, path), _, ..] = users.as_slice() {
                let names: Vec<String> =
                    users.iter().map(|(server, _)| server.to_string()).collect();
                self.add(
                    names.join(", "),
                    format!("all have the {kind} {}", path.display()),
                    "give each its own, and restart all but one",
                );
            }
        }
    }

    /// Files with the PID of a server in which another PID stands.
    pub(super) fn pid_files(&mut self) {
        for server in self.servers {
            for (kind, path) in server.files() {
                if matches!(kind, "log file" | "status file") {
                    continue;
                }
                let Ok(text) = files::read_text(&path) else { continue };
                let pid = text.lines().next().map(|line| line.trim_start_matches("pid:").trim());
                let pid = pid.and_then(|pid| pid.parse::<i32>().ok());
                if pid == Some(server.pid) {
                    continue;
                }
                let named = pid.map_or("no process".to_owned(), |pid| match proc::process(pid) {
                    Some(process) => format!("PID {pid} ({})", process.comm),
                    None => format!("PID {pid}, which is gone"),
                });
                self.add(
                    server,
                    format!("its {kind} {} names {named}", path.display()),
                    format!("restart it, or write {} into the file", server.pid),
                );
            }
        }
    }
}

/// Returns true if a listener on one of two addresses with the same port keeps others from
/// listening on the other address.
fn is_same(one: SocketAddr, other: SocketAddr) -> bool {
    let any = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.is_ipv4() == other.is_ipv4() && (any || one.ip() == other.ip())
}
