//! A running server, and everything it started, until the guard is dropped.

use super::{Client, ServerBuilder, TestEnv, process, suite, text};
use nix::sys::signal::Signal;
use nix::sys::wait::WaitStatus;
use std::cell::RefCell;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A server under test. Dropped, it and all its descendants are killed and its files removed.
pub struct TestServer {
    env: TestEnv,
    dir: PathBuf,
    endpoint: Option<String>,
    daemon: bool,
    process: RefCell<Child>,
    // Removes the directory: last, when the processes are gone.
    scratch: Arc<TempDir>,
}

/// A server that has ended.
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
    /// What else is left of it.
    pub instance: TestServer,
}

impl TestServer {
    pub(super) fn new(setup: ServerBuilder, process: Child) -> TestServer {
        TestServer {
            env: setup.env,
            dir: setup.dir(),
            endpoint: setup.endpoint,
            daemon: setup.daemon,
            process: RefCell::new(process),
            scratch: setup.dir,
        }
    }

    pub(super) fn is_daemon(&self) -> bool {
        self.daemon
    }

    pub(super) fn env(&self) -> TestEnv {
        self.env
    }

    pub(super) fn scratch(&self) -> Arc<TempDir> {
        Arc::clone(&self.scratch)
    }

    /// The scratch directory, in which the server was started.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A file in the scratch directory.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.join(name)
    }

    /// The server's PID.
    pub fn pid(&self) -> i32 {
        if self.daemon {
            return text::number_after(self.stderr().as_bytes(), "spawning daemon process: ");
        }
        i32::try_from(self.process.borrow().id()).expect("a PID")
    }

    /// A control client, connected.
    pub fn connect(&self) -> Client {
        let endpoint = self.endpoint.as_deref().expect("a control endpoint");
        self.connect_to(endpoint)
    }

    /// A log client, connected to what [`ServerBuilder::log_endpoint`] set up.
    pub fn connect_log(&self) -> Client {
        self.connect_to("unix:log-ctl")
    }

    /// A client of this endpoint: `unix:PATH`, `unix:@NAME`, `HOST:PORT` or, here, `PORT`.
    pub fn connect_to(&self, endpoint: &str) -> Client {
        let stream = self.env.wait_for(&format!("a connection to {endpoint}"), || {
            let result = Client::connect(endpoint, &self.dir);
            if result.is_err() && !self.daemon {
                let ended = self.process.borrow_mut().try_wait().expect("wait");
                assert!(ended.is_none(), "server ended: {ended:?}");
            }
            result.ok()
        });
        Client::new(self.env, &self.dir, stream)
    }

    /// The error of an attempt to connect. Panics if it succeeds.
    pub fn refused(&self, endpoint: &str) -> ErrorKind {
        match Client::connect(endpoint, &self.dir) {
            Ok(_) => panic!("{endpoint} accepts connections"),
            Err(error) => error.kind(),
        }
    }

    /// Waits for the `number`th start (from 1) of the stand-in child and returns its PID.
    pub fn child_start(&self, number: usize) -> i32 {
        self.env.wait_for(&format!("start {number} of the child"), || {
            let starts = fs::read_to_string(self.path("starts")).ok()?;
            starts.split_inclusive('\n').nth(number - 1)?.strip_suffix('\n')?.parse().ok()
        })
    }

    /// Sends the server a signal.
    pub fn signal(&self, signal: Signal) {
        process::send_signal(self.pid(), signal);
    }

    /// Waits until the server has not run at all for a while: nothing wakes it, it waits for
    /// something to happen. A server that is kept from running by others is not asleep.
    pub fn falls_asleep(&self) {
        let mut last = (0, Instant::now());
        self.env.wait_for("the server to fall asleep", || {
            let time = process::running_time(self.pid());
            if time != last.0 || !process::sleeps(self.pid()) {
                last = (time, Instant::now());
            }
            (last.1.elapsed() > Duration::from_millis(1500)).then_some(())
        });
    }

    /// SIGTERM, and waits for the end.
    pub fn terminate(&self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.wait_exit()
    }

    /// Waits until the server has ended.
    pub fn wait_exit(&self) -> ExitStatus {
        if !self.daemon {
            return self.wait_parent();
        }
        let pid = self.pid();
        self.env.wait_for("the end of the daemon", || match process::reap(pid)? {
            WaitStatus::Exited(_, code) => Some(ExitStatus::from_raw(code << 8)),
            WaitStatus::Signaled(_, signal, _) => Some(ExitStatus::from_raw(signal as i32)),
            _ => None,
        })
    }

    /// How the process that was started ended, if it has.
    pub fn ended(&self) -> Option<ExitStatus> {
        self.process.borrow_mut().try_wait().expect("wait")
    }

    pub(super) fn wait_parent(&self) -> ExitStatus {
        self.env.wait_for("the end of the process started", || self.ended())
    }

    pub(super) fn finish(self) -> Finished {
        let status = self.wait_parent();
        Finished { status, stdout: self.stdout(), stderr: self.stderr(), instance: self }
    }

    /// What the server wrote to standard output.
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.file("stdout")).into_owned()
    }

    /// What the server wrote to standard error.
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.file("stderr")).into_owned()
    }

    /// A file of the scratch directory.
    pub fn file(&self, name: &str) -> Vec<u8> {
        let path = self.path(name);
        fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Waits until the file contains `pattern`, and returns it whole.
    pub fn file_with(&self, name: &str, pattern: impl AsRef<[u8]>) -> Vec<u8> {
        let pattern = pattern.as_ref();
        let what = format!("\"{}\" in {name}", pattern.escape_ascii());
        self.env.wait_for(&what, || {
            let content = fs::read(self.path(name)).ok()?;
            text::find(&content, pattern).map(|_| content)
        })
    }

    /// Panics unless `actual` is `expected` in the words of the program under test. In `expected`
    /// `\n` stands for CR LF, and `<pid>`, `<time>`, `<dir>`, `<version>` for what no two runs share.
    pub fn assert_console(&self, actual: impl AsRef<[u8]>, expected: &str) {
        text::assert_console(&self.env, &self.dir, actual.as_ref(), expected);
    }

    /// The same with line ends as they are and without translation: for files, stdout, stderr.
    pub fn assert_plain(&self, actual: impl AsRef<[u8]>, expected: &str) {
        text::assert_plain(&self.env, &self.dir, actual.as_ref(), expected);
    }
}

impl Finished {
    /// Panics unless it exited with this status, and wrote exactly this.
    pub fn assert(&self, code: i32, stdout: &str, stderr: &str) {
        self.instance.assert_plain(&self.stderr, stderr);
        self.instance.assert_plain(&self.stdout, stdout);
        assert_eq!(self.status.code(), Some(code), "{}", self.status);
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for name in ["stdout", "stderr", "log", "events", "starts"] {
                let Ok(content) = fs::read(self.path(name)) else { continue };
                suite::add_to_report(&format!("\n{name} of the server:\n{}", text::show(&content)));
            }
        }
        let direct = self.process.borrow().id();
        process::kill_all(&self.dir, i32::try_from(direct).unwrap_or(0));
        // Reaps it if that has not been done before.
        let _ = self.process.borrow_mut().wait();
    }
}
