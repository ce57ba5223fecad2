//! How ssh(1) is called.

use std::ffi::OsString;
use std::process::{Command, Stdio};

use super::Host;
use super::arguments::Arguments;
use crate::manage::limits::HOST_TIMEOUT;
use crate::sys::process;

/// The line after which the output of the command begins. Before it, what the shell of the other host
/// prints when it starts.
pub(crate) const BEGINNING: &[u8] = b"output of manage-procs:";

/// A command that nobody types to. Its output follows the line [`BEGINNING`], and it ends with this
/// process.
pub(crate) fn in_background(host: &Host, arguments: &Arguments) -> Command {
    let mut command = Command::new("ssh");
    // Questions have nobody to answer them.
    command.args(["-T", "-o", "BatchMode=yes", "-o", "ServerAliveInterval=15", "-o"]);
    command.arg(format!("ConnectTimeout={}", HOST_TIMEOUT.as_secs()));
    let mut text = OsString::from(format!("echo '{}'; exec ", String::from_utf8_lossy(BEGINNING)));
    text.push(arguments.shell_text());
    command.arg(host.destination()).arg(text);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    process::end_with_parent(&mut command);
    command
}

/// A command that has the user's terminal, if there is one.
pub(crate) fn on_terminal(host: &Host, arguments: &Arguments, is_terminal: bool) -> Command {
    let mut command = Command::new("ssh");
    // ssh says at the end of each session that the connection is closed.
    command.args([if is_terminal { "-t" } else { "-T" }, "-o", "LogLevel=ERROR", "-o"]);
    command.arg(format!("ConnectTimeout={}", HOST_TIMEOUT.as_secs()));
    let mut text = OsString::from("exec ");
    text.push(arguments.shell_text());
    command.arg(host.destination()).arg(text);
    command
}
