//! What the configuration files say: all of them together are one configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use super::ini::{Ini, IniError};
use super::instance::truth;
use super::{Instance, Registry, Scope, check_name};
use crate::manage::error::CommandError;

/// What the configuration files say.
#[derive(Debug, Default)]
pub(crate) struct Configuration {
    /// The instances, by name. Switched-off sections are not among them.
    pub(crate) instances: BTreeMap<String, Instance>,
    /// The names of sections that were meant as instances and can't be used.
    pub(crate) broken: BTreeSet<String>,
    /// Problems of files, sections and instances. An instance with a problem may still run.
    pub(crate) problems: Vec<Problem>,
}

/// What is wrong with a file or an instance.
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

impl Configuration {
    /// The instances of the files.
    pub(super) fn of(mut sources: Sources) -> Configuration {
        let mut problems = std::mem::take(&mut sources.problems);
        let (mut instances, mut broken) = (BTreeMap::new(), BTreeSet::new());
        let mut complain = |name: &str, what: &str| {
            let file = sources.files(name).last();
            let file = file.map_or_else(String::new, |file| file.display().to_string());
            problems.push(Problem::new(format!("{file} [{name}]: {what}")));
        };
        for (place, name) in sources.ini.sections().enumerate() {
            match sources.instance(name) {
                Ok(instance) => {
                    if instance.command.is_empty() {
                        complain(name, "no command");
                    }
                    instances.insert(name.to_owned(), Instance { place, ..instance });
                }
                Err(Unusable::Wrong(what)) => {
                    complain(name, &what);
                    broken.insert(name.to_owned());
                }
                // What is wrong with it has been said.
                Err(Unusable::Spoiled) => {
                    broken.insert(name.to_owned());
                }
                Err(Unusable::Absent | Unusable::Off) => {}
            }
        }
        Configuration { instances, broken, problems }
    }
}

/// The content of all files.
#[derive(Debug)]
pub(crate) struct Sources {
    pub(super) ini: Ini,
    /// What is wrong with the files.
    problems: Vec<Problem>,
    /// The files with each section, in the order in which they are read.
    files: BTreeMap<String, Vec<PathBuf>>,
    scope: Scope,
    /// What relative directories are relative to.
    directory: PathBuf,
    /// The group of instances without user and group.
    group: Option<String>,
}

/// Why a section is no instance that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unusable {
    /// There is no such section.
    Absent,
    /// `instance` is false.
    Off,
    /// A line of the section could not be read.
    Spoiled,
    /// What is wrong with its name or with a value.
    Wrong(String),
}

impl Sources {
    /// Reads all files. A problem of one file does not affect the others.
    ///
    /// # Errors
    /// Those of [`Registry::files`].
    pub(crate) fn read(registry: &Registry) -> Result<Sources, CommandError> {
        Sources::read_with(registry, &BTreeMap::new())
    }

    /// Reads all files as if some had another content, and as if those of them were there that are
    /// not.
    ///
    /// # Errors
    /// Those of [`Registry::files`].
    pub(crate) fn read_with(
        registry: &Registry,
        changed: &BTreeMap<PathBuf, String>,
    ) -> Result<Sources, CommandError> {
        let mut sources = Sources::empty(registry);
        let place = |file: &PathBuf| registry.in_root(&registry.in_image(file));
        let mut all = registry.files()?;
        let known: BTreeSet<PathBuf> = all.iter().map(place).collect();
        all.extend(changed.keys().filter(|file| !known.contains(&place(file))).cloned());
        let main = registry.main_file();
        all.sort_by_key(|file| (*file != main, file.clone()));
        let text_of = |file: &PathBuf| changed.get(file).or_else(|| changed.get(&place(file)));
        let unchanged = all.iter().filter(|file| text_of(file).is_none());
        let mut texts = registry.read_files(unchanged.map(place).collect()).into_iter();
        for file in &all {
            let text = match text_of(file) {
                Some(text) => Some(Ok(text.clone())),
                None => texts.next(),
            };
            match text {
                Some(Ok(text)) => sources.add(file, &text),
                Some(Err(error)) => {
                    let is_denied = error.kind() == io::ErrorKind::PermissionDenied;
                    let text = CommandError::file(file, &error).text;
                    sources.problems.push(Problem { text, is_denied });
                }
                None => {}
            }
        }
        Ok(sources)
    }

    /// The content of no file.
    fn empty(registry: &Registry) -> Sources {
        let mut ini = Ini::default();
        for (key, value) in BUILT_IN {
            ini.set_built_in(key, value);
        }
        let directory = registry.server_directory();
        Sources {
            ini,
            problems: Vec::new(),
            files: BTreeMap::new(),
            scope: registry.scope,
            directory: registry.in_image(&directory),
            group: registry.has_entry("/etc/group", NOGROUP).then(|| NOGROUP.to_owned()),
        }
    }

    /// Adds the text of a file that is read after the others.
    fn add(&mut self, file: &Path, text: &str) {
        let mut ini = Ini::parse(text);
        let problems = std::mem::take(&mut ini.problems);
        let warnings = std::mem::take(&mut ini.warnings);
        for IniError { line, what } in problems.into_iter().chain(warnings) {
            self.problems.push(Problem::new(format!("{}:{line}: {what}", file.display())));
        }
        for name in ini.sections() {
            self.files.entry(name.to_owned()).or_default().push(file.to_owned());
        }
        self.ini.merge(ini);
    }

    /// The files with a section, in the order in which they are read.
    pub(crate) fn files(&self, name: &str) -> &[PathBuf] {
        self.files.get(name).map_or(&[], Vec::as_slice)
    }

    /// The problems of files that this user may not read.
    pub(crate) fn denied(&self) -> impl Iterator<Item = &str> {
        let denied = self.problems.iter().filter(|problem| problem.is_denied);
        denied.map(|problem| problem.text.as_str())
    }

    /// Reads one section.
    ///
    /// # Errors
    /// Why the section is not an instance.
    pub(crate) fn instance(&self, name: &str) -> Result<Instance, Unusable> {
        if !self.ini.has_section(name) {
            return Err(Unusable::Absent);
        }
        if self.ini.is_spoiled(name) {
            return Err(Unusable::Spoiled);
        }
        let is_instance = self.ini.get(name, "instance").map_err(Unusable::Wrong)?;
        let is_instance = is_instance.unwrap_or_default();
        match truth(&is_instance) {
            Some(true) => {}
            Some(false) => return Err(Unusable::Off),
            None => {
                let text = is_instance.to_lowercase();
                return Err(Unusable::Wrong(format!("instance: {text:?} is not yes or no")));
            }
        }
        check_name(name).and_then(|()| Instance::read(self, name)).map_err(Unusable::Wrong)
    }

    /// Returns true if the instances are the machine's.
    pub(super) fn is_system(&self) -> bool {
        self.scope == Scope::System
    }

    /// What a relative `chdir` is relative to.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The group of instances without user and group. `None` is the group of their user.
    pub(super) fn default_group(&self) -> Option<String> {
        self.group.clone()
    }
}

/// The user of instances without `user`.
pub(super) const NOBODY: &str = "nobody";

/// The group of instances without `user` and `group`, on systems that have this group.
const NOGROUP: &str = "nogroup";

/// The values of keys that no file sets.
const BUILT_IN: [(&str, &str); 5] =
    [("chdir", "/"), ("user", NOBODY), ("group", NOGROUP), ("port", "0"), ("instance", "1")];
