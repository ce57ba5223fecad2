//! What a simulation is given: the settings, the child's output and the form of times.

use std::sync::OnceLock;
use std::time::Duration;

use super::child::overlap::overlap;
use crate::config::{
    ByteSet, ChildOptions, CommandChars, ConsoleOptions, LogOptions, LogTarget, MessageStyle,
    RestartMode, RestartPolicy, StopInput, WindowPolicy, WindowSize,
};
use crate::console::Settings;
use crate::console::clock::{TimeFormatter, UnixTime};
use crate::sim_support::Random;

/// The settings of a simulation.
pub fn settings(random: &mut Random) -> Settings {
    let command = random.pick(&["/bin/sh", "./st.cmd", "ioc"]);
    let long = "n".repeat(2000);
    let name = random.pick(&[command, "IOC 1", &long]);
    let exec = random.one_in(4).then(|| "/bin/false".into());
    let commands = CommandChars {
        kill: random.pick(&[Some(0x18), Some(0x18), Some(b'k'), None]),
        toggle: random.pick(&[Some(0x14), Some(0x14), Some(b't'), Some(0x18), None]),
        logout: random.pick(&[None, Some(0x1D), Some(0x11), Some(0x18)]),
    };
    let CommandChars { kill, toggle, logout } = commands;
    let listed = random.pick(&[&b""[..], b"\x03\x04", b"a\xFF"]);
    let stamps: [Option<&[u8]>; 5] = [None, None, Some(b"[#] "), Some(b"# \xFF#"), Some(b"")];
    let overlap = overlap(random);
    let reload = overlap.and_then(|overlap| overlap.command);
    let commanded = [kill, toggle, logout, reload].into_iter().flatten();
    let mut ignore: ByteSet = commanded.chain(listed.iter().copied()).collect();
    if !ignore.is_empty() {
        ignore.insert(0);
    }
    // True if there is a log, and true if it could be opened.
    let (logs, log_opened) = random.pick(&[(false, false), (true, true), (true, false)]);
    let log = LogOptions {
        target: logs.then(|| LogTarget::File("/log".into())),
        stamp: random.pick(&stamps).map(<[u8]>::to_vec),
        ..LogOptions::default()
    };
    Settings {
        version: b"procServ Process Server 2.9.0".to_vec(),
        server_pid: 4711,
        server_started: UnixTime::from_secs(1_000_000_000),
        server_dir: b"/home/x".to_vec(),
        to_stdout: random.one_in(3),
        log_opened,
        child: ChildOptions {
            command: command.into(),
            name: name.into(),
            exec,
            chdir: Some("/home/y".into()),
            ..ChildOptions::default()
        },
        restart: RestartPolicy {
            kill_signal: random.pick(&[9, 9, 15, 0]),
            holdoff: Duration::from_secs(random.pick(&[0, 1, 3, 15])),
            holdoff_max: Duration::from_secs(random.pick(&[0, 15, 100])),
            kill_orphans: random.one_in(3),
            daemon_pid_file: (overlap.is_none() && !random.one_in(3)).then(|| "/pid".into()),
            signal_status: random.one_in(2),
            grace: Duration::from_secs(random.pick(&[0, 0, 2, 10])),
            mode: random.pick(&[RestartMode::On, RestartMode::Off, RestartMode::Oneshot]),
            wait: random.one_in(4),
            ready: None,
            overlap,
            stop_input: random.one_in(3).then(|| StopInput {
                text: b"\x15exit\r".to_vec(),
                wait: Duration::from_secs(random.pick(&[0, 3, 10])),
            }),
        },
        log,
        console: ConsoleOptions {
            commands,
            ignore,
            time_format: random.pick(&[&b"time #"[..], b"", b"%c"]).to_vec(),
            announce: random.one_in(4),
            history: random.pick(&[0, 0, 0, 1, 100, 5_000, 70_000, 1_500_000]),
            style: random.pick(&[MessageStyle::Current, MessageStyle::Current, MessageStyle::V2_7]),
            join_line_ends: !random.one_in(4),
            window: random.pick(&[
                WindowPolicy::Unset,
                WindowPolicy::Follow,
                WindowPolicy::Follow,
                WindowPolicy::Fixed(WindowSize { columns: 80, rows: 24 }),
            ]),
            record_input: random.one_in(2),
        },
    }
}

/// The text of which children write pieces: of one kind in each simulation.
pub fn pool(random: &mut Random) -> &'static [u8] {
    static POOLS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    let pools = POOLS.get_or_init(|| {
        let kinds: [(usize, &[u8]); 6] = [
            (40, b"abcdefghijklmnopqrstuvwxyz 0123456789.:@"),
            (3, b"abcdefgh"),
            (3000, b"abcdefghijklmnopqrstuvwxyz 0123456789\xFF"),
            (100, b"ab\xFF\xFE\r\0\xF0"),
            (200_000, b"abcdefghijklmnopqrstuvwxyz 0123456789"),
            (usize::MAX, b"0123456789abcdef"),
        ];
        kinds.iter().map(|&(line, letters)| make(line, letters)).collect()
    });
    &pools[random.below(pools.len())]
}

/// Letters in lines of about this length.
fn make(line: usize, letters: &[u8]) -> Vec<u8> {
    let mut random = Random::new(line as u64);
    let mut text = Vec::new();
    while text.len() < 1 << 18 {
        if random.one_in(line) {
            text.extend_from_slice(random.pick(&[&b"\r\n"[..], b"\n"]));
        } else {
            text.push(random.pick(letters));
        }
    }
    text
}

/// Formats a time by putting the seconds in the place of each `#`.
#[derive(Debug)]
pub struct SecondsFormatter;

impl TimeFormatter for SecondsFormatter {
    fn format(&self, time: UnixTime, format: &[u8]) -> Vec<u8> {
        let digits = time.seconds.to_string().into_bytes();
        let parts: Vec<&[u8]> = format.split(|&byte| byte == b'#').collect();
        parts.join(&digits[..])
    }
}
