//! The only definition of the options: their names, values and descriptions. Parsing, the help
//! text, the completions and the check of the man page use it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use clap::{Arg, ArgAction, Command, ValueHint};

/// The id of `-h`.
pub(super) const HELP: &str = "help";
/// The id of `--health`.
pub(super) const HEALTH: &str = "health";
/// The id of `-V`.
pub(super) const VERSION: &str = "version";

/// The heading over the options that procServ doesn't have.
const EXTENSIONS: &str = "Options beyond procServ 2.9";

/// The column at which the descriptions begin in the help text.
const HELP_COLUMN: usize = 26;

/// The kinds of options by the value that they take.
pub(super) enum ValueUse {
    None,
    /// An optional value has to be attached: `--name=value`.
    Optional,
    Required,
}

/// Returns all options. Those of procServ come first and in its order, as messages about ambiguous
/// abbreviations list them so.
#[must_use]
pub fn definition() -> Command {
    Command::new("procServ")
        .disable_help_flag(true)
        .disable_version_flag(true)
        .args([
            flag("allow", "allow control connections from anywhere"),
            value("autorestartcmd", "c", "command to toggle auto restart flag (^ for ctrl)"),
            value("coresize", "n", "set maximum core size for child to <n>"),
            value("chdir", "dir", "change directory to <dir> before starting child").short('c'),
            flag("debug", "debug mode (keeps child in foreground)").short('d'),
            value("exec", "str", "specify child executable (default: arg0 of <command>)")
                .short('e')
                .value_hint(ValueHint::ExecutablePath),
            flag("foreground", "keep child in foreground (interactive)").short('f'),
            flag(HELP, "print this message").short('h'),
            value("holdoff", "n", "set holdoff time [sec] between child restarts"),
            value("ignore", "str", "ignore all chars in <str> (^ for ctrl)").short('i'),
            value("info-file", "file", "write instance information to this file").short('I'),
            value("killcmd", "c", "command to kill (reboot) the child (^ for ctrl)").short('k'),
            value("killsig", "sig", "signal to send to child when killing (number or name)"),
            value("logport", "endpoint", "allow log connections through telnet <endpoint>")
                .short('l'),
            value("logfile", "file", "write log to <file>, '-' logs to stdout").short('L'),
            value("logstamp", "str", "prefix log lines with timestamp [strftime format]")
                .num_args(0..=1)
                .require_equals(true),
            value("name", "str", "set child's name (default: arg0 of <command>)").short('n'),
            flag("noautorestart", "do not restart child on exit by default"),
            flag("oneshot", "exit when the child has exited").short('o'),
            value("pidfile", "file", "write PID file (for server PID)").short('p'),
            value("port", "endpoint", "allow control connections through telnet <endpoint>")
                .short('P'),
            flag("quiet", "suppress informational output (server)").short('q'),
            flag("restrict", "restrict log access to connections from localhost"),
            value("timefmt", "str", "set time format (strftime) to <str>"),
            flag(VERSION, "print program version").short('V'),
            flag("wait", "wait for cmd on control connection to start child").short('w'),
            value("logoutcmd", "c", "command to logout client connection (^ for ctrl)").short('x'),
        ])
        .next_help_heading(EXTENSIONS)
        .args([
            value("grace-period", "n", "time [sec] after SIGTERM before child gets SIGKILL")
                .short('g'),
            value("allow-from", "nets", "let in TCP clients from networks <nets> only"),
            value("api", "endpoint", "let programs connect to Unix socket <endpoint> (JSON)"),
            flag("announce", "tell everybody who attaches and who leaves"),
            value("compat", "version", "use the messages of procServ <version> (2.7)"),
            flag("console", "with -f -L -, use the terminal (docker run -it)"),
            value("crlf", "how", "CR LF of telnet clients: join (to one CR) or keep"),
            value("events", "file", "append what happens to <file>, as JSON; or 'journal'"),
            value("events-rotate", "n", "begin a new one at <n>[,<keep>] bytes (k, M, G)"),
            flag("record-input", "record what is typed in the file of --events"),
            value("child-pidfile", "f", "child makes itself a daemon, with its PID in <f>")
                .value_hint(ValueHint::FilePath),
            flag("fdstore", "survive a crash with systemd's help (with -f)"),
            value(HEALTH, "file", "exit with 0 if status <file> tells of a ready child"),
            value("history", "size", "give new clients the last <size> bytes (k, M)"),
            value("holdoff-max", "n", "up to <n> sec, double holdoff while child dies early"),
            flag("kill-orphans", "kill what left the child's process group, too"),
            value("listen", "uri", "open a socket for the child (LISTEN_FDS); repeatable"),
            value("overlap", "ms", "SIGUSR2: start new child, end old one after <ms>"),
            value("reloadcmd", "c", "command to do what SIGUSR2 does (^ for ctrl)"),
            flag("notify", "tell systemd about state and health (with -f)"),
            flag("log-plain", "log without escape sequences and without CR before LF"),
            value("log-rotate", "size", "begin a new log at <size>[,<keep>] bytes (k, M, G)"),
            value("ready", "text", "be ready when child says <text> (implies --notify)"),
            flag("savelog", "rename an existing log file at start"),
            value("syslog", "tag", "send the console to syslog, too")
                .num_args(0..=1)
                .require_equals(true),
            value("status-file", "file", "keep <file> up to date with how things are, as JSON"),
            value("term", "name", "set TERM of the child"),
            value("stop-input", "text", "SIGTERM: type <text> to child first (^ for ctrl, \\r)"),
            flag("signal-status", "exit with 128+N if signal N killed the last child"),
            value("user", "name", "run the child as this user (server started as root)")
                .value_hint(ValueHint::Username),
            value("window", "size", "window of the child: <cols>x<rows>, or follow"),
        ])
}

fn flag(long: &'static str, help: &'static str) -> Arg {
    Arg::new(long).long(long).help(help).action(ArgAction::SetTrue)
}

fn value(long: &'static str, name: &'static str, help: &'static str) -> Arg {
    Arg::new(long)
        .long(long)
        .help(help)
        .value_name(name)
        .value_hint(match name {
            "file" => ValueHint::FilePath,
            "dir" => ValueHint::DirPath,
            _ => ValueHint::Other,
        })
        .action(ArgAction::Append)
}

/// Returns which value `arg` takes.
pub(super) fn value_use(arg: &Arg) -> ValueUse {
    match arg.get_num_args() {
        _ if !arg.get_action().takes_values() => ValueUse::None,
        Some(count) if count.min_values() == 0 => ValueUse::Optional,
        _ => ValueUse::Required,
    }
}

/// Returns true if `arg` is an option that procServ does not have.
pub(super) fn is_extension(arg: &Arg) -> bool {
    arg.get_help_heading() == Some(EXTENSIONS)
}

/// Returns the two lines that show both ways to call the server.
pub(super) fn usage(argv0: &OsStr) -> Vec<u8> {
    [
        b"Usage: ",
        argv0.as_bytes(),
        b" [options] -P <endpoint>... <command args ...>    (-h for help)\n       ",
        argv0.as_bytes(),
        b" [options] <endpoint> <command args ...>\n",
    ]
    .concat()
}

/// Returns the text of `-h`.
pub(super) fn help(argv0: &OsStr) -> Vec<u8> {
    let mut text = usage(argv0);
    text.extend_from_slice(
        b"\
<endpoint>:          endpoint to use for control connections
    <port>           TCP <port> on local/all interfaces (see --allow/--restrict)
    <iface>:<port>   TCP <port> on specific IP <iface> (numeric; IPv6 in [])
    unix:<path>      UNIX domain socket at <path> (@... for abstract)
    unix:<user>:<group>:<perm>:<path>
                     the same with owner, group and permissions (octal)
    fd:<name>        socket passed by systemd, by its name or number
    raw:<endpoint>   any of these, without telnet
    view:<endpoint>  any of these, to watch only
<command args ...>   command line to start child process
Options:
",
    );
    let definition = definition();
    let (own, original): (Vec<_>, _) =
        definition.get_arguments().partition(|arg| is_extension(arg));
    for arg in original {
        text.extend_from_slice(help_line(arg).as_bytes());
    }
    text.extend_from_slice(format!("{EXTENSIONS}:\n").as_bytes());
    for arg in own {
        text.extend_from_slice(help_line(arg).as_bytes());
    }
    text
}

fn help_line(arg: &Arg) -> String {
    let short = arg.get_short().map_or_else(|| "   ".to_string(), |short| format!(" -{short}"));
    let value = arg.get_value_names().and_then(<[_]>::first).map(|name| match value_use(arg) {
        ValueUse::None => String::new(),
        ValueUse::Optional => format!(" [<{name}>]"),
        ValueUse::Required => format!(" <{name}>"),
    });
    let left =
        format!("{short} --{}{}", arg.get_long().unwrap_or_default(), value.unwrap_or_default());
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    format!("{left:HELP_COLUMN$}{help}\n")
}
