//! Instances that somebody goes on watching. Most of the time nothing has changed, and then only the
//! times of files are looked at.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::overview::{self, Overview, State};
use super::{bounded, probe};
use crate::manage::error::CommandError;
use crate::manage::limits::{
    FILE_TIME_LAG, JOURNAL_INTERVAL, LOOK_INTERVAL_HUNG, LOOK_INTERVAL_MAX, LOOK_INTERVAL_MIN,
};
use crate::manage::registry::Registry;
use crate::manage::registry::pattern::Patterns;
use crate::sys::file::FileId;
use crate::sys::process;

/// Looks at the instances that patterns select, again and again.
#[derive(Debug)]
pub(crate) struct Watch {
    registry: Registry,
    patterns: Patterns,
    /// By name.
    all: Vec<Watched>,
    /// The directories in which a change concerns all instances.
    directories: [Option<Version>; 3],
    /// When everything was looked at, systemd included.
    looked: Option<Instant>,
    /// When the journal was read.
    read: Option<Instant>,
    /// True if everything has to be looked at as soon as that is allowed.
    is_stale: bool,
}

/// An instance.
#[derive(Debug)]
struct Watched {
    overview: Overview,
    place: Arc<Place>,
    /// `None` if the files may have changed while the instance was looked at.
    seen: Option<Sign>,
}

/// The files and the process of a server.
#[derive(Debug)]
struct Place {
    info: PathBuf,
    status: PathBuf,
    server: Option<i32>,
}

/// What differs after a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sign {
    info: Option<Version>,
    status: Option<Version>,
    /// True if there is a process with the PID of the server.
    lives: bool,
}

/// A version of a file (stat(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Version {
    file: FileId,
    length: u64,
    modified: SystemTime,
}

impl Watch {
    /// Nothing has been looked at yet.
    pub(crate) fn new(registry: Registry, patterns: Patterns) -> Watch {
        let directories = [None; 3];
        Watch {
            registry,
            patterns,
            all: Vec::new(),
            directories,
            looked: None,
            read: None,
            is_stale: false,
        }
    }

    /// What is known of the instances, by name.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Overview> {
        self.all.iter().map(|one| &one.overview)
    }

    /// Has everything be looked at as soon as that is allowed.
    pub(crate) fn expire(&mut self) {
        self.is_stale = true;
    }

    /// Looks at what may have changed since the last time. Returns false if nothing has.
    ///
    /// # Errors
    /// Those of [`overview::look_with`]. What was known before stays.
    pub(crate) fn refresh(&mut self) -> Result<bool, CommandError> {
        let Some(looked) = self.looked else { return self.look().map(|()| true) };
        let signs = self.signs();
        let is_answered = signs.is_some();
        let signs = signs.unwrap_or_default();
        self.is_stale |= !is_answered || directories(&self.registry) != self.directories;
        self.is_stale |= self.all.iter().zip(&signs).any(|(one, sign)| one.needs_systemd(sign));
        if looked.elapsed() >= self.interval() {
            return self.look().map(|()| true);
        }
        if !is_answered {
            return Ok(false);
        }
        let all = std::mem::take(&mut self.all).into_iter().zip(signs);
        let (again, kept): (Vec<_>, Vec<_>) = all.partition(|(one, sign)| one.may_differ(sign));
        self.all = kept.into_iter().map(|(one, _)| one).collect();
        if again.is_empty() {
            return Ok(false);
        }
        let (old, signs): (Vec<Overview>, Vec<Sign>) =
            again.into_iter().map(|(one, sign)| (one.overview, sign)).unzip();
        let new = overview::look_again(&self.registry, old);
        let new = new.into_iter().zip(signs);
        self.all.extend(new.map(|(overview, sign)| {
            let place = Arc::new(Place::of(&self.registry, &overview));
            Watched { overview, place, seen: Some(sign) }
        }));
        self.all.sort_by(|one, other| one.overview.name.cmp(&other.overview.name));
        Ok(true)
    }

    /// The least time between two looks at everything.
    fn interval(&self) -> Duration {
        let hangs = self.all().any(|one| one.state == State::NoAnswer);
        match self.is_stale {
            _ if hangs => LOOK_INTERVAL_HUNG,
            true => LOOK_INTERVAL_MIN,
            false => LOOK_INTERVAL_MAX,
        }
    }

    /// Looks at everything.
    fn look(&mut self) -> Result<(), CommandError> {
        let begun = SystemTime::now() - FILE_TIME_LAG;
        let now = Instant::now();
        self.looked = Some(now);
        self.directories = directories(&self.registry);
        // A journal may be large.
        let is_old = self.read.is_none_or(|read| now.duration_since(read) >= JOURNAL_INTERVAL);
        let known = (!is_old && !self.is_stale)
            .then(|| self.all().map(|one| (one.name.clone(), one.notes.clone())).collect());
        self.read = if known.is_none() { Some(now) } else { self.read };
        let found = overview::look_with(&self.registry, &self.patterns, known)?;
        self.is_stale = false;
        let watched = found.into_iter().map(|overview| {
            let place = Arc::new(Place::of(&self.registry, &overview));
            Watched { overview, place, seen: None }
        });
        self.all = watched.collect();
        let signs = self.signs().unwrap_or_default();
        for (one, sign) in self.all.iter_mut().zip(signs) {
            one.seen = Some(sign).filter(|sign| sign.is_older(begun));
        }
        Ok(())
    }

    /// `None` if a disk does not answer.
    fn signs(&self) -> Option<Vec<Sign>> {
        let places: Vec<Arc<Place>> = self.all.iter().map(|one| Arc::clone(&one.place)).collect();
        bounded::one(move || places.iter().map(|place| place.sign()).collect())
    }
}

impl Watched {
    /// Returns true if only systemd knows what the state is now: whether a server was stopped or has
    /// died, and what a unit without a server is about to do.
    fn needs_systemd(&self, sign: &Sign) -> bool {
        let is_other =
            |seen: Sign| seen.lives != sign.lives || seen.info.is_some() != sign.info.is_some();
        let is_passing = matches!(self.overview.state, State::Starting | State::Exiting);
        self.seen.is_some_and(is_other) || (is_passing && self.overview.server.is_none())
    }

    /// Returns true if the state may be another one now.
    fn may_differ(&self, sign: &Sign) -> bool {
        let changes_with_time = matches!(
            self.overview.state,
            State::HeldOff(_) | State::Looping | State::Starting | State::Exiting
        );
        !self.needs_systemd(sign) && (self.seen != Some(*sign) || changes_with_time)
    }
}

impl Place {
    fn of(registry: &Registry, one: &Overview) -> Place {
        let (info, status) = match &one.instance {
            Some(instance) => probe::files(registry, instance),
            None => probe::files_by_name(registry, &one.name),
        };
        let live = one.server.as_ref();
        Place { info, status, server: live.and_then(|live| Some(live.server.as_ref()?.pid)) }
    }

    fn sign(&self) -> Sign {
        let lives = self.server.is_some_and(|pid| process::exists(pid).unwrap_or(false));
        Sign { info: Version::of(&self.info), status: Version::of(&self.status), lives }
    }
}

impl Sign {
    /// Returns true if the files were not changed since `time`.
    fn is_older(&self, time: SystemTime) -> bool {
        [self.info, self.status].iter().flatten().all(|version| version.modified < time)
    }
}

impl Version {
    fn of(path: &Path) -> Option<Version> {
        let metadata = fs::metadata(path).ok()?;
        let (file, length) = (FileId::of(&metadata), metadata.size());
        Some(Version { file, length, modified: metadata.modified().ok()? })
    }
}

/// The versions of the directories with files and servers of instances, which change when one is added
/// or removed.
fn directories(registry: &Registry) -> [Option<Version>; 3] {
    let paths = [registry.main_file(), registry.directory(), registry.runtime_directory()];
    paths.map(|path| Version::of(&path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manage::registry::Scope;

    struct Image {
        root: tempfile::TempDir,
        watch: Watch,
    }

    impl Image {
        /// An image, in which no systemd is asked.
        fn new() -> Image {
            let root = tempfile::tempdir().unwrap();
            let registry = Registry::open(Scope::System, Some(root.path().to_owned())).unwrap();
            let none: [&str; 0] = [];
            let watch = Watch::new(registry, Patterns::parse(&none).unwrap());
            let image = Image { root, watch };
            image.write("etc/procServ.d/a.conf", "[a]\ncommand = cat\nchdir = /\n");
            image.write("run/procserv-a/info", "pid:2147483647\n");
            image
        }

        fn write(&self, name: &str, text: &str) {
            let path = self.root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        /// Has files and the last look at everything be so old.
        fn age(&mut self, seconds: u64) {
            let old = SystemTime::now() - Duration::from_secs(seconds);
            for name in ["info", "status"] {
                let path = self.root.path().join("run/procserv-a").join(name);
                if let Ok(file) = fs::File::options().write(true).open(path) {
                    file.set_modified(old).unwrap();
                }
            }
            let looked = Instant::now().checked_sub(Duration::from_secs(seconds));
            self.watch.looked = self.watch.looked.and(looked);
        }

        fn refresh(&mut self) -> (bool, Vec<(&str, State)>) {
            let is_new = self.watch.refresh().unwrap();
            (is_new, self.watch.all().map(|one| (one.name.as_str(), one.state)).collect())
        }
    }

    #[test]
    fn only_what_has_changed_is_looked_at() {
        let mut image = Image::new();
        image.age(1);
        assert_eq!(image.refresh(), (true, vec![("a", State::Dead)]));
        assert_eq!(image.refresh(), (false, vec![("a", State::Dead)]));
        image.write("run/procserv-a/status", "{}");
        assert!(image.refresh().0);
        assert!(!image.refresh().0);
        image.age(LOOK_INTERVAL_MAX.as_secs());
        assert!(image.refresh().0);
    }

    #[test]
    fn what_was_written_during_the_look_is_looked_at_again() {
        let mut image = Image::new();
        assert!(image.refresh().0);
        assert!(image.refresh().0);
        assert!(!image.refresh().0);
    }

    #[test]
    fn a_server_that_is_gone_and_an_instance_that_is_new_are_seen_after_a_while() {
        let mut image = Image::new();
        image.age(1);
        image.refresh();
        fs::remove_file(image.root.path().join("run/procserv-a/info")).unwrap();
        image.write("etc/procServ.d/b.conf", "[b]\ncommand = cat\nchdir = /\n");
        assert_eq!(image.refresh(), (false, vec![("a", State::Dead)]));
        image.age(LOOK_INTERVAL_MIN.as_secs());
        assert_eq!(image.refresh(), (true, vec![("a", State::Stopped), ("b", State::Stopped)]));
        image.age(LOOK_INTERVAL_MIN.as_secs());
        assert!(!image.refresh().0);
    }
}
