//! What would keep the unit of an instance from starting.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::{Report, suggested_command};
use crate::manage::error::CommandError;
use crate::manage::registry::{Instance, Scope};
use crate::manage::systemd::launcher::is_program;
use crate::manage::systemd::unit::{self, UnitState};

impl Report<'_> {
    /// What would keep an instance from starting.
    pub(super) fn configuration(&mut self, instance: &Instance) {
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
}
