//! What servers and instances that are gone have left behind.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use super::{Report, suggested_command};
use crate::manage::error::CommandError;
use crate::manage::inspect::{probe, proc};
use crate::manage::registry::Instance;

impl Report<'_> {
    /// What a server that was killed has left behind.
    pub(super) fn runtime(&mut self, instance: &Instance) {
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
    pub(super) fn sockets(&mut self, instances: &BTreeMap<String, Instance>) {
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
    pub(super) fn leftovers(&mut self, instances: &BTreeMap<String, Instance>) {
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
}

fn is_socket(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket())
}
