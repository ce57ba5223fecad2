//! Every text, byte for byte.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use super::{settings, text};
use crate::config::CommandChars;
use crate::config::MessageStyle;
use crate::config::RestartMode::{self, Off, On, Oneshot};
use crate::console::clock::UnixTime;
use crate::console::event::{ChildProcess, ExitStatus, Subsystem};
use crate::console::messages::ClientCount;
use crate::console::{Settings, messages};

const CHILD: ChildProcess = ChildProcess { pid: 15549, started: UnixTime::from_secs(2) };

fn greeting(
    settings: &Settings,
    mode: RestartMode,
    child: Option<ChildProcess>,
    clients: Option<ClientCount>,
) -> String {
    let times = (&b"Wed Aug 11 13:38:00 2021"[..], &b"Wed Aug 11 13:38:01 2021"[..]);
    text(&messages::greeting(settings, mode, child, times, clients, b""))
}

fn count(users: usize, loggers: usize) -> Option<ClientCount> {
    Some(ClientCount { users, loggers })
}

#[test]
fn greeting_of_a_user() {
    let expected = "\
        @@@ Welcome to procServ (procServ Process Server 2.9.0)\r\n\
        @@@ Use ^X to kill the child, auto restart mode is ON, use ^T to toggle auto restart\r\n\
        @@@ procServ server PID: 15539\r\n\
        @@@ Server startup directory: /home/x\r\n\
        @@@ Child startup directory: /home/y\r\n\
        @@@ Child \"IOC\" started as: ./st.cmd\r\n\
        @@@ Child \"IOC\" PID: 15549\r\n\
        @@@ procServ server started at: Wed Aug 11 13:38:00 2021\r\n\
        @@@ Child \"IOC\" started at: Wed Aug 11 13:38:01 2021\r\n\
        @@@ 0 user(s) and 0 logger(s) connected (plus you)\r\n";
    assert_eq!(greeting(&settings(), On, Some(CHILD), count(0, 0)), expected);
}

#[test]
fn greeting_of_a_logger() {
    let expected = "\
        @@@ procServ server PID: 15539\r\n\
        @@@ Server startup directory: /home/x\r\n\
        @@@ Child startup directory: /home/y\r\n\
        @@@ Child \"IOC\" started as: ./st.cmd\r\n\
        @@@ Child \"IOC\" PID: 15549\r\n\
        @@@ procServ server started at: Wed Aug 11 13:38:00 2021\r\n\
        @@@ Child \"IOC\" started at: Wed Aug 11 13:38:01 2021\r\n";
    let mut settings = settings();
    settings.console.commands.logout = Some(0x11);
    assert_eq!(greeting(&settings, On, Some(CHILD), None), expected);
}

#[test]
fn greeting_without_a_child() {
    let mut settings = settings().with_log("/var/log/x", true);
    settings.child.name.clone_from(&settings.child.command);
    settings.console.commands.logout = Some(0x0C);
    let expected = "\
        @@@ Welcome to procServ (procServ Process Server 2.9.0)\r\n\
        @@@ Use ^X to kill the child, auto restart mode is OFF, use ^T to toggle auto restart\r\n\
        @@@ Use ^L to logout from procServ server\r\n\
        @@@ procServ server PID: 15539\r\n\
        @@@ Server startup directory: /home/x\r\n\
        @@@ Child startup directory: /home/y\r\n\
        @@@ Child started as: ./st.cmd\r\n\
        @@@ Child log file: /var/log/x\r\n\
        @@@ Child \"./st.cmd\" is SHUT DOWN\r\n\
        @@@ procServ server started at: Wed Aug 11 13:38:00 2021\r\n\
        @@@ 2 user(s) and 1 logger(s) connected (plus you)\r\n\
        @@@ ^R or ^X restarts the child, ^Q quits the server, ^L closes this connection\r\n";
    assert_eq!(greeting(&settings, Off, None, count(2, 1)), expected);
}

#[test]
fn greeting_without_commands() {
    let settings = settings()
        .with_log("/var/log/x", false)
        .with(|s| s.console.commands = CommandChars { kill: None, toggle: None, logout: None });
    let greeting = greeting(&settings, Oneshot, None, count(0, 0));
    let lines: Vec<&str> = greeting.split("\r\n").collect();
    let expected =
        "@@@ Kill command disabled, auto restart mode is ONESHOT, auto restart toggle disabled";
    assert_eq!(lines[1], expected);
    assert_eq!(lines[6], "@@@ Child log file: unable to open log file /var/log/x");
    assert_eq!(lines[10], "@@@ ^R restarts the child, ^Q quits the server");
    assert_eq!(lines[11..], [""]);
}

#[test]
fn a_printable_command_character_is_shown_as_itself() {
    let mut settings = settings();
    settings.console.commands =
        CommandChars { kill: Some(b'k'), toggle: Some(0x7F), logout: Some(0xE4) };
    let times = (&b""[..], &b""[..]);
    let greeting = messages::greeting(&settings, On, None, times, count(0, 0), b"");
    let expected = b"@@@ Use k to kill the child, auto restart mode is ON, use ^? to toggle auto \
        restart\r\n@@@ Use \xE4 to logout from procServ server\r\n";
    assert!(greeting.windows(expected.len()).any(|part| part == expected));
    let expected =
        b"@@@ ^R or k restarts the child, ^Q quits the server, \xE4 closes this connection\r\n";
    assert!(greeting.ends_with(expected));
}

#[test]
fn names_are_bytes_of_any_length() {
    let mut settings = settings();
    settings.child.name = OsString::from_vec([&b"\xE4"[..], &[b'n'; 4000]].concat());
    let started = messages::started(&settings, 1);
    assert!(
        started.starts_with(&[b"@@@ Restarting child \"", settings.name(), b"\"\r\n"].concat())
    );
}

#[test]
fn a_start() {
    let rest = "@@@ The PID of new child \"IOC\" is: 7\r\n@@@ @@@ @@@ @@@ @@@\r\n";
    let mut settings = settings();
    let expected = format!("@@@ Restarting child \"IOC\"\r\n@@@    (as ./st.cmd)\r\n{rest}");
    assert_eq!(text(&messages::started(&settings, 7)), expected);
    settings.child.exec = Some("/bin/sh".into());
    let expected = format!("@@@ Restarting child \"IOC\"\r\n@@@    (as /bin/sh)\r\n{rest}");
    assert_eq!(text(&messages::started(&settings, 7)), expected);
    settings.child.exec = Some(settings.child.name.clone());
    let expected = format!("@@@ Restarting child \"IOC\"\r\n{rest}");
    assert_eq!(text(&messages::started(&settings, 7)), expected);
}

#[test]
fn a_start_that_failed() {
    assert_eq!(
        text(&messages::start_failed(&settings(), "Cannot allocate memory")),
        "@@@ Child \"IOC\" could not be started: Cannot allocate memory\r\n"
    );
}

#[test]
fn an_end() {
    assert_eq!(
        text(&messages::ended(CHILD, ExitStatus::Code(255))),
        "\r\n@@@ @@@ @@@ @@@ @@@\r\n\
        @@@ Received a sigChild for process 15549. Normal exit status = 255\r\n"
    );
    assert_eq!(
        text(&messages::ended(CHILD, ExitStatus::Signal(9))),
        "\r\n@@@ @@@ @@@ @@@ @@@\r\n\
        @@@ Received a sigChild for process 15549. The process was killed by signal 9\r\n"
    );
}

#[test]
fn what_follows_an_end() {
    let mut settings = settings();
    settings.console.commands.logout = Some(0x0C);
    let say = |mode| text(&messages::shutting_down(&settings, mode, b"T"));
    assert_eq!(
        say(On),
        "@@@ Current time: T\r\n\
        @@@ Child process is shutting down, a new one will be restarted shortly\r\n\
        @@@ ^R or ^X restarts the child, ^Q quits the server, ^L closes this connection\r\n"
    );
    assert_eq!(
        say(Off),
        "@@@ Current time: T\r\n\
        @@@ Child process is shutting down, auto restart is disabled\r\n\
        @@@ ^R or ^X restarts the child, ^Q quits the server, ^L closes this connection\r\n"
    );
    assert_eq!(
        say(Oneshot),
        "@@@ Current time: T\r\n\
        @@@ Child process is shutting down, oneshot mode: server will exit\r\n"
    );
}

#[test]
fn commands() {
    assert_eq!(text(&messages::killed(&settings())), "\r\n@@@ Got a kill command\r\n");
    for (mode, name) in [(On, "ON"), (Off, "OFF"), (Oneshot, "ONESHOT")] {
        let expected = format!("\r\n@@@ Toggled auto restart mode to {name}\r\n");
        assert_eq!(text(&messages::toggled(&settings(), mode)), expected);
    }
}

#[test]
fn messages_of_2_7() {
    let settings =
        settings().with_log("/var/log/x", true).with(|s| s.console.style = MessageStyle::V2_7);
    let greeting = greeting(&settings, On, None, count(0, 0));
    assert!(greeting.contains("\r\n@@@ Use ^X to kill the child, auto restart is ON, use ^T to"));
    assert!(!greeting.contains("log file"), "{greeting}");
    assert_eq!(messages::killed(&settings), b"");
    assert_eq!(text(&messages::toggled(&settings, Off)), "\r\n@@@ Toggled auto restart to OFF\r\n");
}

#[test]
fn failures() {
    let settings = settings().with_log("/l", true);
    for (subsystem, expected) in [
        (Subsystem::Log, "Log file /l: R, output is not being logged"),
        (Subsystem::Sync, "Log file /l: R, output may not reach the disk"),
        (Subsystem::Rotation, "Log file /l: R, it is not being rotated"),
        (Subsystem::Syslog, "Syslog: R, output is not being sent there"),
        (Subsystem::Events, "Events file: R, events have to wait"),
        (Subsystem::EventsRotation, "Events file: R, it is not being rotated"),
        (Subsystem::Journal, "Journal: R, events are not being sent there"),
        (Subsystem::Status, "Status file: R, it is not being written"),
        (Subsystem::History, "History: R, less of the console is kept"),
    ] {
        let line = text(&messages::subsystem_failed(&settings, subsystem, "R"));
        assert_eq!(line, format!("@@@ {expected}\r\n"));
    }
    assert_eq!(
        text(&messages::accept_failed("tcp:127.0.0.1:1", "Too many open files")),
        "@@@ Endpoint tcp:127.0.0.1:1: Too many open files, new connections have to wait\r\n"
    );
    assert_eq!(text(&messages::missing(4711)), "@@@ 4711 bytes are missing here\r\n");
    assert_eq!(
        text(&messages::unsynced(4711)),
        "@@@ 4711 bytes above may not have reached the disk\r\n"
    );
    assert_eq!(
        text(&messages::skipped(4711)),
        "@@@ 4711 bytes skipped: this connection reads too slowly\r\n"
    );
}
