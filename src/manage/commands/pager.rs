//! A pager for long output, as systemctl(1) has one.

use std::io::IsTerminal;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use nix::sys::signal::Signal;
use nix::unistd::{Uid, dup2_stdout};

/// Executes the first of these programs that is there; one may have arguments.
const SCRIPT: &str = r#"
for program in "$1" less more cat; do
    set -- $program
    command -v "$1" >/dev/null 2>&1 && exec "$@"
done
"#;

/// A pager that shows what goes to standard output. When this is dropped, there is no more, and the
/// user may go on reading.
pub(crate) struct Pager(Child);

/// Starts the pager that `SYSTEMD_PAGER` or `PAGER` names, by default less(1), if standard output is
/// a terminal. `None`: nothing needs a pager, or none can be started. An empty name, or `cat`, means
/// no pager.
pub(crate) fn start() -> Option<Pager> {
    let is_dumb = std::env::var_os("TERM").is_none_or(|name| name == "dumb");
    if is_dumb || !std::io::stdout().is_terminal() {
        return None;
    }
    let name = std::env::var("SYSTEMD_PAGER").or_else(|_| std::env::var("PAGER"));
    let mut name = name.unwrap_or_else(|_| "less".to_owned());
    if matches!(name.trim(), "" | "cat") {
        return None;
    }
    let mut command = Command::new("sh");
    // Those who may run this program as another user may not run all programs so.
    if std::env::var_os("SUDO_UID").is_some() || Uid::current() != Uid::effective() {
        command.env("LESSSECURE", "1");
        name = "less".to_owned();
    }
    let options = std::env::var("SYSTEMD_LESS").unwrap_or_else(|_| "FRSXMK".to_owned());
    command.args(["-c", SCRIPT, "sh", &name]).env("LESS", options).stdin(Stdio::piped());
    let mut child = command.spawn().ok()?;
    let pipe = child.stdin.take()?;
    // The interrupt key is for the pager, which itself begins with the default action.
    let _ = signal_hook::flag::register(Signal::SIGINT as i32, Arc::new(AtomicBool::new(false)));
    dup2_stdout(pipe).ok()?;
    Some(Pager(child))
}

impl Drop for Pager {
    fn drop(&mut self) {
        if let Ok(nothing) = std::fs::File::options().write(true).open("/dev/null") {
            // The pipe has to be closed for the pager to see its end.
            let _ = dup2_stdout(nothing);
        }
        let _ = self.0.wait();
    }
}
