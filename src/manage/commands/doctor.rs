//! `doctor`: problems of the instances and of the servers that run, and what to do about each.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
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
use crate::manage::registry::{Instance, Problem, Registry, Scope};
use crate::manage::systemd::launcher::is_program;
use crate::manage::systemd::unit::{self, UnitState};

/// `doctor`. The exit status is 1 if there is a problem.
///
/// # Errors
/// Standard output can't be written.
pub(crate) fn doctor(registry: &Registry, json: bool) -> CommandResult {
    let servers = if registry.root.is_none() { servers::running() } else { Vec::new() };
    let mut report =
        Report { registry, servers: &servers, clock: Clock::read(), findings: Vec::new() };
    let instances = report.configured();
    for instance in instances.values() {
        report.configuration(instance);
        report.runtime(instance);
    }
    report.sockets(&instances);
    report.leftovers(&instances);
    report.ports(&instances);
    report.shared_files();
    report.pid_files();
    let findings = &report.findings;
    if json {
        let findings: Vec<_> = findings.iter().map(Finding::json).collect();
        output::print_json(&findings.into())?;
    } else if findings.is_empty() {
        output::print(&format!(
            "no problems found ({} instances, {} servers running)\n",
            instances.len(),
            servers.len()
        ))?;
    } else {
        for Finding { subject, problem, advice } in findings {
            let problem = output::escape_control(&format!("{subject}: {problem}"));
            output::print(&format!("{problem}\n    {}\n", output::escape_control(advice)))?;
        }
    }
    Ok(u8::from(!findings.is_empty()))
}

/// A problem and what to do about it.
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

/// What is looked at, and the findings so far.
struct Report<'a> {
    registry: &'a Registry,
    servers: &'a [RunningServer],
    clock: Option<Clock>,
    findings: Vec<Finding>,
}

impl Report<'_> {
    fn add(&mut self, subject: impl ToString, problem: impl ToString, advice: impl ToString) {
        self.findings.push(Finding {
            subject: subject.to_string(),
            problem: problem.to_string(),
            advice: advice.to_string(),
        });
    }

    /// Reads the configuration files.
    fn configured(&mut self) -> BTreeMap<String, Instance> {
        const SUBJECT: &str = "configuration";
        match self.registry.configured() {
            Ok(configured) => {
                for Problem { text, is_denied } in configured.problems {
                    let advice = if is_denied {
                        "ask as a user who may read it"
                    } else {
                        "correct the file"
                    };
                    self.add(SUBJECT, text, advice);
                }
                configured.instances
            }
            Err(error) => {
                self.add(SUBJECT, error.text, "make it a directory that you may read");
                BTreeMap::new()
            }
        }
    }

    /// What would keep an instance from starting.
    fn configuration(&mut self, instance: &Instance) {
        let registry = self.registry;
        let in_root = |path: &Path| registry.in_root(path);
        let (name, file) = (&instance.name, instance.file.display());
        let chdir = in_root(&instance.chdir);
        if let Err(error) = fs::read_dir(&chdir) {
            let is_absent = error.kind() == ErrorKind::NotFound;
            let remedy =
                if is_absent { "make the directory" } else { "make the directory readable" };
            let problem = CommandError::file(&chdir, &error).text;
            self.add(name, problem, format!("{remedy}, or change chdir in {file}"));
        } else if let Some(program) = instance.command.first().filter(|word| word.contains('/')) {
            let program: PathBuf = instance.chdir.join(program).components().collect();
            if !in_root(&program).exists() {
                self.add(
                    name,
                    format!("command not found: {}", program.display()),
                    format!("install it, or change command in {file}"),
                );
            } else if !is_program(&in_root(&program)) {
                self.add(
                    name,
                    format!("not executable: {}", program.display()),
                    format!("make it executable, or change command in {file}"),
                );
            }
        }
        if let Some(path) = &instance.env_file
            && !path.starts_with('-')
            && let Err(error) = fs::metadata(in_root(Path::new(path)))
        {
            let problem = CommandError::system(path, &error).text;
            self.add(name, problem, format!("make the file, or change env_file in {file}"));
        }
        self.unit(instance);
    }

    fn unit(&mut self, instance: &Instance) {
        let registry = self.registry;
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

    /// What a server that was killed has left behind.
    fn runtime(&mut self, instance: &Instance) {
        let registry = self.registry;
        let name = &instance.name;
        let run = registry.run_directory(name);
        match fs::read_dir(&run) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                self.add(
                    name,
                    CommandError::file(&run, &error).text,
                    "ask as a user who may read it",
                );
            }
            _ => {}
        }
        let live = probe::probe(registry, instance, self.clock);
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
    fn sockets(&mut self, instances: &BTreeMap<String, Instance>) {
        let registry = self.registry;
        let control = |name: &String| registry.run_directory(name).join("control");
        let there: Vec<_> = instances
            .keys()
            .map(|name| (name, control(name)))
            .filter(|(_, path)| is_socket(path))
            .collect();
        // The kernel is asked after the files have been seen, and the files are looked for again: a
        // server may have started or ended meanwhile.
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

    /// Units without an instance, whose servers may still run.
    fn leftovers(&mut self, instances: &BTreeMap<String, Instance>) {
        let registry = self.registry;
        for entry in fs::read_dir(registry.directory()).into_iter().flatten().flatten() {
            let file = entry.file_name().to_string_lossy().into_owned();
            let name =
                file.strip_prefix("procserv-").and_then(|name| name.strip_suffix(".service"));
            if let Some(name) = name
                && !instances.contains_key(name)
                && !registry.instance_file(name).exists()
            {
                let info = registry.run_directory(name).join("info");
                let server = self.servers.iter().find(|server| server.has_file(&info));
                let problem = match server {
                    Some(server) => format!(
                        "{file} is still running (PID {}) but is in no configuration file",
                        server.pid
                    ),
                    None => format!(
                        "{} is the unit of an instance that is in no configuration file",
                        entry.path().display()
                    ),
                };
                self.add(name, problem, suggested_command(registry, "remove", name));
            }
        }
    }

    /// Ports that two instances want, or that another program has.
    fn ports(&mut self, instances: &BTreeMap<String, Instance>) {
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
    fn shared_files(&mut self) {
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
    fn pid_files(&mut self) {
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

/// The command to type, from any directory and as any user.
fn suggested_command(registry: &Registry, verb: &str, name: &str) -> String {
    let root = registry.root.as_ref().map(|root| format!(" --root {}", root.display()));
    format!("manage-procs {}{} {verb} {name}", registry.scope.option(), root.unwrap_or_default())
}

fn is_socket(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket())
}

/// Returns true if a listener on one of two addresses with the same port keeps others from
/// listening on the other address.
fn is_same(one: SocketAddr, other: SocketAddr) -> bool {
    let any = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.is_ipv4() == other.is_ipv4() && (any || one.ip() == other.ip())
}
