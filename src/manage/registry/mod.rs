//! Where the instances of this machine, or of this user, are configured, and what they are.

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

/// Whose instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// The machine's, run by its systemd.
    System,
    /// The calling user's, run by the systemd of that user.
    User,
}

impl Scope {
    /// The option that selects it.
    pub(crate) fn option(self) -> &'static str {
        match self {
            Scope::System => "--system",
            Scope::User => "--user",
        }
    }
}

/// The directories of a scope.
#[derive(Debug, Clone)]
pub(crate) struct Registry {
    /// Whose.
    pub(crate) scope: Scope,
    /// `--root`: an image of a system that does not run.
    pub(crate) root: Option<PathBuf>,
    config: PathBuf,
    runtime: PathBuf,
}

/// What is configured: the instances by name, and what is wrong with the rest.
#[derive(Debug, Default)]
pub(crate) struct Configuration {
    /// Those that can be run.
    pub(crate) instances: BTreeMap<String, Instance>,
    /// A line each for files and instances that can not.
    pub(crate) problems: Vec<String>,
}

impl Registry {
    /// The one that the command line asks for; by default the machine's for root and the user's for
    /// everybody else.
    ///
    /// # Errors
    /// If a user's directories are not to be found out.
    pub(crate) fn new(matches: &ArgMatches) -> Result<Registry, CommandError> {
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

    /// Whether this is a machine, and not an image of one.
    ///
    /// # Errors
    /// That `what` needs a machine.
    pub(crate) fn require_live(&self, what: &str) -> Result<(), CommandError> {
        match self.root {
            Some(_) => {
                Err(CommandError::usage(format!("nothing runs in an image: no {what} with --root")))
            }
            None => Ok(()),
        }
    }

    /// Where a file of the image is, if this is one.
    pub(crate) fn in_root(&self, path: &Path) -> PathBuf {
        match &self.root {
            Some(root) => sysroot::resolve(root, path),
            None => path.to_owned(),
        }
    }

    /// A path as the image has it.
    pub(crate) fn in_image(&self, path: &Path) -> PathBuf {
        let below = self.root.as_ref().and_then(|root| path.strip_prefix(root).ok());
        below.map_or_else(|| path.to_owned(), |below| Path::new("/").join(below))
    }

    /// `procServ.conf`, with any number of instances.
    pub(crate) fn main_file(&self) -> PathBuf {
        self.in_root(&self.config.join("procServ.conf"))
    }

    /// `procServ.d`, with a file for each instance that `add` made.
    pub(crate) fn directory(&self) -> PathBuf {
        self.in_root(&self.config.join("procServ.d"))
    }

    /// The file that `add` makes.
    pub(crate) fn instance_file(&self, name: &str) -> PathBuf {
        self.directory().join(format!("{name}.conf"))
    }

    /// The unit beside it.
    pub(crate) fn unit_file(&self, name: &str) -> PathBuf {
        self.directory().join(unit_name(name))
    }

    /// The link by which systemd finds that unit.
    pub(crate) fn unit_link(&self, name: &str) -> PathBuf {
        let directory = match self.scope {
            Scope::System => "systemd/system",
            Scope::User => "systemd/user",
        };
        self.in_root(&self.config.join(directory)).join(unit_name(name))
    }

    /// The unit that the generator made, when systemd last read its units.
    pub(crate) fn generated_unit(&self, name: &str) -> PathBuf {
        self.in_root(&self.runtime.join("systemd/generator").join(unit_name(name)))
    }

    /// What systemd makes for the instance while it runs.
    pub(crate) fn run_directory(&self, name: &str) -> PathBuf {
        self.in_root(&self.runtime.join(format!("procserv-{name}")))
    }

    /// Where units without `WorkingDirectory=` are started.
    pub(crate) fn server_directory(&self) -> PathBuf {
        match self.scope {
            Scope::System => self.in_root(Path::new("/")),
            Scope::User => self.in_root(self.config.parent().unwrap_or(&self.config)),
        }
    }

    /// The files that are read, the later ones over the earlier ones.
    ///
    /// # Errors
    /// If `procServ.d` is there and can't be read.
    pub(crate) fn files(&self) -> Result<Vec<PathBuf>, CommandError> {
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

    /// Reads all files. What is wrong with one keeps nobody from using the others.
    ///
    /// # Errors
    /// Those of [`Registry::files`].
    pub(crate) fn configured(&self) -> Result<Configuration, CommandError> {
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
    pub(crate) fn instances(&self) -> Result<BTreeMap<String, Instance>, CommandError> {
        let found = self.configured()?;
        found.problems.iter().for_each(|problem| output::print_error(problem));
        Ok(found.instances)
    }

    /// The instances that one of the patterns describes, all of them if there are no patterns.
    ///
    /// # Errors
    /// Those of [`Registry::files`], and a pattern that describes none.
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

fn home() -> Option<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
    home.or_else(|| User::from_uid(Uid::current()).ok().flatten().map(|user| user.dir))
}
