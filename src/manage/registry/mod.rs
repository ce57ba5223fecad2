//! The registry of instances: the configuration files of the machine or of a user, and the paths
//! that belong to each instance.

pub(crate) mod configuration;
pub(crate) mod edit;
pub mod ini;
pub(crate) mod instance;
pub(crate) mod pattern;
pub mod shlex;
pub(crate) mod sockets;
pub(crate) mod sysroot;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::ArgMatches;
use nix::unistd::{Uid, User};

pub(crate) use self::configuration::{Configuration, Problem, Sources, Unusable};
use self::ini::Ini;
pub(crate) use self::instance::{Instance, KEYS, check_name, unit_name};
use self::pattern::Patterns;
use super::bounded;
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
    /// The scope that a command line asks for by `--user` or `--system`: by default the machine for
    /// root and for an image, and the user for all others.
    pub(crate) fn from_matches(matches: &ArgMatches, root: Option<&Path>) -> Scope {
        match (matches.get_flag("user"), matches.get_flag("system")) {
            (true, _) => Scope::User,
            (_, true) => Scope::System,
            _ if root.is_some() || Uid::effective().is_root() => Scope::System,
            _ => Scope::User,
        }
    }

    /// The name of the scope.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Scope::System => "system",
            Scope::User => "user",
        }
    }

    /// The option that selects the scope.
    pub(crate) fn option(self) -> &'static str {
        match self {
            Scope::System => "--system",
            Scope::User => "--user",
        }
    }

    /// The target that starts the units of the scope. A user's systemd has no multi-user.target.
    pub(crate) fn boot_target(self) -> &'static str {
        match self {
            Scope::System => "multi-user.target",
            Scope::User => "default.target",
        }
    }
}

/// The configuration of a scope.
#[derive(Debug, Clone)]
pub(crate) struct Registry {
    pub(crate) scope: Scope,
    /// `--root`: the image of a system that does not run.
    pub(crate) root: Option<PathBuf>,
    /// True if files that do not answer are an error, and nobody waits for them any longer.
    is_hasty: bool,
    config: PathBuf,
    runtime: PathBuf,
    logs: PathBuf,
}

impl Registry {
    /// The registry that the command line asks for: by default the machine's for root, and the
    /// user's for all others.
    ///
    /// # Errors
    /// Those of [`Registry::open`].
    pub(crate) fn new(matches: &ArgMatches) -> Result<Registry, CommandError> {
        let root = matches.get_one::<PathBuf>("root").cloned();
        Registry::open(Scope::from_matches(matches, root.as_deref()), root)
    }

    /// The registry of `scope`, below `root` if there is one.
    ///
    /// # Errors
    /// A user without a home directory; an image that is not there, or that has loops of symbolic
    /// links in the place of its configuration.
    pub(crate) fn open(scope: Scope, root: Option<PathBuf>) -> Result<Registry, CommandError> {
        let (config, runtime, logs) = match scope {
            Scope::System => ("/etc".into(), "/run".into(), "/var/log".into()),
            Scope::User => {
                let home =
                    home().ok_or_else(|| CommandError::new("no home directory: HOME is unset"))?;
                let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
                let runtime = runtime.filter(|path| path.is_absolute());
                let uid = Uid::current();
                let runtime = runtime.unwrap_or_else(|| format!("/run/user/{uid}").into());
                (home.join(".config"), runtime, home.join(".local/state/log"))
            }
        };
        let root = root.map(|root| sysroot::open(&root)).transpose()?;
        let registry = Registry { scope, root, is_hasty: true, config, runtime, logs };
        if let Some(root) = &registry.root {
            for place in [registry.config.join("procServ.d"), registry.systemd_directory()] {
                let inside = sysroot::resolve(root, &place);
                inside.map_err(|error| CommandError::file(&root.join(&place), &error))?;
            }
        }
        Ok(registry)
    }

    /// The same for those for whom systemd waits: late is better than not at all when a machine starts.
    pub(crate) fn patient(self) -> Registry {
        Registry { is_hasty: false, ..self }
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

    /// The path on this machine of a path of the system, which differs in an image: there it has no
    /// symbolic links and never leads out of the image.
    pub(crate) fn in_root(&self, path: &Path) -> PathBuf {
        match &self.root {
            // No file has a name with a zero byte: every use of such a path fails.
            Some(root) => sysroot::resolve(root, path).unwrap_or_else(|_| {
                root.join(format!("{} (a loop of symbolic links)\0", path.display()))
            }),
            None => path.to_owned(),
        }
    }

    /// The path of the system of a path on this machine.
    pub(crate) fn in_image(&self, path: &Path) -> PathBuf {
        let below = self.root.as_ref().and_then(|root| path.strip_prefix(root).ok());
        below.map_or_else(|| path.to_owned(), |below| Path::new("/").join(below))
    }

    /// Returns true if `/etc/passwd` or `/etc/group` has a line for this name. The name service is
    /// not asked, because generators must not wait for it.
    pub(crate) fn has_entry(&self, file: &str, name: &str) -> bool {
        let text = files::read(&self.in_root(Path::new(file))).unwrap_or_default();
        let is_of = |line: &[u8]| line.split(|byte| *byte == b':').next() == Some(name.as_bytes());
        text.split(|byte| *byte == b'\n').any(is_of)
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
        self.in_root(&self.config.join("procServ.d").join(format!("{name}.conf")))
    }

    /// The path of the unit that `add` writes beside that file.
    pub(crate) fn unit_file(&self, name: &str) -> PathBuf {
        self.in_root(&self.config.join("procServ.d").join(unit_name(name)))
    }

    /// The path of the link by which systemd finds that unit.
    pub(crate) fn unit_link(&self, name: &str) -> PathBuf {
        self.unit_links().join(unit_name(name))
    }

    /// The directory of the links by which systemd finds units.
    pub(crate) fn unit_links(&self) -> PathBuf {
        self.in_root(&self.systemd_directory())
    }

    /// The directory of the links by which systemd starts units at boot.
    pub(crate) fn boot_links(&self) -> PathBuf {
        let wants = format!("{}.wants", self.scope.boot_target());
        self.in_root(&self.systemd_directory().join(wants))
    }

    /// The directory of the administrator's units (systemd.unit(5)), as the system names it.
    fn systemd_directory(&self) -> PathBuf {
        self.config.join("systemd").join(self.scope.word())
    }

    /// The path of the unit that the generator makes.
    pub(crate) fn generated_unit(&self, name: &str) -> PathBuf {
        self.in_root(&self.runtime.join("systemd/generator").join(unit_name(name)))
    }

    /// The directory that systemd makes for the instance while it runs.
    pub(crate) fn run_directory(&self, name: &str) -> PathBuf {
        self.in_root(&self.runtime.join(format!("procserv-{name}")))
    }

    /// The directory of the run directories.
    pub(crate) fn runtime_directory(&self) -> PathBuf {
        self.in_root(&self.runtime)
    }

    /// The names in the run directories that there are, of instances or not.
    pub(crate) fn run_names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.runtime_directory()).into_iter().flatten().flatten();
        let name = |entry: fs::DirEntry| {
            let name = entry.file_name().to_str()?.strip_prefix("procserv-")?.to_owned();
            check_name(&name).is_ok().then_some(name)
        };
        entries.filter_map(name).collect()
    }

    /// The socket of the instance's interface for programs.
    pub(crate) fn api_socket(&self, name: &str) -> PathBuf {
        self.run_directory(name).join("api")
    }

    /// The directory with the events file of the instance: the one that `LogsDirectory=` makes, and for
    /// the instances of a user the one that it means from systemd 254 on.
    pub(crate) fn logs_directory(&self, name: &str) -> PathBuf {
        self.in_root(&self.logs.join(format!("procserv-{name}")))
    }

    /// The directory that systemd changes to for units without `WorkingDirectory=`.
    pub(crate) fn server_directory(&self) -> PathBuf {
        match self.scope {
            Scope::System => self.in_root(Path::new("/")),
            Scope::User => self.in_root(self.config.parent().unwrap_or(&self.config)),
        }
    }

    /// The configuration files, in the order in which they are read.
    ///
    /// # Errors
    /// `procServ.d` exists and can't be read, or does not answer.
    pub(crate) fn files(&self) -> Result<Vec<PathBuf>, CommandError> {
        if !self.is_hasty {
            return self.list_files();
        }
        let registry = self.clone();
        bounded::one(move || registry.list_files()).unwrap_or_else(|| {
            let directory = self.directory();
            Err(CommandError::new(format!(
                "{} does not answer: its disk or its server hangs",
                directory.display()
            )))
        })
    }

    fn list_files(&self) -> Result<Vec<PathBuf>, CommandError> {
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
        let ini = Ini::parse(&text);
        if let Some(error) = ini.problems.first() {
            return Err(wrong(format!("line {}: {}", error.line, error.what)));
        }
        match ini.sections().find(|section| *section != name) {
            Some(other) => Err(wrong(format!("[{other}] is in it, too"))),
            None => Ok(()),
        }
    }

    /// Reads files of the configuration.
    pub(crate) fn read_files(&self, paths: Vec<PathBuf>) -> Vec<io::Result<String>> {
        if !self.is_hasty {
            return paths.iter().map(|path| files::read_text(path)).collect();
        }
        let no_answer = || Err(io::Error::new(io::ErrorKind::TimedOut, "the disk does not answer"));
        let texts = bounded::each(paths, |path| files::read_text(&path));
        texts.into_iter().map(|text| text.unwrap_or_else(no_answer)).collect()
    }

    /// Reads all files. A problem of one file does not affect the others.
    ///
    /// # Errors
    /// Those of [`Registry::files`].
    pub(crate) fn configured(&self) -> Result<Configuration, CommandError> {
        Ok(Configuration::of(Sources::read(self)?))
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

    /// The error for a pattern that matches no instance.
    pub(crate) fn no_instance(&self, pattern: &str) -> CommandError {
        CommandError::new(format!(
            "no instance {pattern} in {} and {}",
            self.main_file().display(),
            self.directory().display()
        ))
    }

    /// The instances that the patterns select.
    ///
    /// # Errors
    /// Those of [`Registry::files`]; a pattern that matches no instance.
    pub(crate) fn matching(&self, patterns: &Patterns) -> Result<Vec<Instance>, CommandError> {
        let all = self.instances()?;
        let names: Vec<&str> = all.keys().map(String::as_str).collect();
        if let Some(unused) = patterns.unused(&names) {
            return Err(self.no_instance(unused));
        }
        Ok(all.into_values().filter(|instance| patterns.selects(&instance.name)).collect())
    }
}

fn home() -> Option<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
    home.or_else(|| User::from_uid(Uid::current()).ok().flatten().map(|user| user.dir))
}
