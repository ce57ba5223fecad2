//! `doctor`: what is wrong with the instances and with the servers that run, and what to do.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use serde_json::json;

use super::error::{Failure, Outcome};
use super::files;
use super::launcher::is_program;
use super::probe;
use super::proc::{self, Clock};
use super::site::{Instance, Site};
use super::unit::{self, UnitState};
use crate::cli;
use crate::config::{Config, LogTarget};
use crate::endpoint::Address;

/// `doctor`. The exit status is 1 if something was found.
///
/// # Errors
/// Files that can't be read.
pub fn doctor(site: &Site, json: bool) -> Outcome {
    let mut report = Report::default();
    let configured = site.configured()?;
    for problem in configured.problems {
        report.add("configuration", problem, "correct the file");
    }
    let servers = if site.root.is_none() { servers() } else { Vec::new() };
    let clock = Clock::read();
    for instance in configured.instances.values() {
        report.configuration(site, instance);
        report.runtime(site, instance, clock);
    }
    report.sockets(site, &configured.instances);
    report.leftovers(site, &configured.instances);
    report.ports(site, &configured.instances, &servers, clock);
    report.shared(&servers);
    for server in &servers {
        report.pid_file(server);
    }
    if json {
        let found: Vec<_> = report.0.iter().map(Finding::json).collect();
        super::print_json(&found.into())?;
    } else if report.0.is_empty() {
        super::print(&format!(
            "nothing found: {} instances, {} servers\n",
            configured.instances.len(),
            servers.len()
        ))?;
    } else {
        for finding in &report.0 {
            let Finding { subject, problem, advice } = finding;
            super::print(&format!("{subject}: {problem}\n    {advice}\n"))?;
        }
    }
    Ok(u8::from(!report.0.is_empty()))
}

/// Something wrong.
struct Finding {
    subject: String,
    problem: String,
    advice: String,
}

impl Finding {
    fn json(&self) -> serde_json::Value {
        json!({ "subject": self.subject, "problem": self.problem, "advice": self.advice })
    }
}

#[derive(Default)]
struct Report(Vec<Finding>);

impl Report {
    fn add(&mut self, subject: impl ToString, problem: impl ToString, advice: impl ToString) {
        self.0.push(Finding {
            subject: subject.to_string(),
            problem: problem.to_string(),
            advice: advice.to_string(),
        });
    }

    /// What would keep an instance from starting.
    fn configuration(&mut self, site: &Site, instance: &Instance) {
        let below = |path: &Path| site.below_root(path);
        let (name, chdir) = (&instance.name, below(&instance.chdir));
        let file = instance.file.display();
        if let Err(error) = fs::read_dir(&chdir) {
            let problem = Failure::file(&chdir, &error).text;
            self.add(
                name,
                problem,
                format!("make the directory readable, or change chdir in {file}"),
            );
        } else if let Some(program) = instance.command.first().filter(|word| word.contains('/'))
            && !is_program(&below(&instance.chdir.join(program)))
        {
            self.add(
                name,
                format!("{program}: no program there"),
                format!("make it executable, or change command in {file}"),
            );
        }
        if let Some(path) = &instance.env_file
            && !path.starts_with('-')
            && let Err(error) = fs::metadata(below(Path::new(path)))
        {
            let problem = Failure::system(path, &error).text;
            self.add(name, problem, format!("make the file, or change env_file in {file}"));
        }
        self.unit(site, instance);
    }

    fn unit(&mut self, site: &Site, instance: &Instance) {
        let name = &instance.name;
        let path = site.unit_file(name);
        let path = path.display();
        match unit::state(site, instance) {
            UnitState::Good => {}
            UnitState::Unread => self.add(
                name,
                format!("systemd has not read what {} says", instance.file.display()),
                format!("manage-procs restart {name}, or systemctl daemon-reload"),
            ),
            UnitState::Missing if instance.file != site.own_file(name) => self.add(
                name,
                "nothing makes a unit of it: there is no generator",
                format!("install the generator, or give it a file {name}.conf of its own"),
            ),
            UnitState::Missing => {
                let problem = format!("{path} is not there, or systemd has no link to it");
                self.add(name, problem, format!("manage-procs restart {name} writes it"));
            }
            UnitState::Old => self.add(
                name,
                format!("{path} is not what {} says", instance.file.display()),
                format!("manage-procs restart {name} writes it anew"),
            ),
            UnitState::Foreign => self.add(
                name,
                format!("{path} is not what {} says", instance.file.display()),
                "change the one or the other, or remove the unit and restart the instance",
            ),
        }
    }

    /// What a server has left behind.
    fn runtime(&mut self, site: &Site, instance: &Instance, clock: Option<Clock>) {
        let name = &instance.name;
        let run = site.run_directory(name);
        match fs::read_dir(&run) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                self.add(name, Failure::file(&run, &error).text, "ask as a user who may read it");
            }
            _ => {}
        }
        let live = probe::probe(site, instance, clock);
        let info = live.as_ref().map_or_else(|| run.join("info"), |live| live.info.clone());
        let says = match &live {
            Some(live) if live.server.is_some() => return,
            Some(live) => format!("PID {}, which is not its server", live.pid),
            None if info.symlink_metadata().is_ok() => "no server".to_owned(),
            None => return,
        };
        self.add(
            name,
            format!("{}: names {says}", info.display()),
            format!("the server was killed: manage-procs restart {name}"),
        );
    }

    /// Sockets of servers that are gone.
    fn sockets(&mut self, site: &Site, instances: &BTreeMap<String, Instance>) {
        let control = |name: &String| site.run_directory(name).join("control");
        let there: Vec<_> = instances
            .keys()
            .map(|name| (name, control(name)))
            .filter(|(_, path)| is_socket(path))
            .collect();
        // Asked after the files were seen: a server may have come meanwhile, or gone with its file.
        let Ok(open) = proc::unix_sockets() else { return };
        for (name, path) in there {
            if !open.contains(path.to_string_lossy().as_ref()) && is_socket(&path) {
                self.add(
                    name,
                    format!("{}: nobody listens on it", path.display()),
                    format!("manage-procs restart {name}, or remove the file"),
                );
            }
        }
    }

    /// Units without an instance.
    fn leftovers(&mut self, site: &Site, instances: &BTreeMap<String, Instance>) {
        for entry in fs::read_dir(site.directory()).into_iter().flatten().flatten() {
            let file = entry.file_name().to_string_lossy().into_owned();
            let name =
                file.strip_prefix("procserv-").and_then(|name| name.strip_suffix(".service"));
            if let Some(name) = name
                && !instances.contains_key(name)
            {
                self.add(
                    name,
                    format!("{} is the unit of no instance", entry.path().display()),
                    format!("manage-procs remove {name}"),
                );
            }
        }
    }

    /// Ports that two instances want, or that somebody else has.
    fn ports(
        &mut self,
        site: &Site,
        instances: &BTreeMap<String, Instance>,
        servers: &[Server],
        clock: Option<Clock>,
    ) {
        let mut owners: BTreeMap<u16, Vec<&Instance>> = BTreeMap::new();
        for instance in instances.values() {
            let port = instance.port.as_deref().and_then(port_of);
            if let Some(port) = port.filter(|&port| port != 0) {
                owners.entry(port).or_default().push(instance);
            }
        }
        let listening = proc::listening_ports();
        for (port, owners) in owners {
            if let [instance] = owners.as_slice() {
                let runs =
                    probe::probe(site, instance, clock).is_some_and(|live| live.server.is_some());
                if site.root.is_none() && !runs && listening.contains(&port) {
                    let whose = servers.iter().find(|server| server.has_port(port));
                    let whose = whose.map_or("another program".to_owned(), Server::to_string);
                    self.add(
                        &instance.name,
                        format!("port {port} is in use by {whose}"),
                        format!("stop that, or change port in {}", instance.file.display()),
                    );
                }
            } else {
                let names: Vec<&str> = owners.iter().map(|owner| owner.name.as_str()).collect();
                self.add(
                    names.join(", "),
                    format!("all want port {port}"),
                    "give each its own: manage-procs add --force --port",
                );
            }
        }
    }

    /// Files that two servers write.
    fn shared(&mut self, servers: &[Server]) {
        let mut users: BTreeMap<_, Vec<(&Server, PathBuf)>> = BTreeMap::new();
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

    /// A pidfile that names a process which is gone, or another.
    fn pid_file(&mut self, server: &Server) {
        for (kind, path) in server.files() {
            if kind == "log file" {
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

/// A procServ that runs in the same file system as this program.
struct Server {
    pid: i32,
    directory: PathBuf,
    config: Config,
}

impl std::fmt::Display for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (PID {})", self.config.name.to_string_lossy(), self.pid)
    }
}

impl Server {
    /// The files that no other may have, with what they are called.
    fn files(&self) -> Vec<(&'static str, PathBuf)> {
        let log = match &self.config.log_file {
            Some(LogTarget::File(path)) => Some(path),
            _ => None,
        };
        let files = [
            ("log file", log),
            ("pidfile", self.config.pid_file.as_ref()),
            ("info file", self.config.info_file.as_ref()),
        ];
        files
            .into_iter()
            .filter_map(|(kind, path)| Some((kind, self.directory.join(path?))))
            .collect()
    }

    fn has_port(&self, port: u16) -> bool {
        let config = &self.config;
        config.controls.iter().chain(&config.log_endpoint).any(
            |endpoint| matches!(&endpoint.address, Address::Tcp(address) if address.port() == port),
        )
    }
}

/// All that run here. Those of containers have files of their own.
fn servers() -> Vec<Server> {
    let mounts = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/mnt")).ok();
    let here = mounts("self");
    let mut found: Vec<Server> = Vec::new();
    for pid in proc::pids() {
        let Some(process) = proc::process(pid) else { continue };
        if process.comm != "procServ" || mounts(&pid.to_string()) != here {
            continue;
        }
        let argv: Vec<OsString> = proc::arguments(pid);
        if let (Some(directory), Ok(config)) = (proc::directory(pid), cli::parse(argv, &|_| None)) {
            found.push(Server { pid, directory, config });
        }
    }
    // Between fork and exec a child looks like its server.
    let children: Vec<i32> = found.iter().flat_map(|server| proc::children(server.pid)).collect();
    found.retain(|server| !children.contains(&server.pid));
    found
}

fn is_socket(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket())
}

/// The TCP port of an endpoint in procServ's notation.
fn port_of(endpoint: &str) -> Option<u16> {
    let endpoint = endpoint.strip_prefix("raw:").unwrap_or(endpoint);
    if endpoint.starts_with("unix:") || endpoint.starts_with("fd:") {
        return None;
    }
    endpoint.rsplit(':').next()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_of_endpoints() {
        assert_eq!(port_of("2000"), Some(2000));
        assert_eq!(port_of("0.0.0.0:2000"), Some(2000));
        assert_eq!(port_of("raw:[::1]:2000"), Some(2000));
        assert_eq!(port_of("unix:/a:2000"), None);
    }
}
