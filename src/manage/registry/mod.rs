//! Where the instances of this machine, or of this user, are configured, and what they are.

pub mod ini;
pub mod pattern;
pub mod shlex;
pub mod sysroot;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::ArgMatches;
use nix::unistd::{Uid, User};

use super::error::CommandError;
use super::files;
use super::registry::ini::Ini;

/// Whose instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The machine's, run by its systemd.
    System,
    /// The calling user's, run by the systemd of that user.
    User,
}

impl Scope {
    /// The option that selects it.
    pub fn option(self) -> &'static str {
        match self {
            Scope::System => "--system",
            Scope::User => "--user",
        }
    }
}

/// The directories of a scope.
#[derive(Debug, Clone)]
pub struct Registry {
    /// Whose.
    pub scope: Scope,
    /// `--root`: an image of a system that does not run.
    pub root: Option<PathBuf>,
    config: PathBuf,
    runtime: PathBuf,
}

/// A server that is configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// The section's name.
    pub name: String,
    /// The file that it stands in.
    pub file: PathBuf,
    /// The child's command line, as words.
    pub command: Vec<String>,
    /// Where the child is started.
    pub chdir: PathBuf,
    /// Who runs server and child, for the system's instances.
    pub user: Option<String>,
    /// And as which group.
    pub group: Option<String>,
    /// One more control endpoint, in procServ's notation.
    pub port: Option<String>,
    /// Assignments, in the notation of systemd's `Environment=`.
    pub environment: Option<String>,
    /// A file of assignments for systemd's `EnvironmentFile=`.
    pub env_file: Option<String>,
    /// More options for the server, as words. Ours: procServ's helper doesn't look at it.
    pub options: Vec<String>,
}

/// What is configured: the instances by name, and what is wrong with the rest.
#[derive(Debug, Default)]
pub struct Configuration {
    /// Those that can be run.
    pub instances: BTreeMap<String, Instance>,
    /// A line each for files and instances that can not.
    pub problems: Vec<String>,
}

impl Registry {
    /// The one that the command line asks for; by default the machine's for root and the user's for
    /// everybody else.
    ///
    /// # Errors
    /// If a user's directories are not to be found out.
    pub fn new(matches: &ArgMatches) -> Result<Registry, CommandError> {
        let root = matches.get_one::<PathBuf>("root").cloned();
        let user = match (matches.get_flag("user"), matches.get_flag("system")) {
            (true, _) => true,
            (_, true) => false,
            _ => root.is_none() && !Uid::effective().is_root(),
        };
        Registry::open(if user { Scope::User } else { Scope::System }, root)
    }

    /// The directories of `scope`, below `root` if there is one.
    ///
    /// # Errors
    /// If a user's directories are not to be found out.
    pub fn open(scope: Scope, root: Option<PathBuf>) -> Result<Registry, CommandError> {
        let (config, runtime) = match scope {
            Scope::System => (PathBuf::from("/etc"), PathBuf::from("/run")),
            Scope::User => {
                let home =
                    home().ok_or_else(|| CommandError::new("no home directory: HOME is unset"))?;
                let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
                let runtime = runtime.filter(|path| path.is_absolute());
                let uid = Uid::current();
                (home.join(".config"), runtime.unwrap_or_else(|| format!("/run/user/{uid}").into()))
            }
        };
        Ok(Registry { scope, root, config, runtime })
    }

    /// Whether this is a machine, and not an image of one.
    ///
    /// # Errors
    /// That `what` needs a machine.
    pub fn require_live(&self, what: &str) -> Result<(), CommandError> {
        match self.root {
            Some(_) => {
                Err(CommandError::usage(format!("nothing runs in an image: no {what} with --root")))
            }
            None => Ok(()),
        }
    }

    /// Where a file of the image is, if this is one.
    pub fn in_root(&self, path: &Path) -> PathBuf {
        match &self.root {
            Some(root) => sysroot::resolve(root, path),
            None => path.to_owned(),
        }
    }

    /// A path as the image has it.
    pub fn in_image(&self, path: &Path) -> PathBuf {
        let below = self.root.as_ref().and_then(|root| path.strip_prefix(root).ok());
        below.map_or_else(|| path.to_owned(), |below| Path::new("/").join(below))
    }

    /// `procServ.conf`, with any number of instances.
    pub fn main_file(&self) -> PathBuf {
        self.in_root(&self.config.join("procServ.conf"))
    }

    /// `procServ.d`, with a file for each instance that `add` made.
    pub fn directory(&self) -> PathBuf {
        self.in_root(&self.config.join("procServ.d"))
    }

    /// The file that `add` makes.
    pub fn instance_file(&self, name: &str) -> PathBuf {
        self.directory().join(format!("{name}.conf"))
    }

    /// The unit beside it.
    pub fn unit_file(&self, name: &str) -> PathBuf {
        self.directory().join(unit_name(name))
    }

    /// The link by which systemd finds that unit.
    pub fn unit_link(&self, name: &str) -> PathBuf {
        let directory = match self.scope {
            Scope::System => "systemd/system",
            Scope::User => "systemd/user",
        };
        self.in_root(&self.config.join(directory)).join(unit_name(name))
    }

    /// The unit that the generator made, when systemd last read its units.
    pub fn generated_unit(&self, name: &str) -> PathBuf {
        self.in_root(&self.runtime.join("systemd/generator").join(unit_name(name)))
    }

    /// What systemd makes for the instance while it runs.
    pub fn run_directory(&self, name: &str) -> PathBuf {
        self.in_root(&self.runtime.join(format!("procserv-{name}")))
    }

    /// Where units without `WorkingDirectory=` are started.
    pub fn server_directory(&self) -> PathBuf {
        match self.scope {
            Scope::System => self.in_root(Path::new("/")),
            Scope::User => self.in_root(self.config.parent().unwrap_or(&self.config)),
        }
    }

    /// The files that are read, the later ones over the earlier ones.
    ///
    /// # Errors
    /// If `procServ.d` is there and can't be read.
    pub fn files(&self) -> Result<Vec<PathBuf>, CommandError> {
        let directory = self.directory();
        let mut files = Vec::new();
        match fs::read_dir(&directory) {
            Ok(entries) => files.extend(entries.flatten().map(|entry| entry.path())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(CommandError::file(&directory, &error)),
        }
        let is_shown = |path: &PathBuf| {
            path.extension().is_some_and(|extension| extension == "conf")
                && path.file_name().is_some_and(|name| !name.as_encoded_bytes().starts_with(b"."))
        };
        files.retain(is_shown);
        files.sort();
        let main = self.main_file();
        if main.exists() {
            files.insert(0, main);
        }
        Ok(files)
    }

    /// Reads all files. What is wrong with one keeps nobody from using the others.
    ///
    /// # Errors
    /// Those of [`Registry::files`].
    pub fn configured(&self) -> Result<Configuration, CommandError> {
        let mut found = Configuration::default();
        for file in self.files()? {
            let text = match files::read_text(&self.in_root(&self.in_image(&file))) {
                Ok(text) => text,
                Err(error) => {
                    found.problems.push(CommandError::file(&file, &error).text);
                    continue;
                }
            };
            match Ini::parse(&text) {
                Ok(ini) => found.take(&file, &ini),
                Err(error) => {
                    let place = format!("{}:{}", file.display(), error.line);
                    found.problems.push(format!("{place}: {}", error.what));
                }
            }
        }
        Ok(found)
    }

    /// Reads all files and says on stderr what is wrong with them.
    ///
    /// # Errors
    /// Those of [`Registry::files`].
    pub fn instances(&self) -> Result<BTreeMap<String, Instance>, CommandError> {
        let found = self.configured()?;
        found.problems.iter().for_each(|problem| super::print_error(problem));
        Ok(found.instances)
    }

    /// The instances that one of the patterns describes, all of them if there are no patterns.
    ///
    /// # Errors
    /// Those of [`Registry::files`], and a pattern that describes none.
    pub fn matching(&self, patterns: &[&str]) -> Result<Vec<Instance>, CommandError> {
        let all = self.instances()?;
        for wanted in patterns {
            if !all.keys().any(|name| pattern::matches(wanted, name)) {
                return Err(CommandError::new(format!(
                    "no instance {wanted} in {} and {}",
                    self.main_file().display(),
                    self.directory().display()
                )));
            }
        }
        let is_wanted = |instance: &Instance| pattern::selects(patterns, &instance.name);
        Ok(all.into_values().filter(is_wanted).collect())
    }
}

impl Configuration {
    fn take(&mut self, file: &Path, ini: &Ini) {
        for name in ini.sections() {
            let instance = check_name(name).and_then(|()| Instance::read(file, ini, name));
            match instance {
                Ok(instance) => {
                    if let Some(other) = self.instances.insert(name.to_owned(), instance) {
                        self.problems.push(format!(
                            "{name}: is in {} and in {}, which counts",
                            other.file.display(),
                            file.display()
                        ));
                    }
                }
                Err(problem) => {
                    self.problems.push(format!("{} [{name}]: {problem}", file.display()));
                }
            }
        }
    }
}

impl Instance {
    /// What a section of a file says.
    ///
    /// # Errors
    /// What keeps it from being an instance.
    pub fn read(file: &Path, ini: &Ini, name: &str) -> Result<Instance, String> {
        let value =
            |key: &str| ini.get(name, key).map(|value| value.filter(|value| !value.is_empty()));
        let split = |key: &str| {
            let words = value(key)?.map(|text| shlex::split(&text)).transpose();
            words.map(Option::unwrap_or_default).map_err(|problem| format!("{key}: {problem}"))
        };
        let command = split("command")?;
        if command.is_empty() {
            return Err("no command".to_owned());
        }
        let instance = Instance {
            name: name.to_owned(),
            file: file.to_owned(),
            command,
            chdir: value("chdir")?.map_or_else(|| "/".into(), PathBuf::from),
            user: value("user")?,
            group: value("group")?,
            port: value("port")?,
            environment: value("environment")?,
            env_file: value("env_file")?,
            options: split("options")?,
        };
        if !instance.chdir.is_absolute() {
            return Err(format!("chdir: {} is not absolute", instance.chdir.display()));
        }
        // They become lines of a unit, which a line end would end, and a backslash would not.
        for key in ["chdir", "user", "group", "port", "environment", "env_file"] {
            let ends = |letter: char| letter.is_control() && key != "environment";
            if value(key)?.is_some_and(|value| value.contains(ends) || value.ends_with('\\')) {
                return Err(format!("{key}: a line end, or a backslash at the end"));
            }
        }
        Ok(instance)
    }
}

/// The name of an instance's unit.
pub fn unit_name(name: &str) -> String {
    format!("procserv-{name}.service")
}

/// Whether an instance may be called so: it names files, directories and a unit, and must lead
/// nowhere else.
///
/// # Errors
/// What is wrong with it.
pub fn check_name(name: &str) -> Result<(), String> {
    let good = |letter: char| letter.is_ascii_alphanumeric() || "_-.:".contains(letter);
    if name.is_empty() || name.len() > NAME_MAX {
        return Err(format!("a name has 1 to {NAME_MAX} letters"));
    }
    if name.starts_with(['.', '-']) || !name.chars().all(good) {
        return Err(format!(
            "{name:?} is not a name: letters, digits and _ - . : only, no . or - at the start"
        ));
    }
    Ok(())
}

/// `sun_path` must hold `/run/user/UID/procserv-NAME/control`.
const NAME_MAX: usize = 64;

fn home() -> Option<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
    home.or_else(|| User::from_uid(Uid::current()).ok().flatten().map(|user| user.dir))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_in_their_directory() {
        for name in
            ["", ".", "..", "../x", "a/b", ".hidden", "-f", "a b", "a\n", "a@b", "a%b", "\u{e4}"]
        {
            assert!(check_name(name).is_err(), "{name:?}");
        }
        for name in ["ioc1", "LI20:IOC-1.a_b"] {
            assert_eq!(check_name(name), Ok(()));
        }
    }
}
