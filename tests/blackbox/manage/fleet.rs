//! A user's directories, the commands that work on them, and servers that are started from them.

use crate::support::{ServerBuilder, TestEnv, TestServer};
use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// The program under test.
pub const MANAGE: &str = env!("CARGO_BIN_EXE_manage-procs");

const SYSTEMCTL: &str = r#"
case "$*" in
*show*) cat $dir/show 2>/dev/null; exit ;;
*list-units*) cat $dir/list-units 2>/dev/null; exit ;;
esac
echo "$*" >>$dir/systemctl
[ ! -e $dir/kills ] || { kill -KILL $PPID; exit 1; }
[ ! -e $dir/fails ] || exit 1
links=$dir/home/.config/systemd/user
wants=$links/default.target.wants
case "$*" in
--user\ enable*) mkdir -p $wants && shift 4 && ln -sf "$@" $links/ && ln -sf "$@" $wants/ ;;
--user\ link*) mkdir -p $links && shift 4 && ln -sf "$@" $links/ ;;
--user\ disable*) shift 4 && for unit; do rm -f $links/"$unit" $wants/"$unit"; done ;;
esac
"#;

/// A home directory with what belongs to it.
pub struct Fleet {
    dir: TempDir,
}

/// What a command did.
#[derive(Debug)]
pub struct Done {
    /// Its exit status.
    pub code: i32,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

impl Fleet {
    /// With a stand-in for systemctl that writes down its arguments and makes links. It fails if there
    /// is a file `fails`, and first kills who calls it if there is a file `kills`. What it says of
    /// units is in the files `show` and `list-units`.
    pub fn new() -> Fleet {
        let fleet = Fleet { dir: tempfile::tempdir().unwrap() };
        for directory in ["bin", "home", "run"] {
            fs::create_dir(fleet.path(directory)).unwrap();
        }
        let script = format!("#!/bin/sh\ndir={}\n{SYSTEMCTL}", fleet.dir.path().display());
        fleet.program("bin/systemctl", &script);
        symlink(env!("CARGO_BIN_EXE_procServ"), fleet.path("bin/procServ")).unwrap();
        fleet
    }

    /// A path below its directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file, and its directories.
    pub fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// Writes an executable file.
    pub fn program(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        // A process that another case starts at this moment would have the file open for writing for
        // a while, and nobody could execute it, if this process wrote it.
        let write = "cat >\"$1\" && chmod 755 \"$1\"";
        let mut child = Command::new("sh")
            .args(["-c", write, "sh"])
            .arg(&path)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(content.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
        path
    }

    /// A file's content.
    pub fn read(&self, name: &str) -> String {
        let path = self.path(name);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// The names in a directory, in order.
    pub fn names(&self, directory: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(directory)).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// A command with `--user` in front.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(MANAGE);
        self.dress(|name, value| {
            command.env(name, value);
        });
        command.arg("--user").args(words).current_dir(self.dir.path());
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, words: &[&str]) -> Done {
        self.command(words).output().unwrap().into()
    }

    /// The same, which must succeed; its standard output.
    pub fn must(&self, words: &[&str]) -> String {
        let done = self.run(words);
        assert_eq!((done.code, done.stderr.as_str()), (0, ""), "{words:?}");
        done.stdout
    }

    /// Writes an instance whose child is a stand-in with these steps; more lines may follow.
    pub fn instance(&self, setup: &ServerBuilder, name: &str, steps: &str, more: &str) {
        let child = setup.path("fake-ioc");
        let content = format!("[{name}]\ncommand = {} {steps}\n{more}\n", child.display());
        self.file(&format!("home/.config/procServ.d/{name}.conf"), &content);
        fs::create_dir_all(self.path(&format!("run/procserv-{name}"))).unwrap();
    }

    /// Starts its server as its unit does. It is up when it has its info file.
    pub fn launch(&self, env: &TestEnv, setup: ServerBuilder, name: &str) -> TestServer {
        self.launch_until(env, setup, name, &format!("run/procserv-{name}/info"))
    }

    /// The same, but it is up when it has this file.
    pub fn launch_until(
        &self,
        env: &TestEnv,
        setup: ServerBuilder,
        name: &str,
        file: &str,
    ) -> TestServer {
        let mut setup = setup.bare().program(MANAGE).argv0("procServ-launcher");
        setup = setup.opts(["--user", name]);
        let mut pairs = Vec::new();
        self.dress(|name, value| pairs.push((name, value.to_owned())));
        for (name, value) in pairs {
            setup = setup.env(name, value);
        }
        let server = setup.start();
        let file = self.path(file);
        env.wait_for("the file", || fs::read(&file).ok().filter(|text| !text.is_empty()));
        server
    }

    /// What a command's environment has of it.
    pub fn dress(&self, mut set: impl FnMut(&'static str, &Path)) {
        let path = std::env::join_paths(
            [self.path("bin")]
                .into_iter()
                .chain(std::env::split_paths(&std::env::var("PATH").unwrap())),
        );
        set("HOME", &self.path("home"));
        set("XDG_RUNTIME_DIR", &self.path("run"));
        set("PATH", Path::new(&path.unwrap()));
    }
}

impl From<Output> for Done {
    fn from(output: Output) -> Done {
        Done {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}
