//! When to look at instances again: the kernel tells of changes in the directories of instances and of
//! their configuration (inotify(7)). Nothing depends on it: what it does not tell, because a disk
//! does not answer or there are too many directories, is found by looking at the times of files.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use self::kernel::{Event, Id, Kernel, is_last};
use super::bounded;
use crate::manage::registry::Registry;

/// The directories in which changes are told.
#[derive(Debug)]
pub(crate) struct FileEvents {
    registry: Registry,
    /// `None` if this user has too many already.
    kernel: Option<Arc<Kernel>>,
    directories: BTreeMap<Id, Directory>,
    /// The kinds of directories of which one did not answer. They are not asked for again: each attempt
    /// would leave behind a thread.
    given_up: Vec<Kind>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Directory {
    path: PathBuf,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The run directory of an instance.
    Run,
    /// A directory with files of the configuration, with units or with links to them, and files of
    /// others.
    Configuration,
}

/// What has changed, as far as the kernel has told. The greater change comprises the smaller one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Change {
    /// Nothing.
    None,
    /// The files of a server.
    Server,
    /// Files of the configuration or units: all instances have to be looked at.
    Configuration,
}

impl FileEvents {
    pub(crate) fn new(registry: Registry) -> FileEvents {
        FileEvents {
            registry,
            kernel: Kernel::open().map(Arc::new),
            directories: BTreeMap::new(),
            given_up: Vec::new(),
        }
    }

    /// Has changes be told in all directories of the configuration, and in the run directories of these
    /// instances, as far as they are there.
    pub(crate) fn watch(&mut self, instances: impl Iterator<Item = String>) {
        let registry = &self.registry;
        let run: Vec<PathBuf> = instances.map(|name| registry.run_directory(&name)).collect();
        let configuration = vec![
            registry.main_file().parent().map(PathBuf::from).unwrap_or_default(),
            registry.directory(),
            registry.unit_links(),
            registry.boot_links(),
            registry.generated_unit("").parent().map(PathBuf::from).unwrap_or_default(),
        ];
        self.add(Kind::Run, run);
        self.add(Kind::Configuration, configuration);
    }

    fn add(&mut self, kind: Kind, mut paths: Vec<PathBuf>) {
        let Some(kernel) = self.kernel.clone().filter(|_| !self.given_up.contains(&kind)) else {
            return;
        };
        let known = |path: &PathBuf| self.directories.values().any(|known| known.path == *path);
        paths.retain(|path| !known(path));
        if paths.is_empty() {
            return;
        }
        let added = bounded::one(move || {
            let add = |path: PathBuf| {
                let id = kernel.add(&path)?;
                Some((id, Directory { path, kind }))
            };
            paths.into_iter().filter_map(add).collect::<Vec<_>>()
        });
        match added {
            Some(added) => self.directories.extend(added),
            None => self.given_up.push(kind),
        }
    }

    /// Waits for a change, up to `limit`.
    ///
    /// # Errors
    /// The other end of `stream` is closed; those of poll(2).
    pub(crate) fn wait(&mut self, stream: impl AsFd, limit: Duration) -> io::Result<Change> {
        let mut fds = vec![PollFd::new(stream.as_fd(), PollFlags::empty())];
        if let Some(kernel) = &self.kernel {
            fds.push(PollFd::new(kernel.as_fd(), PollFlags::POLLIN));
        }
        match poll(&mut fds, PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX)) {
            Ok(0) | Err(Errno::EINTR) => return Ok(Change::None),
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        if fds.first().and_then(PollFd::any) == Some(true) {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        Ok(self.take())
    }

    /// What the kernel has told.
    fn take(&mut self) -> Change {
        let mut change = Change::None;
        while let Some(events) = self.kernel.as_ref().and_then(|kernel| kernel.read()) {
            for event in events {
                change = change.max(self.meaning(&event));
                if is_last(&event) {
                    self.directories.remove(&event.wd);
                }
            }
        }
        change
    }

    fn meaning(&self, event: &Event) -> Change {
        // Events were lost, or are from a directory that has answered too late.
        let Some(directory) = self.directories.get(&event.wd) else {
            return Change::Configuration;
        };
        match directory.kind {
            Kind::Run => Change::Server,
            Kind::Configuration if event.name.as_deref().is_none_or(is_of_instances) => {
                Change::Configuration
            }
            Kind::Configuration => Change::None,
        }
    }
}

/// Returns true for the names of files that concern instances, in directories that have others, too.
fn is_of_instances(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.starts_with(b"procServ") || name.starts_with(b"procserv-") || name.ends_with(b".conf")
}

/// What the kernel tells.
#[cfg(target_os = "linux")]
mod kernel {
    use std::os::fd::{AsFd, BorrowedFd};
    use std::path::Path;

    use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
    pub(super) use nix::sys::inotify::{InotifyEvent as Event, WatchDescriptor as Id};

    #[derive(Debug)]
    pub(super) struct Kernel(Inotify);

    impl Kernel {
        pub(super) fn open() -> Option<Kernel> {
            Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC).ok().map(Kernel)
        }

        /// Has changes in a directory be told.
        pub(super) fn add(&self, directory: &Path) -> Option<Id> {
            // Files are replaced by renaming them, and those that users edit are written in place.
            let wanted = AddWatchFlags::IN_CREATE
                | AddWatchFlags::IN_CLOSE_WRITE
                | AddWatchFlags::IN_MOVED_FROM
                | AddWatchFlags::IN_MOVED_TO
                | AddWatchFlags::IN_DELETE
                | AddWatchFlags::IN_ONLYDIR;
            self.0.add_watch(directory, wanted).ok()
        }

        /// The next events, if there are any.
        pub(super) fn read(&self) -> Option<Vec<Event>> {
            self.0.read_events().ok()
        }
    }

    impl AsFd for Kernel {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.0.as_fd()
        }
    }

    /// Returns true if no more is told of the directory, which is gone.
    pub(super) fn is_last(event: &Event) -> bool {
        event.mask.contains(AddWatchFlags::IN_IGNORED)
    }
}

/// Other systems tell nothing in this way.
#[cfg(not(target_os = "linux"))]
mod kernel {
    use std::ffi::OsString;
    use std::os::fd::{AsFd, BorrowedFd};
    use std::path::Path;

    pub(super) type Id = i32;

    #[derive(Debug)]
    pub(super) struct Event {
        pub(super) wd: Id,
        pub(super) name: Option<OsString>,
    }

    #[derive(Debug)]
    pub(super) enum Kernel {}

    impl Kernel {
        pub(super) fn open() -> Option<Kernel> {
            None
        }

        pub(super) fn add(&self, _: &Path) -> Option<Id> {
            match *self {}
        }

        pub(super) fn read(&self) -> Option<Vec<Event>> {
            match *self {}
        }
    }

    impl AsFd for Kernel {
        fn as_fd(&self) -> BorrowedFd<'_> {
            match *self {}
        }
    }

    pub(super) fn is_last(_: &Event) -> bool {
        false
    }
}
