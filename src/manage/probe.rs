//! What of an instance lives. Nobody is connected to and nobody is asked: the server's info file,
//! its status file if it writes one, and `/proc`.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::proc::{self, Clock, Process};
use super::site::{Instance, Site};

/// A server that wrote an info file.
#[derive(Debug, Clone)]
pub struct Live {
    /// The file.
    pub info: PathBuf,
    /// The PID in it.
    pub pid: i32,
    /// The endpoints in it, in procServ's notation, the first declared first.
    pub endpoints: Vec<String>,
    /// The process, if the one that wrote the file still lives.
    pub server: Option<Process>,
    /// When the server was started.
    pub since: Option<SystemTime>,
    /// The server's child, if it has one.
    pub child: Option<Process>,
    /// When the child was started.
    pub child_since: Option<SystemTime>,
    /// What the server says in its status file.
    pub status: Option<Value>,
}

impl Live {
    /// In one word.
    pub fn state(&self) -> &str {
        let said = self.status.as_ref().and_then(|status| status.pointer("/child/state"));
        match (&self.server, said.and_then(Value::as_str), &self.child) {
            (None, ..) => "dead",
            (_, Some(said), _) => said,
            (_, None, Some(_)) => "running",
            (_, None, None) => "down",
        }
    }
}

/// What lives of `instance`. `None` without an info file: it was stopped in good order, or never
/// started.
pub fn probe(site: &Site, instance: &Instance, clock: Option<Clock>) -> Option<Live> {
    let run = site.run_directory(&instance.name);
    let info = option_value(&instance.options, &["--info-file", "-I"]);
    let info = info.map_or_else(|| run.join("info"), |path| instance.chdir.join(path));
    let mut live = read_info(&info, clock)?;
    let status = option_value(&instance.options, &["--status-file"]);
    let status = status.map_or_else(|| run.join("status"), |path| instance.chdir.join(path));
    live.status = fs::read(status).ok().and_then(|text| serde_json::from_slice(&text).ok());
    Some(live)
}

/// Whether this user may not see what there is of an instance.
pub fn is_hidden(site: &Site, instance: &Instance) -> bool {
    let run = fs::read_dir(site.run_directory(&instance.name));
    run.is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied)
}

/// The value of an option in the words of a command line, the last if it is there more than once.
fn option_value<'a>(words: &'a [String], names: &[&str]) -> Option<&'a str> {
    let mut found = None;
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        for name in names {
            match word.strip_prefix(name) {
                Some("") => found = rest.clone().next().map(String::as_str),
                Some(value) if value.starts_with('=') => found = value.get(1..),
                _ => {}
            }
        }
    }
    found
}

/// What an info file says, and who of it lives.
pub fn read_info(path: &Path, clock: Option<Clock>) -> Option<Live> {
    let mut file = File::open(path).ok()?;
    let written = file.metadata().and_then(|file| file.modified()).ok()?;
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    let pid = text.lines().find_map(|line| line.strip_prefix("pid:"))?.trim().parse().ok()?;
    // The last declared is the first there.
    let endpoints =
        text.lines().rev().filter(|line| !line.starts_with("pid:") && line.contains(':'));
    let mut live = Live {
        info: path.to_owned(),
        pid,
        endpoints: endpoints.map(str::to_owned).collect(),
        server: None,
        since: None,
        child: None,
        child_since: None,
        status: None,
    };
    let start = |process: &Process| clock.map(|clock| clock.start(process));
    let Some(server) = proc::process(pid) else {
        // One that ended in good order meanwhile has removed its file before.
        return path.exists().then_some(live);
    };
    let since = start(&server);
    // A process that is younger than the file has only got its PID.
    if since.is_some_and(|since| since > written + SLACK) {
        return Some(live);
    }
    live.child = proc::children(pid).into_iter().find_map(proc::process);
    live.child_since = live.child.as_ref().and_then(start);
    live.since = since;
    live.server = Some(server);
    Some(live)
}

/// How far a file's time and a process's may be apart: the one is the clock's on the wall, the other
/// is counted from boot.
const SLACK: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_have_their_values() {
        let words = ["-x", "--info-file=a", "-I", "b c", "--status-file"].map(str::to_owned);
        assert_eq!(option_value(&words, &["--info-file", "-I"]), Some("b c"));
        assert_eq!(option_value(&words, &["--status-file"]), None);
    }

    #[test]
    fn a_file_that_is_older_than_the_process_is_a_dead_servers() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("info");
        fs::write(&path, format!("pid:{}\ntcp:127.0.0.1:1\nunix:/x\n", std::process::id()))
            .unwrap();
        let live = read_info(&path, Clock::read()).unwrap();
        assert_eq!(live.state(), "down");
        assert_eq!(live.endpoints, ["unix:/x", "tcp:127.0.0.1:1"]);
        let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
        File::options().write(true).open(&path).unwrap().set_modified(long_ago).unwrap();
        assert_eq!(read_info(&path, Clock::read()).unwrap().state(), "dead");
    }
}
