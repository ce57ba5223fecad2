//! A file system that hangs on command, as NFS does without its server: a directory of files in
//! memory, on FUSE.
//!
//! This process must not touch the mounted directory while the file system hangs: a process that
//! waits for itself cannot be killed. It sees the files through [`HangingFs`].

use fuser::{
    BackgroundSession, BsdFileFlags, Config, Errno, FileAttr, FileHandle, FileType, Filesystem,
    FopenFlags, Generation, INodeNo, LockOwner, MountOption, OpenFlags, RenameFlags, ReplyAttr,
    ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyWrite, Request,
    SessionACL, TimeOrNow, WriteFlags,
};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime};

/// Nothing is cached: each question reaches the file system.
const TTL: Duration = Duration::ZERO;

/// A mounted file system. Dropped, it is unmounted, and whoever waits for it gets an error.
pub struct HangingFs {
    shared: Arc<Shared>,
    session: Option<BackgroundSession>,
    mount_point: PathBuf,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    hangs: bool,
    refuses: bool,
    /// How long each request takes.
    delay: Duration,
    names: BTreeMap<OsString, u64>,
    files: BTreeMap<u64, File>,
    /// The number of the last file.
    last: u64,
}

struct File {
    content: Vec<u8>,
    mode: u16,
    links: u32,
    changed: SystemTime,
}

/// Returns true if this process may mount a file system.
pub fn is_available() -> bool {
    super::machine::is_root()
        && fs::File::options().read(true).write(true).open("/dev/fuse").is_ok()
}

impl HangingFs {
    /// Mounts a file system on a new directory.
    pub fn mount(mount_point: &Path) -> HangingFs {
        fs::create_dir(mount_point).expect("a directory to mount on");
        let shared = Arc::new(Shared::default());
        let mut config = Config::default();
        config.mount_options =
            vec![MountOption::FSName("hanging".to_owned()), MountOption::DefaultPermissions];
        config.acl = SessionACL::All;
        let fs = Requests(Arc::clone(&shared));
        let session = fuser::spawn_mount(fs, mount_point, &config).expect("a FUSE file system");
        HangingFs { shared, session: Some(session), mount_point: mount_point.to_owned() }
    }

    /// From now on no request is answered.
    pub fn hang(&self) {
        self.shared.lock().hangs = true;
    }

    /// Answers what waits, and goes on.
    pub fn go_on(&self) {
        self.shared.lock().hangs = false;
        self.shared.changed.notify_all();
    }

    /// Whether a file is refused to be opened or created from now on, for the reason EACCES.
    pub fn refuse(&self, refuses: bool) {
        self.shared.lock().refuses = refuses;
    }

    /// From now on each request takes so long.
    pub fn delay(&self, delay: Duration) {
        self.shared.lock().delay = delay;
    }

    /// The content of a file, if there is one of this name.
    pub fn content(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.shared.lock();
        let file = state.names.get(OsStr::new(name))?;
        Some(state.files.get(file)?.content.clone())
    }

    /// The names of all files.
    pub fn names(&self) -> Vec<String> {
        self.shared.lock().names.keys().map(|name| name.to_string_lossy().into_owned()).collect()
    }
}

impl Drop for HangingFs {
    fn drop(&mut self) {
        // Whoever waits in it can be killed only when the connection has ended.
        let _ = Command::new("umount").arg("-l").arg(&self.mount_point).status();
        self.go_on();
        if let Some(session) = self.session.take() {
            let _ = session.umount_and_join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no case panics with it")
    }

    /// Waits while the file system hangs.
    fn pass(&self) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        let start = Instant::now();
        loop {
            let left = state.delay.saturating_sub(start.elapsed());
            if state.hangs {
                state = self.changed.wait(state).expect("no case panics with it");
            } else if !left.is_zero() {
                state = self.changed.wait_timeout(state, left).expect("no case panics with it").0;
            } else {
                return state;
            }
        }
    }
}

impl State {
    fn attributes(&self, ino: u64) -> Option<FileAttr> {
        let attributes = |kind, size: u64, perm, nlink, time| FileAttr {
            ino: INodeNo(ino),
            size,
            blocks: size.div_ceil(512),
            atime: time,
            mtime: time,
            ctime: time,
            crtime: time,
            kind,
            perm,
            nlink,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        };
        if ino == INodeNo::ROOT.0 {
            let now = SystemTime::UNIX_EPOCH;
            return Some(attributes(FileType::Directory, 0, 0o777, 2, now));
        }
        let file = self.files.get(&ino)?;
        let size = file.content.len() as u64;
        Some(attributes(FileType::RegularFile, size, file.mode, file.links, file.changed))
    }

    fn find(&self, name: &OsStr) -> Option<FileAttr> {
        self.attributes(*self.names.get(name)?)
    }

    /// Removes a name. The file stays for those who have it open.
    fn remove(&mut self, name: &OsStr) -> bool {
        let file = self.names.remove(name).and_then(|ino| self.files.get_mut(&ino));
        file.map(|file| file.links -= 1).is_some()
    }
}

/// What the kernel asks.
struct Requests(Arc<Shared>);

impl Filesystem for Requests {
    fn lookup(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match self.0.pass().find(name) {
            Some(found) => reply.entry(&TTL, &found, Generation(0)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.0.pass().attributes(ino.0) {
            Some(found) => reply.attr(&TTL, &found),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mut state = self.0.pass();
        if let Some(file) = state.files.get_mut(&ino.0) {
            if let Some(mode) = mode {
                file.mode = (mode & 0o7777) as u16;
            }
            if let Some(size) = size {
                file.content.resize(size as usize, 0);
            }
        }
        match state.attributes(ino.0) {
            Some(found) => reply.attr(&TTL, &found),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn unlink(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        if self.0.pass().remove(name) { reply.ok() } else { reply.error(Errno::ENOENT) }
    }

    fn rename(
        &self,
        _: &Request,
        _: INodeNo,
        name: &OsStr,
        _: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let mut state = self.0.pass();
        if flags.contains(RenameFlags::RENAME_NOREPLACE) && state.names.contains_key(new_name) {
            return reply.error(Errno::EEXIST);
        }
        let Some(ino) = state.names.get(name).copied() else {
            return reply.error(Errno::ENOENT);
        };
        state.remove(new_name);
        state.names.remove(name);
        state.names.insert(new_name.to_owned(), ino);
        reply.ok();
    }

    fn link(&self, _: &Request, ino: INodeNo, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let mut state = self.0.pass();
        if state.names.contains_key(name) {
            return reply.error(Errno::EEXIST);
        }
        state.names.insert(name.to_owned(), ino.0);
        if let Some(file) = state.files.get_mut(&ino.0) {
            file.links += 1;
        }
        match state.attributes(ino.0) {
            Some(found) => reply.entry(&TTL, &found, Generation(0)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn create(
        &self,
        _: &Request,
        _: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _: i32,
        reply: ReplyCreate,
    ) {
        let mut state = self.0.pass();
        if state.refuses {
            return reply.error(Errno::EACCES);
        }
        state.last = state.last.max(INodeNo::ROOT.0) + 1;
        let (ino, mode) = (state.last, (mode & !umask & 0o7777) as u16);
        let changed = SystemTime::now();
        state.files.insert(ino, File { content: Vec::new(), mode, links: 1, changed });
        state.names.insert(name.to_owned(), ino);
        let found = state.attributes(ino).expect("it was just made");
        reply.created(&TTL, &found, Generation(0), FileHandle(ino), FopenFlags::empty());
    }

    fn open(&self, _: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        if self.0.pass().refuses {
            return reply.error(Errno::EACCES);
        }
        reply.opened(FileHandle(ino.0), FopenFlags::empty());
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let state = self.0.pass();
        let content = state.files.get(&ino.0).map_or(&[][..], |file| &file.content);
        let rest = content.get(offset as usize..).unwrap_or_default();
        reply.data(rest.get(..size as usize).unwrap_or(rest));
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let mut state = self.0.pass();
        let Some(file) = state.files.get_mut(&ino.0) else {
            return reply.error(Errno::EIO);
        };
        let end = offset as usize + data.len();
        if file.content.len() < end {
            file.content.resize(end, 0);
        }
        file.content[offset as usize..end].copy_from_slice(data);
        file.changed = SystemTime::now();
        reply.written(data.len() as u32);
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        drop(self.0.pass());
        reply.ok();
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        drop(self.0.pass());
        reply.ok();
    }

    fn readdir(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let state = self.0.pass();
        for (at, (name, ino)) in (1..).zip(&state.names).skip(offset as usize) {
            if reply.add(INodeNo(*ino), at, FileType::RegularFile, name) {
                break;
            }
        }
        reply.ok();
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        drop(self.0.pass());
        reply.ok();
    }
}
