//! How a server is to be started: options, child, scratch directory.

use super::server::{Finished, TestServer};
use super::{TestEnv, process};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use tempfile::TempDir;

/// A server not yet started. As it is made, it stays in the foreground without a terminal, listens
/// for control clients on `unix:ctl`, and its child is `./fake-ioc cat`.
pub struct ServerBuilder {
    pub(super) env: TestEnv,
    pub(super) dir: Arc<TempDir>,
    pub(super) daemon: bool,
    pub(super) endpoint: Option<String>,
    basics: Vec<OsString>,
    options: Vec<OsString>,
    command: Vec<OsString>,
    launch: Vec<OsString>,
    program: PathBuf,
    argv0: OsString,
    environment: Vec<(OsString, OsString)>,
    stdin: Stdio,
    stdout: Option<Stdio>,
    stderr: Option<Stdio>,
}

impl ServerBuilder {
    pub(super) fn new(env: TestEnv) -> ServerBuilder {
        let dir = tempfile::tempdir().expect("a scratch directory");
        let myself = std::env::current_exe().expect("the path of this test");
        std::os::unix::fs::symlink(myself, dir.path().join("fake-ioc")).expect("a link to it");
        ServerBuilder {
            env,
            dir: Arc::new(dir),
            daemon: false,
            endpoint: Some("unix:ctl".to_owned()),
            basics: vec!["-f".into()],
            options: Vec::new(),
            command: vec!["./fake-ioc".into(), "cat".into()],
            launch: Vec::new(),
            program: env.program().to_owned(),
            argv0: "procServ".into(),
            environment: Vec::new(),
            stdin: Stdio::null(),
            stdout: None,
            stderr: None,
        }
    }

    /// One more in the scratch directory of a server that has ended, which has to be kept: dropped,
    /// it kills what it left behind.
    pub fn after(ended: &TestServer) -> ServerBuilder {
        ServerBuilder { dir: ended.scratch(), ..ServerBuilder::new(ended.env()) }
    }

    /// Only what is said from here on: no `-f`, no endpoint, no command.
    pub fn bare(mut self) -> ServerBuilder {
        self.basics.clear();
        self.endpoint = None;
        self.command.clear();
        self
    }

    /// Goes into the background instead of staying in the foreground.
    pub fn daemon(mut self) -> ServerBuilder {
        self.daemon = true;
        self.basics.clear();
        self
    }

    /// The one control endpoint, instead of `unix:ctl`.
    pub fn control(mut self, endpoint: &str) -> ServerBuilder {
        self.endpoint = Some(endpoint.to_owned());
        self
    }

    /// A log endpoint, `unix:log-ctl`.
    pub fn log_endpoint(self) -> ServerBuilder {
        self.opts(["-l", "unix:log-ctl"])
    }

    /// A log file, `log`.
    pub fn logged(self) -> ServerBuilder {
        self.opts(["-L", "log"])
    }

    /// More options.
    pub fn opts<S: AsRef<OsStr>>(mut self, options: impl IntoIterator<Item = S>) -> ServerBuilder {
        self.options.extend(options.into_iter().map(|option| option.as_ref().to_owned()));
        self
    }

    /// The child is `./fake-ioc` with these steps.
    pub fn child<S: AsRef<OsStr>>(self, steps: impl IntoIterator<Item = S>) -> ServerBuilder {
        let steps = steps.into_iter().map(|step| step.as_ref().to_owned());
        self.command([OsString::from("./fake-ioc")].into_iter().chain(steps))
    }

    /// The child is this command.
    pub fn command<S: AsRef<OsStr>>(
        mut self,
        command: impl IntoIterator<Item = S>,
    ) -> ServerBuilder {
        self.command = command.into_iter().map(|word| word.as_ref().to_owned()).collect();
        self
    }

    /// Has these steps of fake-ioc done by the process that then becomes the server.
    pub fn launched_by<S: AsRef<OsStr>>(
        mut self,
        steps: impl IntoIterator<Item = S>,
    ) -> ServerBuilder {
        self.launch = steps.into_iter().map(|step| step.as_ref().to_owned()).collect();
        self
    }

    /// The name the server is started by, instead of `procServ`.
    pub fn argv0(mut self, argv0: impl AsRef<OsStr>) -> ServerBuilder {
        self.argv0 = argv0.as_ref().to_owned();
        self
    }

    /// The file executed, instead of the program under test itself: a link to it, a copy of it.
    pub fn program(mut self, program: impl Into<PathBuf>) -> ServerBuilder {
        self.program = program.into();
        self
    }

    /// The file executed is the link `procServ` in the scratch directory: what is installed there can
    /// be exchanged.
    pub fn installed(self) -> ServerBuilder {
        let path = self.path("procServ");
        std::os::unix::fs::symlink(self.env.program(), &path).expect("a link to the program");
        self.program(path)
    }

    /// Lets anybody use the scratch directory, and puts a copy of each program into it: the
    /// directories above the real ones may be closed to others.
    pub fn for_anybody(mut self) -> ServerBuilder {
        let dir = self.dir();
        fs::set_permissions(&dir, Permissions::from_mode(0o777)).expect("chmod");
        let fake_ioc = fs::canonicalize(dir.join("fake-ioc")).expect("the stand-in");
        fs::remove_file(dir.join("fake-ioc")).expect("the link to the stand-in");
        for (from, name) in [(fake_ioc.as_path(), "fake-ioc"), (self.env.program(), "procServ")] {
            // By another process: a file that this one has open for writing gets into whatever
            // another thread starts meanwhile, and can't be executed as long as that has it.
            let mut install = Command::new("install");
            let copied = install.args(["-m", "755"]).arg(from).arg(dir.join(name)).status();
            assert!(copied.is_ok_and(|status| status.success()), "install");
        }
        self.program = dir.join("procServ");
        self
    }

    /// One more variable in the server's environment.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> ServerBuilder {
        self.environment.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// The server's standard input, instead of `/dev/null`.
    pub fn stdin(mut self, stdin: impl Into<Stdio>) -> ServerBuilder {
        self.stdin = stdin.into();
        self
    }

    /// The server's standard output, instead of the file `stdout`.
    pub fn stdout(mut self, stdout: impl Into<Stdio>) -> ServerBuilder {
        self.stdout = Some(stdout.into());
        self
    }

    /// The server's standard error, instead of the file `stderr`.
    pub fn stderr(mut self, stderr: impl Into<Stdio>) -> ServerBuilder {
        self.stderr = Some(stderr.into());
        self
    }

    /// The scratch directory, links resolved. The server is started in it.
    pub fn dir(&self) -> PathBuf {
        fs::canonicalize(self.dir.path()).expect("the scratch directory")
    }

    /// A file in the scratch directory.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir().join(name)
    }

    /// Writes a file into the scratch directory.
    pub fn with_file(self, name: &str, content: impl AsRef<[u8]>) -> ServerBuilder {
        fs::write(self.path(name), content).expect("a file in the scratch directory");
        self
    }

    /// Starts it. For a daemon this includes waiting until its parent has left successfully.
    pub fn start(self) -> TestServer {
        let instance = self.spawn();
        if instance.is_daemon() {
            let status = instance.wait_parent();
            assert!(status.success(), "{status}, stderr: {}", instance.stderr());
        }
        instance
    }

    /// Starts it and waits until it has ended by itself.
    pub fn run(self) -> Finished {
        self.spawn().finish()
    }

    fn spawn(mut self) -> TestServer {
        let dir = self.dir();
        let mut command = self.invocation();
        command.env(process::MARKER, &dir).current_dir(&dir);
        command.env_remove("PROCSERV_PID").env_remove("PROCSERV_DEBUG");
        command.env_remove("PROCSERV_INFO").env_remove("PROCSERV_BIN");
        command.envs(std::mem::take(&mut self.environment));
        command.stdin(std::mem::replace(&mut self.stdin, Stdio::null()));
        let stdout = self.stdout.take();
        command.stdout(stdout.unwrap_or_else(|| output_file(&dir, "stdout").into()));
        let stderr = self.stderr.take();
        command.stderr(stderr.unwrap_or_else(|| output_file(&dir, "stderr").into()));
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        TestServer::new(self, child)
    }

    fn invocation(&self) -> Command {
        let mut command = if self.launch.is_empty() {
            let mut command = Command::new(&self.program);
            command.arg0(&self.argv0);
            command
        } else {
            let mut command = Command::new(self.dir.path().join("fake-ioc"));
            command.arg("unrecorded").args(&self.launch).arg("exec");
            command.arg(&self.program).arg(&self.argv0);
            command
        };
        command.args(&self.basics);
        if let Some(endpoint) = &self.endpoint {
            command.arg("-P").arg(endpoint);
        }
        command.args(&self.options).args(&self.command);
        command
    }
}

fn output_file(dir: &Path, name: &str) -> File {
    // Appending, so that a file that is truncated in between has no hole.
    File::options().append(true).create(true).open(dir.join(name)).expect("a file for output")
}
