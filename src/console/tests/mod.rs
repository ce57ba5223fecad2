//! Unit tests of the console's parts. The simulation tests the console as a whole.

mod backpressure;
mod buffer;
mod commands;
mod console;
mod input_queue;
mod kills;
mod messages;
mod reader;
mod replay;
mod snapshot;
mod supervisor;

use super::clock::{Monotonic, TimeFormatter, Timestamps, UnixTime};
use super::{Console, Settings};

/// A time of the tests, in milliseconds.
fn at(millis: u64) -> Timestamps {
    Timestamps {
        mono: Monotonic(millis * 1_000_000),
        wall: UnixTime::from_secs((millis / 1000) as i64),
    }
}

/// Shows a time as its format and the seconds.
struct Seconds;

impl TimeFormatter for Seconds {
    fn format(&self, time: UnixTime, format: &[u8]) -> Vec<u8> {
        [format, time.seconds.to_string().as_bytes(), b" "].concat()
    }
}

/// `procServ -n IOC ... ./st.cmd`.
fn settings() -> Settings {
    Settings::plain().with(|s| {
        s.child.chdir = Some("/home/y".into());
        s.child.name = "IOC".into();
        s.console.time_format = b"T".to_vec();
    })
}

fn console(settings: Settings) -> Console {
    Console::new(settings, Box::new(Seconds))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
