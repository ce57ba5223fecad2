//! A line of the corpus on a machine of its own, which is a scratch directory.

use crate::clients::command_lines::greeting::Greeting;
use crate::support::{
    Client, ServerBuilder, TestEnv, TestServer, alive, cases, parent_of, processes_with,
};
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Gid, Group, Pid, Uid, User};
use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

cases![every_line_is_run];

/// The files that run the lines.
const SOURCES: [&str; 3] =
    [include_str!("daemons.rs"), include_str!("launchers.rs"), include_str!("units.rs")];

fn every_line_is_run(_: &TestEnv) {
    let missing = lines().filter(|line| !SOURCES.iter().any(|text| text.contains(line)));
    assert_eq!(missing.collect::<Vec<_>>(), [""; 0]);
}

/// The lines of the corpus, without what is said about them.
pub(super) fn lines() -> impl Iterator<Item = &'static str> {
    let text = include_str!("../../../fixtures/cmdlines.txt");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.split_once("##").map_or(line, |(command, _)| command).trim_end())
}

/// A line, and what is to be exchanged in it.
pub(super) struct Site {
    env: TestEnv,
    setup: ServerBuilder,
    words: Vec<String>,
    ports: Vec<(&'static str, u16)>,
}

impl Site {
    /// The line of the corpus that reads so.
    pub(super) fn of(env: &TestEnv, line: &str) -> Site {
        assert!(lines().any(|other| other == line), "not in the corpus: {line}");
        Site { env: *env, setup: env.server().bare(), words: split(line), ports: Vec::new() }
    }

    /// This port is taken for another.
    pub(super) fn port(mut self, port: &'static str) -> Site {
        let free = self.env.free_port();
        for word in &mut self.words {
            if word == port || *word == format!("--port={port}") {
                *word = word.replace(port, &free.to_string());
            }
        }
        self.ports.push((port, free));
        self
    }

    /// This word, or this part of one, is replaced.
    pub(super) fn replace(mut self, from: &str, to: &str) -> Site {
        let mut found = false;
        for word in &mut self.words {
            found |= word.contains(from);
            *word = word.replace(from, to);
        }
        assert!(found, "no {from}");
        self
    }

    /// The user and the group named there are those who run the tests.
    pub(super) fn owner(self, user: &str, group: &str) -> Site {
        let own_user = User::from_uid(Uid::current()).unwrap().expect("a user").name;
        let own_group = Group::from_gid(Gid::current()).unwrap().expect("a group").name;
        self.replace(&format!(":{user}:{group}:"), &format!(":{own_user}:{own_group}:"))
    }

    /// A file, absolute or in the start directory, is the stand-in.
    pub(super) fn stand_in(self, path: &str) -> Site {
        let script = format!("#!{} console\n", self.setup.path("fake-ioc").display());
        let file = below(&self.setup.dir(), path);
        make_dirs(file.parent().unwrap());
        // By another process: see ServerBuilder::for_anybody.
        let mut install = Command::new("install");
        install.args(["-m", "755", "/dev/stdin"]).arg(file).stdin(Stdio::piped());
        let mut install = install.spawn().unwrap();
        install.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        assert!(install.wait().unwrap().success());
        self
    }

    /// A command found through PATH is the stand-in.
    pub(super) fn in_path(mut self, name: &str) -> Site {
        let dir = self.setup.path("bin");
        self.setup = self.setup.env("PATH", format!("{}:/usr/bin:/bin", dir.display()));
        self.stand_in(&format!("/bin/{name}"))
    }

    /// A directory, absolute or in the start directory.
    pub(super) fn directory(self, path: &str) -> Site {
        make_dirs(&below(&self.setup.dir(), path));
        self
    }

    /// One more option or more before all others.
    pub(super) fn setup(mut self, change: impl FnOnce(ServerBuilder) -> ServerBuilder) -> Site {
        self.setup = change(self.setup);
        self
    }

    /// Runs it as a daemon, whose parent has left, or in the foreground.
    pub(super) fn start(self) -> Running {
        let dir = self.setup.dir();
        let foreground =
            self.words.iter().any(|word| ["-f", "--foreground", "-fq"].contains(&word.as_str()));
        let setup = if foreground { self.setup } else { self.setup.daemon().bare() };
        let mut words = self.words.into_iter();
        let setup = setup.argv0(words.next().unwrap());
        let mut name = false;
        let words: Vec<String> = words
            .map(|word| {
                // The name is no path, whatever it looks like.
                let moved = if name { word.clone() } else { move_paths(&dir, &word) };
                name = word == "-n" || word == "--name";
                moved
            })
            .collect();
        let server = setup.opts(words).start();
        let pid = self.env.wait_for("a process named procServ", || {
            processes_with(&dir).into_iter().find(|pid| is_server(*pid, foreground))
        });
        Running { env: self.env, server, pid, ports: self.ports, foreground }
    }
}

/// Whether this is the server, and not the parent of a daemon or somebody on his way to be it.
fn is_server(pid: i32, foreground: bool) -> bool {
    let comm = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let own = i32::try_from(std::process::id()).unwrap();
    comm == "procServ\n" && (foreground || parent_of(pid) == Some(own))
}

/// Splits at blanks outside double quotes; the corpus has nothing else for a shell to do.
fn split(line: &str) -> Vec<String> {
    assert!(!line.contains(['\'', '\\', '$', '`']), "{line}");
    let mut words = vec![String::new()];
    let mut quoted = false;
    for character in line.chars() {
        match character {
            '"' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            other => words.last_mut().unwrap().push(other),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Makes directories that anybody may use.
fn make_dirs(path: &Path) {
    if !path.exists() {
        make_dirs(path.parent().unwrap());
        fs::create_dir(path).unwrap();
        fs::set_permissions(path, Permissions::from_mode(0o777)).unwrap();
    }
}

fn below(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

/// Moves a path that begins the word, or follows its first `=`, or the last `:` before it.
fn move_paths(root: &Path, word: &str) -> String {
    let at = if word.starts_with('/') {
        Some(0)
    } else {
        ["=/", ":/"].into_iter().filter_map(|mark| word.find(mark)).min().map(|at| at + 1)
    };
    let Some(at) = at else {
        return word.to_owned();
    };
    let path = below(root, &word[at..]);
    make_dirs(path.parent().unwrap());
    format!("{}{}", &word[..at], path.display())
}

/// The line, running.
pub(super) struct Running {
    env: TestEnv,
    pub(super) server: TestServer,
    /// Of the server itself.
    pub(super) pid: i32,
    ports: Vec<(&'static str, u16)>,
    foreground: bool,
}

impl Running {
    /// The port that stands for this one.
    pub(super) fn port(&self, port: &str) -> u16 {
        let pair = self.ports.iter().find(|(name, _)| *name == port);
        pair.unwrap_or_else(|| panic!("no port {port}")).1
    }

    /// A client of this port, or of this socket, whose greeting must be so.
    pub(super) fn user(&self, endpoint: &str, expected: &Greeting<'_>) -> Client {
        let mut user = self.client(endpoint);
        expected.check(&self.server, &user.greeting());
        user
    }

    /// The same without a look at the greeting.
    pub(super) fn client(&self, endpoint: &str) -> Client {
        let endpoint = match endpoint.strip_prefix("unix:") {
            Some(path) => format!("unix:{}", path.trim_start_matches('/')),
            None => self.port(endpoint).to_string(),
        };
        self.server.connect_to(&endpoint)
    }

    /// What the stand-in says about its start: arguments, directory, and the size of a core.
    pub(super) fn child(&self, arguments: &str, cwd: &str, core: Option<u64>) {
        let report = self.server.file_with("report", "core: ");
        let (soft, hard) = getrlimit(Resource::RLIMIT_CORE).unwrap();
        let core = core.filter(|size| *size <= hard).unwrap_or(soft);
        let blank = if arguments.is_empty() { "" } else { " " };
        let expected = format!("arguments:{blank}{arguments}\ncwd: <dir>{cwd}\ncore: {core}\n");
        self.server.assert_plain(report, &expected);
    }

    /// Types, and compares what reaches the child.
    pub(super) fn typed(&self, user: &mut Client, keys: &[u8], reach: &[u8]) {
        self.server.file_with("report", "core: ");
        user.send([keys, b"\n"].concat());
        let hex: String = reach.iter().map(|byte| format!("{byte:02x} ")).collect();
        user.expect(&format!("{hex}0a \n"));
    }

    /// Compares the one address that this port is listened to on.
    pub(super) fn listens(&self, port: &str, address: &str) {
        let port = self.port(port);
        self.env.listens(port, address);
    }

    /// Compares the mode bits of a socket, which listens under exactly this name.
    pub(super) fn socket(&self, path: &str, mode: u32) {
        let relative = path.trim_start_matches('/');
        let metadata = fs::metadata(self.server.path(relative)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o7777, mode, "{path}");
        let name = if path.starts_with('/') {
            self.server.path(relative).display().to_string()
        } else {
            path.to_owned()
        };
        let table = fs::read_to_string("/proc/net/unix").unwrap();
        assert!(table.lines().any(|line| line.ends_with(&format!(" {name}"))), "{name}");
    }

    /// The file, absolute or relative, once it contains this text.
    pub(super) fn file(&self, path: &str, text: &str) -> Vec<u8> {
        self.server.file_with(path.trim_start_matches('/'), text)
    }

    /// Compares the text of a file with nothing masked.
    pub(super) fn content(&self, path: &str, expected: &str) {
        let expected = expected.replace("<pid>", &self.pid.to_string());
        let expected = expected.replace("<dir>", &self.server.dir().display().to_string());
        self.env.wait_for(path, || {
            let text = fs::read_to_string(self.server.path(path.trim_start_matches('/'))).ok()?;
            (text == expected).then_some(())
        });
    }

    /// Waits for the end; in the foreground its exit status must be this. 2.7.0 knows only 0.
    pub(super) fn ended(&self, code: i32) {
        let code = if self.env.ours() { code } else { 0 };
        if self.foreground {
            assert_eq!(self.server.wait_exit().code(), Some(code));
        }
        self.env.wait_for("the server's end", || (!alive(self.pid)).then_some(()));
    }

    /// SIGTERM, after which these files are gone.
    pub(super) fn stop(&self, files: &[&str]) {
        kill(Pid::from_raw(self.pid), Signal::SIGTERM).unwrap();
        self.ended(0);
        for file in files {
            assert!(!self.server.path(file.trim_start_matches('/')).exists(), "{file} is left");
        }
    }
}
