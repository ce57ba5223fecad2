//! States of other versions, and bytes that are no state.

mod frozen;
pub(crate) mod sample;
mod value;

use std::time::Duration;

use self::value::Value;
use super::format::{Unreadable, decode, decode_body, encode, encode_body};
use super::state::{
    ChildSocketState, ChildState, ConnectionKind, ConnectionState, Descriptor, ListenerState,
    Retry, SinkState, State, Text,
};
use crate::config::{ByteSet, OverlapOptions, WindowPolicy};
use crate::console::clock::{Monotonic, TimeFormatter, Timestamps, UnixTime};
use crate::console::event::{ChildSlot, ClientId, ClientKind, Effect, Event, ExitStatus, Sink};
use crate::console::{Console, Settings};
use crate::limits::STREAM_BUFFER_MAX;
use crate::sys::file::FileId;
use crate::sys::terminal::TermiosFlags;

/// Shows a time as its format and the seconds.
struct Seconds;

impl TimeFormatter for Seconds {
    fn format(&self, time: UnixTime, format: &[u8]) -> Vec<u8> {
        [format, time.seconds.to_string().as_bytes(), b"] "].concat()
    }
}

fn settings() -> Settings {
    Settings::plain().with_log("/log", true).with(|s| {
        s.version = b"procServ".to_vec();
        s.server_pid = 7;
        s.server_started = UnixTime::from_secs(99);
        s.server_dir = b"/".to_vec();
        s.to_stdout = true;
        s.child.name = "IOC".into();
        s.restart.ready = Some(b"epics>".to_vec());
        s.restart.overlap = Some(OVERLAP);
        s.log.stamp = Some(b"[".to_vec());
        s.log.syslog = Some(Vec::new());
        s.console.ignore = ByteSet::EMPTY;
        s.console.time_format = b"T".to_vec();
        s.console.window = WindowPolicy::Follow;
    })
}

const OVERLAP: OverlapOptions = OverlapOptions {
    after: Duration::from_secs(1),
    grace: Duration::from_secs(100),
    command: None,
};

/// The numbers that lead to the fields that can never be left out.
const NEEDED: &str = "\
    0 1 10.0 10.0.0 10.0.1 10.0.2 10.0.3 12.0 12.1 12.2 12.3 13.2.0.0 13.2.0.1 13.3.1.0.0 14.0 \
    14.1 14.2 14.4 14.5 14.6 16.0.0 16.0.1 16.0.1.0 16.0.1.1 16.0.1.2 16.0.1.3 16.0.3.0 16.0.3.1 \
    17.0 17.1 17.1.0 17.1.1 17.1.2 17.1.3 19.0 19.0.0 19.0.1 19.0.2 19.0.3 19.1 19.1.0 19.1.1 \
    19.1.2 19.1.3 19.2.0 19.2.1 2 21.0.0 4 5 5.0 5.0.0 5.0.0.1.0 5.0.0.1.0.0 5.0.0.1.0.0.0 \
    5.0.0.1.0.0.1 5.0.1 5.0.2.0 5.1 5.1.0 5.10.0 5.11.0.0 5.11.0.0.0 5.11.0.0.1 5.12.0.0 5.12.0.1 \
    5.13.0.0.0 5.13.0.0.1 5.15.0.0 5.15.0.1 5.15.1.0 5.15.1.1 5.2.0.0 5.2.0.1 5.2.0.10.0.0 \
    5.2.0.10.0.1 5.2.0.2 5.2.0.3 5.2.0.3.0 5.2.0.4.0 5.2.0.4.0.1.0 5.2.0.4.0.1.1 5.2.0.4.1 \
    5.2.0.4.1.0 5.2.0.4.1.1 5.3.0 5.4.0 5.8.0 6.0 6.1 6.1.0 6.1.1 6.1.2 6.1.3 6.2.0 6.2.1 6.2.2 \
    6.2.3 6.4.0 6.4.1 6.4.2 6.4.3 7.0.0 7.0.1 7.0.1.0 7.0.1.1 7.0.1.2 7.0.1.3 7.0.2.0 7.0.2.1 \
    8.0.0 8.0.1 8.0.1.0 8.0.1.1 8.0.1.2 8.0.1.3 8.0.2 9.0 9.0.0 9.0.1 9.0.2 9.0.3 9.1.0 9.1.1";

/// The sample's body, taken apart.
fn tree() -> Value {
    Value::read(&encode_body(&sample::state()))
}

/// What a body that nobody checked makes of a console that goes on.
fn survive(body: &[u8]) -> bool {
    let Ok(state) = decode_body(body) else {
        return false;
    };
    let clients: Vec<u64> = state.connections.iter().map(|client| client.id).collect();
    let Ok(mut console) = Console::restore(settings(), Box::new(Seconds), state.console) else {
        return false;
    };
    let now = Timestamps { mono: Monotonic(200_000_000_000), wall: UnixTime::from_secs(200) };
    for _ in 0..2 {
        console.update_backpressure(now.mono, |_| 0);
        console.backpressure_deadline(now.mono);
        console.handle_timeout(now);
        console.handle(Event::Output(ChildSlot::Current, b"\xFFoutput\n"), now);
        for &id in &clients {
            let id = ClientId(id);
            console.handle(Event::Input { id, bytes: b"typed\xFF\xFD\x03" }, now);
            let count = console.output(id).0.len();
            console.written(id, count.div_ceil(2));
        }
        for sink in [Sink::Log, Sink::Stdout, Sink::Syslog] {
            if let Some(chunk) = console.take(sink) {
                console.lost(sink, &chunk, 3.min(chunk.bytes.len() - 1), true);
            }
            console.discard_pending(sink);
        }
        console.child_input_written(3);
        console.handle(Event::Upgraded { version: "2" }, now);
        console.release_idle_memory();
    }
    while console.poll_effect().is_some() {}
    console.snapshot();
    true
}

#[test]
fn what_was_written_is_read() {
    let state = sample::state();
    assert_eq!(decode(&encode(&state)).unwrap(), state);
}

#[test]
fn a_terminal_gets_its_modes_back() {
    let modes = TermiosFlags {
        input: 0x500,
        output: 5,
        control: 0xBF,
        local: 0x8A3B,
        characters: vec![3, 28, 127, 21, 4],
    };
    let kind = ConnectionKind::Terminal(modes);
    let bytes = minicbor::to_vec(&kind).unwrap();
    assert_eq!(minicbor::decode::<ConnectionKind>(&bytes).unwrap(), kind);
}

#[test]
fn unknown_fields_are_skipped_at_every_level() {
    let (tree, state) = (tree(), sample::state());
    let maps = tree.maps();
    assert!(maps.len() > 30, "{}", maps.len());
    let news = [Value::of(5), Value::Array(vec![Value::Map(vec![(0, Value::of("x"))])])];
    for path in &maps {
        for new in &news {
            let mut tree = tree.clone();
            tree.at(path).fields().push((1000, new.clone()));
            let read = decode_body(&tree.write());
            assert_eq!(read.unwrap_or_else(|error| panic!("{path:?}: {error}")), state, "{path:?}");
        }
    }
}

/// Nothing can be made up for those that are needed. Every new one has to be one that may be
/// missing.
#[test]
fn every_other_field_may_be_missing() {
    let tree = tree();
    let mut needed = Vec::new();
    // One client says as much as three.
    let repeated = |path: &[u64]| matches!(path, [5, 2, 1 | 2, ..] | [8, 1 | 2, ..]);
    for path in tree.maps().into_iter().filter(|path| !repeated(path)) {
        let count = tree.clone().at(&path).fields().len();
        for at in 0..count {
            let mut tree = tree.clone();
            let (number, _) = tree.at(&path).fields().remove(at);
            if minicbor::decode::<State>(&tree.write()).is_err() {
                let path = path.iter().chain([&number]).map(u64::to_string);
                needed.push(path.collect::<Vec<_>>().join("."));
            }
        }
    }
    needed.sort();
    assert_eq!(needed.join(" "), NEEDED);
}

#[test]
fn a_cut_or_changed_state_is_refused() {
    let bytes = encode(&sample::state());
    for len in 0..bytes.len() {
        assert!(decode(&bytes[..len]).is_err(), "{len}");
    }
    assert!(decode(&[&bytes[..], b"\0"].concat()).is_err());
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1 << bit;
            assert!(decode(&bytes).is_err(), "{at} {bit}");
        }
    }
}

#[test]
fn a_state_of_another_format_is_refused_by_name() {
    let mut bytes = encode(&sample::state());
    for (number, reason) in [
        (1, "the state was made by a version before 0.1.0, which cannot be read"),
        (3, "the state was made by a newer version, in format 3; this one reads format 2"),
    ] {
        bytes[b"procServ state\n".len()] = number;
        let error = decode(&bytes).unwrap_err();
        assert!(matches!(error, Unreadable::Format(found) if found == u32::from(number)));
        assert_eq!(error.to_string(), reason);
    }
    assert!(matches!(decode(b"procServ stat"), Err(Unreadable::Foreign)));
}

#[test]
fn a_damaged_body_does_no_harm() {
    let body = encode_body(&sample::state());
    let mut survived = 0;
    for at in 0..body.len() {
        assert!(!survive(&body[..at]));
        let flips = (0..8).map(|bit| body[at] ^ (1 << bit));
        // The largest numbers, the longest bytes, arrays and maps.
        for byte in flips.chain([0x00, 0x1B, 0x3B, 0x5B, 0x9B, 0xBB, 0x9F, 0xBF, 0xFF]) {
            let mut body = body.clone();
            body[at] = byte;
            survived += usize::from(survive(&body));
            // Eight bytes of a number, too.
            if let Some(number) = body.get_mut(at + 1..at + 9) {
                number.fill(0xFF);
                survived += usize::from(survive(&body));
            }
        }
    }
    // Most of it is text.
    assert!(survived > 1000, "{survived}");
}

/// The reason for which a state is refused whose field at `path` is `value`.
fn refusal(path: &[u64], value: Value) -> String {
    let mut tree = tree();
    *tree.at(path) = value;
    let state = match decode_body(&tree.write()) {
        Ok(state) => state,
        Err(error) => return error.to_string(),
    };
    match Console::restore(settings(), Box::new(Seconds), state.console) {
        Ok(_) => "none".to_owned(),
        Err(invalid) => invalid.to_string(),
    }
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let no_child = Value::Array(vec![Value::of(0), Value::Map(Vec::new())]);
    let starting = Value::Array(vec![Value::of(1), Value::Map(Vec::new())]);
    let unknown = Value::Array(vec![Value::of(9), Value::Map(Vec::new())]);
    let runs = |lens: &[u64]| {
        Value::Array(lens.iter().map(|&len| Value::of((7_u64, len))).collect::<Vec<_>>())
    };
    let place = "a reader is ahead of the stream";
    let child = "a state that cannot be: the child is not the console's";
    let clients = "a state that cannot be: the clients are not the console's";
    let input = "the input is not as long as its parts";
    let end = "the stream cannot end there";
    let times = "the times of the stream are out of order";
    let cases: [(&[u64], Value, &str); 17] = [
        (&[5, 0, 0], no_child, child),
        (&[5, 0, 0], starting, child),
        (&[6, 0], Value::of(4243), child),
        (&[17, 0], Value::of(4240), "a state that cannot be: the old child is not the console's"),
        (&[5, 2, 0, 0], Value::of(6_u64), clients),
        (&[5, 2, 0, 2], Value::of(2_u64), clients),
        (&[8, 0, 0], Value::of(8_u64), clients),
        (
            &[4],
            Value::of(9_u64),
            "a state that cannot be: a client has an id that is still to be given",
        ),
        (&[5, 1, 0], Value::of(3_u64), end),
        (&[5, 1, 0], Value::of(u64::MAX), end),
        (&[5, 1, 2], Value::of(vec![(5_u64, 1_i64), (5, 2)]), times),
        (&[5, 2, 1, 3, 0], Value::of(1_u64 << 40), place),
        (&[5, 3, 3], Value::of(1_u64 << 40), "a reader misses more than there was"),
        (&[5, 5, 1], runs(&[3, usize::MAX as u64]), input),
        (&[5, 5, 1], runs(&[8, 0]), input),
        (&[5, 5, 1], runs(&[7]), input),
        (&[5, 2, 0, 6], Value::of(u64::MAX), "a client took more than there is"),
    ];
    for (path, value, reason) in cases {
        assert_eq!(refusal(path, value), reason, "{path:?}");
    }
    // What this version has no name for.
    for path in [&[5, 0, 0][..], &[5, 2, 0, 7], &[5, 2, 0, 4, 0], &[8, 0, 2]] {
        let reason = refusal(path, unknown.clone());
        assert!(reason.contains("unknown enum variant"), "{path:?}: {reason}");
    }
}

#[test]
fn a_start_that_nobody_answers_is_refused() {
    let mut tree = tree();
    *tree.at(&[5, 0, 0]) = Value::Array(vec![Value::of(1), Value::Map(Vec::new())]);
    tree.fields().retain(|field| field.0 != 6);
    let state = decode_body(&tree.write()).unwrap();
    let invalid = Console::restore(settings(), Box::new(Seconds), state.console).err();
    assert_eq!(invalid.unwrap().to_string(), "a child is being started");
}

#[test]
fn a_signal_never_goes_to_everybody() {
    for pid in [i32::MIN, -1, 0, 1] {
        let mut tree = tree();
        *tree.at(&[5, 0, 0, 1, 0, 0, 0]) = Value::of(pid);
        *tree.at(&[6, 0]) = Value::of(pid);
        let state = decode_body(&tree.write()).unwrap();
        let invalid = Console::restore(settings(), Box::new(Seconds), state.console).err();
        assert_eq!(invalid.unwrap().to_string(), "the child's PID can be no child's");
    }
    for (pid, reason) in [(0, "the old child's PID can be no child's"), (4242, "one child is two")]
    {
        let mut tree = tree();
        *tree.at(&[5, 11, 0, 0, 0]) = Value::of(pid);
        *tree.at(&[17, 0]) = Value::of(pid);
        let state = decode_body(&tree.write()).unwrap();
        let invalid = Console::restore(settings(), Box::new(Seconds), state.console).err();
        assert_eq!(invalid.unwrap().to_string(), reason);
    }
}

#[test]
fn of_a_longer_history_the_newest_is_kept() {
    let mut tree = tree();
    let long = [vec![b'x'; 2 * STREAM_BUFFER_MAX], b"\nthe end".to_vec()].concat();
    *tree.at(&[5, 1, 0]) = Value::of(long.len() as u64 + 100);
    *tree.at(&[5, 1, 1]) = Value::of(minicbor::bytes::ByteVec::from(long));
    let state = decode_body(&tree.write()).unwrap();
    let mut console = Console::restore(settings(), Box::new(Seconds), state.console).unwrap();
    let (first, _) = console.output(ClientId(7));
    assert!(first.starts_with(b"\r\n@@@ "), "{}", first.escape_ascii());
    let count = first.len();
    console.written(ClientId(7), count);
    assert_eq!(console.output(ClientId(7)).0, b"the end");
    // With a history of that size nobody was passed.
    let state = decode_body(&tree.write()).unwrap();
    let settings = settings().with(|s| s.console.history = 2 * STREAM_BUFFER_MAX);
    let mut console = Console::restore(settings, Box::new(Seconds), state.console).unwrap();
    assert!(!console.output(ClientId(7)).0.starts_with(b"\r\n@@@ "));
}
