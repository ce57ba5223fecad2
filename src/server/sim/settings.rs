//! The settings of the servers in the simulation.

use std::time::Duration;

use crate::config::{OverlapOptions, WindowPolicy};
use crate::console::Settings;
use crate::console::clock::{TimeFormatter, UnixTime};

pub(super) const HOLDOFF: Duration = Duration::from_secs(3);

pub(super) struct Seconds;

impl TimeFormatter for Seconds {
    fn format(&self, time: UnixTime, _format: &[u8]) -> Vec<u8> {
        time.seconds.to_string().into_bytes()
    }
}

/// The text that the child of every other seed has to write to be ready.
pub(super) const READY: &[u8] = b"5 says the child";

pub(super) fn settings() -> Settings {
    let mut plain = Settings::plain();
    plain.console.ignore.insert(OTHER);
    plain.with_log("log", true).with(|s| {
        s.child.name = "sim".into();
        s.restart.holdoff = HOLDOFF;
    })
}

pub(super) const OVERLAP: OverlapOptions = OverlapOptions {
    after: Duration::from_secs(2),
    grace: Duration::from_secs(1),
    command: Some(OTHER),
};
/// The character that asks for another child beside the present one.
pub(super) const OTHER: u8 = 0x15;

/// The settings of a seed: every other one waits for a text of the child, two of four have
/// `--overlap`, half of them keep a history, and three of four follow the windows of clients.
pub(super) fn settings_of(seed: u64) -> Settings {
    let ready = (seed % 2 == 1).then(|| READY.to_vec());
    let overlap = (seed / 2 % 2 == 1).then_some(OVERLAP);
    let history = [0, 100, 0, 40_000][(seed / 4 % 4) as usize];
    let window = [WindowPolicy::Follow, WindowPolicy::Unset][(seed / 16 % 4 / 3) as usize];
    settings().with(|s| {
        s.console.window = window;
        s.restart.ready = ready;
        s.restart.overlap = overlap;
        s.console.history = history;
    })
}
