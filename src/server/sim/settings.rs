//! What the servers of the simulation are given.

use std::time::Duration;

use crate::config::{ByteSet, CommandChars, Overlap, RestartMode, Wording};
use crate::core::Settings;
use crate::core::clock::{Calendar, UnixTime};

pub(super) const HOLDOFF: Duration = Duration::from_secs(3);

pub(super) struct Seconds;

impl Calendar for Seconds {
    fn format(&self, time: UnixTime, _format: &[u8]) -> Vec<u8> {
        time.0.to_string().into_bytes()
    }
}

/// What the child of every other seed has to say to be ready.
pub(super) const READY: &[u8] = b"5 says the child";

pub(super) fn settings() -> Settings {
    let mut ignore = ByteSet::EMPTY;
    for byte in [0x18, 0x14, OTHER, 0] {
        ignore.insert(byte);
    }
    Settings {
        version: b"V".to_vec(),
        server_pid: 1,
        server_started: UnixTime(0),
        server_dir: b"/".to_vec(),
        child_dir: b"/".to_vec(),
        name: b"sim".to_vec(),
        command: b"sim".to_vec(),
        executed: b"sim".to_vec(),
        log: Some((b"log".to_vec(), true)),
        log_stamp: None,
        to_stdout: false,
        to_syslog: false,
        commands: CommandChars { kill: Some(0x18), toggle: Some(0x14), logout: None },
        ignore,
        kill_signal: 9,
        holdoff: HOLDOFF,
        holdoff_max: Duration::ZERO,
        signal_status: false,
        kill_orphans: false,
        daemonizes: false,
        grace: Duration::ZERO,
        restart: RestartMode::On,
        wait: false,
        ready: None,
        overlap: None,
        time_format: b"%c".to_vec(),
        history: 0,
        wording: Wording::Current,
    }
}

pub(super) const OVERLAP: Overlap =
    Overlap { after: Duration::from_secs(2), grace: Duration::from_secs(1), command: Some(OTHER) };
/// What is typed for another child beside the one there is.
pub(super) const OTHER: u8 = 0x15;

/// Those of a run: every other one waits for a text of the child's, two of four have children beside
/// each other, half of them keep a history.
pub(super) fn settings_of(seed: u64) -> Settings {
    let ready = (seed % 2 == 1).then(|| READY.to_vec());
    let overlap = (seed / 2 % 2 == 1).then_some(OVERLAP);
    let history = [0, 100, 0, 40_000][(seed / 4 % 4) as usize];
    Settings { ready, overlap, history, ..settings() }
}
