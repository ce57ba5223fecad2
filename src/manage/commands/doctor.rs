//! `doctor`: what is wrong with the instances and with the servers that run, and what to do.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::manage::error::{CommandError, CommandResult};
use crate::manage::files;
use crate::manage::inspect::probe;
use crate::manage::inspect::proc::{self, Clock};
use crate::manage::inspect::servers::{self, RunningServer, addresses};
use crate::manage::output;
use crate::manage::registry::{Configuration, Instance, Registry, Scope};
use crate::manage::systemd::launcher::is_program;
use crate::manage::systemd::unit::{self, UnitState};

/// `doctor`. The exit status is 1 if something was found.
///
/// # Errors
/// Files that can't be read.
pub(crate) fn doctor(registry: &Registry, json: bool) -> CommandResult {
    let mut report = Report::default();
    let configured = registry.configured().unwrap_or_else(|error| Configuration {
        problems: vec![error.text],
        ..Configuration::default()
    });
    for problem in configured.problems {
        report.add("configuration", problem, "correct the file, or ask as a user who may read it");
    }
    let servers = if registry.root.is_none() { servers::running() } else { Vec::new() };
    let clock = Clock::read();
    for instance in configured.instances.values() {
        report.configuration(registry, instance);
        report.runtime(registry, instance, clock);
    }
    report.sockets(registry, &configured.instances);
    report.leftovers(registry, &configured.instances);
    report.ports(registry, &configured.instances, &servers, clock);
    report.shared(&servers);
    for server in &servers {
        report.pid_file(server);
    }
    if json {
        let found: Vec<_> = report.0.iter().map(Finding::json).collect();
        output::print_json(&found.into())?;
    } else if report.0.is_empty() {
        output::print(&format!(
            "nothing found: {} instances, {} servers\n",
            configured.instances.len(),
            servers.len()
        ))?;
    } else {
        for finding in &report.0 {
            let Finding { subject, problem, advice } = finding;
            let problem = output::escape_control(&format!("{subject}: {problem}"));
            output::print(&format!("{problem}\n    {}\n", output::escape_control(advice)))?;
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
    fn configuration(&mut self, registry: &Registry, instance: &Instance) {
        let below = |path: &Path| registry.in_root(path);
        let (name, chdir) = (&instance.name, below(&instance.chdir));
        let file = instance.file.display();
        if let Err(error) = fs::read_dir(&chdir) {
            let problem = CommandError::file(&chdir, &error).text;
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
            let problem = CommandError::system(path, &error).text;
            self.add(name, problem, format!("make the file, or change env_file in {file}"));
        }
        self.unit(registry, instance);
    }

    fn unit(&mut self, registry: &Registry, instance: &Instance) {
        let name = &instance.name;
        let path = registry.unit_file(name);
        let path = path.display();
        let restart = suggested_command(registry, "restart", name);
        match unit::state(registry, instance) {
            UnitState::Good => {}
            UnitState::Unread => self.add(
                name,
                format!("systemd has not read what {} says", instance.file.display()),
                match registry.scope {
                    Scope::System => format!("{restart}, or systemctl daemon-reload"),
                    Scope::User => format!("{restart}, or systemctl --user daemon-reload"),
                },
            ),
            UnitState::Missing if instance.file != registry.instance_file(name) => self.add(
                name,
                "nothing makes a unit of it: there is no generator",
                format!("install the generator, or give it a file {name}.conf of its own"),
            ),
            UnitState::Missing => {
                let problem = format!("{path} is not there, or systemd has no link to it");
                self.add(name, problem, format!("{restart} writes it"));
            }
            UnitState::Old => self.add(
                name,
                format!("{path} is not what {} says", instance.file.display()),
                format!("{restart} writes it anew"),
            ),
            UnitState::Foreign => self.add(
                name,
                format!("{path} is not what {} says", instance.file.display()),
                "change the one or the other, or remove the unit and restart the instance",
            ),
        }
    }

    /// What a server has left behind.
    fn runtime(&mut self, registry: &Registry, instance: &Instance, clock: Option<Clock>) {
        let name = &instance.name;
        let run = registry.run_directory(name);
        match fs::read_dir(&run) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                self.add(
                    name,
                    CommandError::file(&run, &error).text,
                    "ask as a user who may read it",
                );
            }
            _ => {}
        }
        let live = probe::probe(registry, instance, clock);
        let info = live.as_ref().map_or_else(|| run.join("info"), |live| live.info.clone());
        let says = match &live {
            Some(live) if live.server.is_some() || live.state() == "hidden" => return,
            Some(live) => format!("PID {}, which is not its server", live.pid),
            None if info.symlink_metadata().is_ok() => "no server".to_owned(),
            None => return,
        };
        self.add(
            name,
            format!("{}: names {says}", info.display()),
            format!("the server was killed: {}", suggested_command(registry, "restart", name)),
        );
    }

    /// Sockets of servers that are gone.
    fn sockets(&mut self, registry: &Registry, instances: &BTreeMap<String, Instance>) {
        let control = |name: &String| registry.run_directory(name).join("control");
        let there: Vec<_> = instances
            .keys()
            .map(|name| (name, control(name)))
            .filter(|(_, path)| is_socket(path))
            .collect();
        // Asked after the files were seen: a server may have come meanwhile, or gone with its file.
        let Ok(open) = proc::unix_sockets() else { return };
        for (name, path) in there {
            if !open.contains(path.as_os_str().as_encoded_bytes()) && is_socket(&path) {
                self.add(
                    name,
                    format!("{}: nobody listens on it", path.display()),
                    format!("{}, or remove the file", suggested_command(registry, "restart", name)),
                );
            }
        }
    }

    /// Units without an instance.
    fn leftovers(&mut self, registry: &Registry, instances: &BTreeMap<String, Instance>) {
        for entry in fs::read_dir(registry.directory()).into_iter().flatten().flatten() {
            let file = entry.file_name().to_string_lossy().into_owned();
            let name =
                file.strip_prefix("procserv-").and_then(|name| name.strip_suffix(".service"));
            if let Some(name) = name
                && !instances.contains_key(name)
                && !registry.instance_file(name).exists()
            {
                self.add(
                    name,
                    format!("{} is the unit of no instance", entry.path().display()),
                    suggested_command(registry, "remove", name),
                );
            }
        }
    }

    /// Ports that two instances want, or that somebody else has.
    fn ports(
        &mut self,
        registry: &Registry,
        instances: &BTreeMap<String, Instance>,
        servers: &[RunningServer],
        clock: Option<Clock>,
    ) {
        let mut owners: BTreeMap<u16, Vec<(SocketAddr, &Instance)>> = BTreeMap::new();
        for instance in instances.values() {
            match instance.server_config(registry) {
                Ok(config) => {
                    addresses(&config).filter(|address| address.port() != 0).for_each(|address| {
                        owners.entry(address.port()).or_default().push((address, instance))
                    })
                }
                Err(problem) => self.add(
                    &instance.name,
                    format!("its server refuses to start: {problem}"),
                    format!("correct port and options in {}", instance.file.display()),
                ),
            }
        }
        let listening = proc::listening_ports();
        for (port, owners) in owners {
            let clashes = |(address, _): &&(SocketAddr, &Instance)| {
                owners.iter().filter(|(other, _)| is_same(*address, *other)).count() > 1
            };
            let names: Vec<&str> =
                owners.iter().filter(clashes).map(|(_, owner)| owner.name.as_str()).collect();
            if !names.is_empty() {
                self.add(
                    names.join(", "),
                    format!("all want port {port}"),
                    "give each its own: port and options in its file",
                );
            } else if let [(_, instance), ..] = owners.as_slice()
                && registry.root.is_none()
                && listening.contains(&port)
                && !owners.iter().any(|(_, owner)| {
                    probe::probe(registry, owner, clock).is_some_and(|live| live.server.is_some())
                })
            {
                let whose = servers.iter().find(|server| server.has_port(port));
                let whose = whose.map_or("another program".to_owned(), RunningServer::to_string);
                self.add(
                    &instance.name,
                    format!("port {port} is in use by {whose}"),
                    format!("stop that, or change port in {}", instance.file.display()),
                );
            }
        }
    }

    /// Files that two servers write.
    fn shared(&mut self, servers: &[RunningServer]) {
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

    /// A pidfile that names a process which is gone, or another.
    fn pid_file(&mut self, server: &RunningServer) {
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

/// What to type, wherever and as whomever.
fn suggested_command(registry: &Registry, verb: &str, name: &str) -> String {
    let root = registry.root.as_ref().map(|root| format!(" --root {}", root.display()));
    format!("manage-procs {}{} {verb} {name}", registry.scope.option(), root.unwrap_or_default())
}

fn is_socket(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket())
}

/// Whether who listens on the one keeps others from the other, their ports being the same.
fn is_same(one: SocketAddr, other: SocketAddr) -> bool {
    let any = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.is_ipv4() == other.is_ipv4() && (any || one.ip() == other.ip())
}
