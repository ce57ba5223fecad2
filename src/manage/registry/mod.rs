//! The registry of instances: the configuration files of the machine or of a user, and the paths
//! that belong to each instance.

pub mod ini;
pub(crate) mod instance;
pub(crate) mod pattern;
pub mod shlex;
pub(crate) mod sysroot;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::ArgMatches;
use nix::unistd::{Uid, User};

use self::ini::Ini;
pub(crate) use self::instance::{Instance, check_name, unit_name};
use self::pattern::Patterns;
use super::error::CommandError;
use super::files;
use super::output;

/// To whom instances belong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Instances of the machine, run by its systemd.
    System,
    /// Instances of the calling user, run by the systemd of that user.
    User,
}

impl Scope {
    /// The option that selects the scope.
    pub(crate) fn option(self) -> &'static str {
        match self {
            Scope::System => "--system",
            Scope::User => "--user",
        }
    }
}

/// The configuration of a scope.
#[derive(Debug, Clone)]
pub(crate) struct Registry {
    pub(crate) scope: Scope,
    /// `--root`: the image of a system that does not run.
    pub(crate) root: Option<PathBuf>,
    config: PathBuf,
    runtime: PathBuf,
}

/// What the configuration files say.
#[derive(Debug, Default)]
pub(crate) struct Configuration {
    /// The instances that can be run, by name.
    pub(crate) instances: BTreeMap<String, Instance>,
    /// Problems of other files and instances.
    pub(crate) problems: Vec<Problem>,
}

/// Why a file or an instance can't be used.
#[derive(Debug)]
pub(crate) struct Problem {
    /// One line, with the name of the file or instance.
    pub(crate) text: String,
    /// True if this user may not read the file.
    pub(crate) is_denied: bool,
}

impl Problem {
    fn new(text: String) -> Problem {
        Problem { text, is_denied: false }
    }
}

impl Registry {
    /// The registry that the command line asks for: by default the machine's for root, and the
    /// user's for all others.
    ///
    /// # Errors
    /// Those of [`Registry::open`].
    pub(crate) fn new(matches: &ArgMatches) -> Result<Registry, CommandError> {
        let root = matches.get_one::<PathBuf>("root").cloned();
        let user = match (matches.get_flag("user"), matches.get_flag("system")) {
            (true, _) => true,
            (_, true) => false,
            _ => root.is_none() && !Uid::effective().is_root(),
        };
        Registry::open(if user { Scope::User } else { Scope::System }, root)
    }

    /// The registry of `scope`, below `root` if there is one.
    ///
    /// # Errors
    /// A user without a home directory.
    pub(crate) fn open(scope: Scope, root: Option<PathBuf>) -> Result<Registry, CommandError> {
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

    /// Checks that this is not the image of a system.
    ///
    /// # Errors
    /// `what` is impossible in an image.
    pub(crate) fn require_live(&self, what: &str) -> Result<(), CommandError> {
        match self.root {
            Some(_) => {
                Err(CommandError::usage(format!("nothing runs in an image: no {what} with --root")))
            }
            None => Ok(()),
        }
    }

    /// The path on this machine of a path of the system, which differs in an image.
    pub(crate) fn in_root(&self, path: &Path) -> PathBuf {
        match &self.root {
            Some(root) => sysroot::resolve(root, path),
            None => path.to_owned(),
        }
    }

    /// The path of the system of a path on this machine.
    pub(crate) fn in_image(&self, path: &Path) -> PathBuf {
        let below = self.root.as_ref().and_then(|root| path.strip_prefix(root).ok());
        below.map_or_else(|| path.to_owned(), |below| Path::new("/").join(below))
    }

    /// The path of `procServ.conf`, with any number of instances.
    pub(crate) fn main_file(&self) -> PathBuf {
        self.in_root(&self.config.join("procServ.conf"))
    }

    /// The path of `procServ.d`, with a file for each instance that `add` has made.
    pub(crate) fn directory(&self) -> PathBuf {
        self.in_root(&self.config.join("procServ.d"))
    }

    /// The path of the file that `add` writes.
    pub(crate) fn instance_file(&self, name: &str) -> PathBuf {
        self.directory().join(format!("{name}.conf"))
    }

    /// The path of the unit that `add` writes beside that file.
    pub(crate) fn unit_file(&self, name: &str) -> PathBuf {
        self.directory().join(unit_name(name))
    }

    /// The path of the link by which systemd finds that unit.
    pub(crate) fn unit_link(&self, name: &str) -> PathBuf {
        let directory = match self.scope {
            Scope::System => "systemd/system",
            Scope::User => "systemd/user",
        };
        self.in_root(&self.config.join(directory)).join(unit_name(name))
    }

    /// The path of the unit that the generator makes.
    pub(crate) fn generated_unit(&self, name: &str) -> PathBuf {
        self.in_root(&self.runtime.join("systemd/generator").join(unit_name(name)))
    }

    /// The directory that systemd makes for the instance while it runs.
    pub(crate) fn run_directory(&self, name: &str) -> PathBuf {
        self.in_root(&self.runtime.join(format!("procserv-{name}")))
    }

    /// The working directory of servers: that of units without `WorkingDirectory=`.
    pub(crate) fn server_directory(&self) -> PathBuf {
        match self.scope {
            Scope::System => self.in_root(Path::new("/")),
            Scope::User => self.in_root(self.config.parent().unwrap_or(&self.config)),
        }
    }

    /// The configuration files. An instance in a later file replaces one in an earlier file.
    ///
    /// # Errors
    /// `procServ.d` exists and can't be read.
    pub(crate) fn files(&self) -> Result<Vec<PathBuf>, CommandError> {
        let directory = self.directory();
        let mut files = Vec::new();
        match fs::read_dir(&directory) {
            Ok(entries) => files.extend(entries.flatten().map(|entry| entry.path())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(CommandError::file(&directory, &error)),
        }
        let is_config = |path: &PathBuf| {
            path.extension().is_some_and(|extension| extension == "conf")
                && path.file_name().is_some_and(|name| !name.as_encoded_bytes().starts_with(b"."))
        };
        files.retain(is_config);
        files.sort();
        let main = self.main_file();
        if main.exists() {
            files.insert(0, main);
        }
        Ok(files)
    }

    /// Checks that the instance's own file contains no other instance: `add` replaces and `remove`
    /// removes the whole file.
    ///
    /// # Errors
    /// Another instance in the file; a file that can't be read.
    pub(crate) fn require_sole_instance(&self, name: &str) -> Result<(), CommandError> {
        let file = self.instance_file(name);
        let text = match files::read_text(&file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            text => text.map_err(|error| CommandError::file(&file, &error))?,
        };
        let wrong = |what| CommandError::new(format!("{name}: edit {}: {what}", file.display()));
        let ini = Ini::parse(&text)
            .map_err(|error| wrong(format!("line {}: {}", error.line, error.what)))?;
        match ini.sections().find(|section| *section != name) {
            Some(other) => Err(wrong(format!("[{other}] is in it, too"))),
            None => Ok(()),
        }
    }

    /// Reads all files. A problem of one file does not affect the others.
    ///
    /// # Errors
    /// Those of [`Registry::files`].
    pub(crate) fn configured(&self) -> Result<Configuration, CommandError> {
        let mut found = Configuration::default();
        for file in self.files()? {
            let text = match files::read_text(&self.in_root(&self.in_image(&file))) {
                Ok(text) => text,
                Err(error) => {
                    let is_denied = error.kind() == io::ErrorKind::PermissionDenied;
                    let text = CommandError::file(&file, &error).text;
                    found.problems.push(Problem { text, is_denied });
                    continue;
                }
            };
            match Ini::parse(&text) {
                Ok(ini) => found.take(&file, &ini),
                Err(error) => {
                    let place = format!("{}:{}", file.display(), error.line);
                    found.problems.push(Problem::new(format!("{place}: {}", error.what)));
                }
            }
        }
        Ok(found)
    }

    /// Reads all files, and prints their problems to standard error.
    ///
    /// # Errors
    /// Those of [`Registry::files`].
    pub(crate) fn instances(&self) -> Result<BTreeMap<String, Instance>, CommandError> {
        let found = self.configured()?;
        found.problems.iter().for_each(|problem| output::print_error(&problem.text));
        Ok(found.instances)
    }

    /// The instances that the patterns select.
    ///
    /// # Errors
    /// Those of [`Registry::files`]; a pattern that matches no instance.
    pub(crate) fn matching(&self, patterns: &Patterns) -> Result<Vec<Instance>, CommandError> {
        let all = self.instances()?;
        let names: Vec<&str> = all.keys().map(String::as_str).collect();
        if let Some(unused) = patterns.unused(&names) {
            return Err(CommandError::new(format!(
                "no instance {unused} in {} and {}",
                self.main_file().display(),
                self.directory().display()
            )));
        }
        Ok(all.into_values().filter(|instance| patterns.selects(&instance.name)).collect())
    }
}

impl Configuration {
    fn take(&mut self, file: &Path, ini: &Ini) {
        for name in ini.sections() {
            let instance = check_name(name).and_then(|()| Instance::read(file, ini, name));
            match instance {
                Ok(instance) => {
                    if let Some(other) = self.instances.insert(name.to_owned(), instance) {
                        self.problems.push(Problem::new(format!(
                            "{name}: is in {} and in {}, which counts",
                            other.file.display(),
                            file.display()
                        )));
                    }
                }
                Err(problem) => {
                    let text = format!("{} [{name}]: {problem}", file.display());
                    self.problems.push(Problem::new(text));
                }
            }
        }
    }
}

fn home() -> Option<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
    home.or_else(|| User::from_uid(Uid::current()).ok().flatten().map(|user| user.dir))
}
