//! Unit tests of the core's parts; the whole of it is tested by the simulation.

mod console;
mod history;
mod input;
mod notice;
mod outbox;
mod record;
mod replay;
mod supervisor;
mod typing;

use std::time::Duration;

use super::clock::{Calendar, Moment, Now, UnixTime};
use super::{Console, Settings};
use crate::config::{ByteSet, CommandChars, RestartMode, Wording};

/// A time of the tests, in milliseconds.
fn at(millis: u64) -> Now {
    Now { mono: Moment(millis * 1_000_000), wall: UnixTime((millis / 1000) as i64) }
}

/// Shows a time as its format and the seconds.
struct Seconds;

impl Calendar for Seconds {
    fn format(&self, time: UnixTime, format: &[u8]) -> Vec<u8> {
        [format, time.0.to_string().as_bytes(), b" "].concat()
    }
}

/// `procServ -n IOC ... ./st.cmd`.
fn settings() -> Settings {
    let mut ignore = ByteSet::EMPTY;
    for byte in [0, 0x18, 0x14] {
        ignore.insert(byte);
    }
    Settings {
        version: b"procServ Process Server 2.9.0".to_vec(),
        server_pid: 15539,
        server_started: UnixTime(1),
        server_dir: b"/home/x".to_vec(),
        child_dir: b"/home/y".to_vec(),
        name: b"IOC".to_vec(),
        command: b"./st.cmd".to_vec(),
        executed: b"./st.cmd".to_vec(),
        log: None,
        log_stamp: None,
        to_stdout: false,
        to_syslog: false,
        commands: CommandChars { kill: Some(0x18), toggle: Some(0x14), logout: None },
        ignore,
        kill_signal: 9,
        holdoff: Duration::from_secs(15),
        holdoff_max: Duration::ZERO,
        signal_status: false,
        kill_orphans: false,
        daemonizes: false,
        grace: Duration::ZERO,
        restart: RestartMode::On,
        wait: false,
        ready: None,
        overlap: None,
        time_format: b"T".to_vec(),
        history: 0,
        wording: Wording::Current,
    }
}

fn console(settings: Settings) -> Console {
    Console::new(settings, Box::new(Seconds))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
