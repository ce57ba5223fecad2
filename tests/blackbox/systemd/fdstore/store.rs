//! The tests as a service manager that keeps descriptors: what a server stores outlives it, and is
//! passed to the next one.

use crate::support::{ServerBuilder, TestEnv, TestServer, passing};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::stat::{FileStat, fstat};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use procserv_ng::handover::format;
use procserv_ng::handover::state::State;
use procserv_ng::limits::FDSTORE_SLOT_SIZE;
use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What a descriptor in the store is, in the words of the protocol.
pub(super) struct Kept {
    pub(super) name: String,
    pub(super) fd: OwnedFd,
    /// Dropped when the other side hangs up.
    pub(super) watched: bool,
}

/// A manager, which has an ear of its own.
pub(super) struct Store {
    env: TestEnv,
    dir: PathBuf,
    pub(super) kept: Mutex<Vec<Kept>>,
    /// All messages that are not about the store.
    pub(super) said: Mutex<Vec<String>>,
    /// It keeps no more than so many.
    pub(super) room: AtomicUsize,
    deaf: AtomicBool,
    /// How often it found nothing to hear.
    idle: AtomicUsize,
}

impl Store {
    fn new(env: &TestEnv, setup: &ServerBuilder) -> Arc<Store> {
        let socket = UnixDatagram::bind(setup.path("notify")).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
        let store = Arc::new(Store {
            env: *env,
            dir: setup.dir(),
            kept: Mutex::default(),
            said: Mutex::default(),
            room: AtomicUsize::new(usize::MAX),
            deaf: AtomicBool::new(false),
            idle: AtomicUsize::new(0),
        });
        let ear = Arc::downgrade(&store);
        thread::spawn(move || {
            while let Some(store) = ear.upgrade() {
                store.reap();
                if store.deaf.load(SeqCst) {
                    store.idle.fetch_add(1, SeqCst);
                    thread::sleep(Duration::from_millis(1));
                } else if let Ok((message, fd)) = passing::receive(&socket) {
                    store.hear(&message, fd);
                } else {
                    store.idle.fetch_add(1, SeqCst);
                }
            }
        });
        store
    }

    fn hear(&self, message: &str, fd: Option<OwnedFd>) {
        let mut lines = message.lines();
        let verb = lines.next().unwrap_or_default();
        let mut name = String::new();
        let mut watched = true;
        if !verb.starts_with("FDSTORE") {
            return self.said.lock().unwrap().push(message.to_owned());
        }
        for line in lines {
            match line.split_once('=').unwrap() {
                ("FDNAME", value) => value.clone_into(&mut name),
                ("FDPOLL", "0") => watched = false,
                _ => panic!("{message}"),
            }
        }
        assert!(name.starts_with("procserv."), "{message}");
        let mut kept = self.kept.lock().unwrap();
        match (verb, fd) {
            ("FDSTORE=1", Some(fd)) => {
                // The same thing is kept once, under its first name.
                let same = kept.iter().any(|other| same(&other.fd, &fd));
                if !same && kept.len() < self.room.load(SeqCst) {
                    kept.push(Kept { name, fd, watched });
                }
            }
            ("FDSTOREREMOVE=1", None) => kept.retain(|other| other.name != name),
            _ => panic!("{message}"),
        }
    }

    /// As init does at once with every orphan.
    fn reap(&self) {
        let starts = fs::read_to_string(self.dir.join("starts")).unwrap_or_default();
        for pid in starts.lines().filter_map(|line| line.parse().ok()) {
            let _ = waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG));
        }
    }

    /// Stops reading what it is told.
    pub(super) fn set_deaf(&self, deaf: bool) {
        self.deaf.store(deaf, SeqCst);
        self.settle();
    }

    /// Waits until all that it was told so far has been heard.
    pub(super) fn settle(&self) {
        let before = self.idle.load(SeqCst);
        let settled = || (self.idle.load(SeqCst) > before + 1).then_some(());
        self.env.wait_for("the manager to have nothing to do", settled);
    }

    /// The names kept, without what they begin with and their numbers, sorted.
    pub(super) fn kinds(&self) -> Vec<String> {
        let kept = self.kept.lock().unwrap();
        let kind = |kept: &Kept| {
            let name = kept.name.strip_prefix("procserv.").unwrap();
            name.trim_end_matches(|c: char| c == '.' || c.is_ascii_digit()).to_owned()
        };
        let mut kinds: Vec<String> = kept.iter().map(kind).collect();
        kinds.sort();
        kinds
    }

    /// Waits until exactly these kinds are kept.
    #[track_caller]
    pub(super) fn expect(&self, kinds: &[&str]) {
        self.env.wait_for(&format!("{kinds:?} in the store, not {:?}", self.kinds()), || {
            (self.kinds() == kinds).then_some(())
        });
    }

    /// Takes out what has this name; whether there was something.
    pub(super) fn lose(&self, name: &str) -> bool {
        let mut kept = self.kept.lock().unwrap();
        let before = kept.len();
        kept.retain(|kept| kept.name != name);
        kept.len() < before
    }

    /// Puts something in.
    pub(super) fn plant(&self, name: &str, fd: impl Into<OwnedFd>) {
        let kept = Kept { name: name.to_owned(), fd: fd.into(), watched: true };
        self.kept.lock().unwrap().push(kept);
    }

    /// The memory file.
    pub(super) fn memory(&self) -> File {
        let kept = self.kept.lock().unwrap();
        let state = kept.iter().find(|kept| kept.name == "procserv.state").expect("a state");
        state.fd.try_clone().unwrap().into()
    }

    /// The last state that was written down, with the changes since.
    pub(super) fn state(&self) -> State {
        let (_, mut state, mut at) = self.last_saved();
        let mut records = Vec::new();
        loop {
            let mut word = [0; 8];
            self.memory().read_exact_at(&mut word, at).unwrap();
            let word = u64::from_ne_bytes(word);
            if word == 0 {
                break;
            }
            let mut record = vec![0; word as u32 as usize];
            self.memory().read_exact_at(&mut record, at + 8).unwrap();
            at += 8 + (record.len() as u64).next_multiple_of(8);
            records.push(minicbor::decode(&record).unwrap());
        }
        state.apply(records);
        state
    }

    /// How many states were written down.
    pub(super) fn saves(&self) -> u64 {
        self.last_saved().0
    }

    /// The number of the last state that was written down, that state, and where the changes since begin.
    fn last_saved(&self) -> (u64, State, u64) {
        let memory = self.memory();
        let read = |start: u64| {
            let mut head = [0; 16];
            memory.read_exact_at(&mut head, start).ok()?;
            let [sequence, len] = [0, 8].map(|at| head[at..at + 8].try_into().unwrap());
            let mut bytes = vec![0; u64::from_le_bytes(len) as usize];
            memory.read_exact_at(&mut bytes, start + 16).ok()?;
            let journal = (start + 16 + bytes.len() as u64).next_multiple_of(8);
            Some((u64::from_le_bytes(sequence), format::decode(&bytes).ok()?, journal))
        };
        let halves = [0, FDSTORE_SLOT_SIZE as u64].into_iter().filter_map(read);
        halves.max_by_key(|(sequence, ..)| *sequence).expect("a state")
    }

    /// Passes everything to the process that comes for it. What has hung up was noticed.
    fn pass(&self, listener: &UnixListener) {
        let mut kept = self.kept.lock().unwrap();
        kept.retain(|kept| !(kept.watched && has_hung_up(&kept.fd)));
        let socket = self.env.wait_for("somebody to fetch", || listener.accept().ok()).0;
        socket.set_nonblocking(false).unwrap();
        passing::serve(&socket, kept.iter().map(|kept| (&*kept.name, &kept.fd)));
    }
}

fn same(one: &OwnedFd, other: &OwnedFd) -> bool {
    let [one, other] = [one, other].map(|fd| fstat(fd).unwrap());
    let id = |stat: &FileStat| (stat.st_dev, stat.st_ino);
    // All terminals' masters are one file.
    id(&one) == id(&other) && one.st_rdev == 0
}

fn has_hung_up(fd: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(fd.as_fd(), PollFlags::empty())];
    poll(&mut fds, PollTimeout::ZERO).unwrap() > 0
}

/// A service: server after server with one store.
pub(super) struct Unit {
    pub(super) options: Vec<String>,
    pub(super) child: Vec<String>,
    /// The one that runs.
    pub(super) server: TestServer,
    pub(super) store: Arc<Store>,
    /// Those before it.
    past: Vec<TestServer>,
}

impl Drop for Unit {
    fn drop(&mut self) {
        // The thread of the store may hold it for a moment.
        self.store.kept.lock().unwrap().clear();
    }
}

impl Unit {
    /// A service whose first server has been started.
    pub(super) fn start(env: &TestEnv, options: &[&str], child: &[&str]) -> Unit {
        let text = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        let setup = env.server();
        let store = Store::new(env, &setup);
        let options: Vec<String> = text(&[&["--fdstore"], options].concat());
        let child: Vec<String> = text(child);
        let server = ready(setup, &options, &child).start();
        // What it tells of its start comes after the state that a killed one leaves.
        env.wait_for("the server to tell of its start", || {
            (!store.said.lock().unwrap().is_empty()).then_some(())
        });
        Unit { options, child, server, store, past: Vec::new() }
    }

    /// Kills the server, when its store has all that it is to have.
    #[track_caller]
    pub(super) fn kill(&mut self, kinds: &[&str]) {
        self.store.expect(kinds);
        self.kill_asleep();
    }

    /// Kills the server once it has noted what it has written: else some bytes would come twice.
    pub(super) fn kill_asleep(&mut self) {
        self.server.falls_asleep();
        self.kill_now();
    }

    /// Kills the server.
    pub(super) fn kill_now(&mut self) {
        self.server.signal(Signal::SIGKILL);
        self.server.wait_exit();
        self.store.settle();
    }

    /// Starts another one in place of one that has ended.
    pub(super) fn next(&mut self) {
        self.next_after(&[]);
    }

    /// The same by a launcher that does these steps first.
    pub(super) fn next_after(&mut self, steps: &[&str]) {
        let path = self.server.path("store");
        let _ = fs::remove_file(&path);
        let listener = UnixListener::bind(&path).unwrap();
        listener.set_nonblocking(true).unwrap();
        let setup = ready(ServerBuilder::after(&self.server), &self.options, &self.child);
        let server = setup.launched_by([steps, &["fetch", "store"]].concat()).start();
        self.past.push(std::mem::replace(&mut self.server, server));
        self.store.pass(&listener);
    }

    /// Kills the server, and starts another one.
    #[track_caller]
    pub(super) fn restart(&mut self, kinds: &[&str]) {
        self.kill(kinds);
        self.next();
    }

    /// The open descriptors of the server.
    pub(super) fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.server.pid())).unwrap().count()
    }

    /// How many children were started.
    pub(super) fn starts(&self) -> usize {
        fs::read_to_string(self.server.path("starts")).unwrap_or_default().lines().count()
    }
}

fn ready(setup: ServerBuilder, options: &[String], child: &[String]) -> ServerBuilder {
    let notify = setup.path("notify");
    setup.opts(["-n", "ioc"]).env("NOTIFY_SOCKET", notify).opts(options).child(child)
}
