//! What a snapshot has to keep that the simulation's oracle does not know, and the lines that only the
//! log gets.

use std::time::Duration;

use super::{Seconds, at, console, settings, text};
use crate::config::StopInput;
use crate::console::audit::{AuditEvent, TypedContent, TypedText};
use crate::console::event::{ChildSlot, ClientId, ClientKind, Effect, Event, Role, Sink};
use crate::console::snapshot::Snapshot;
use crate::console::{Console, Settings};
use crate::limits::{STAGE_MAX, STREAM_BUFFER_MAX};

fn upgraded(console: &Console, settings: Settings) -> Console {
    let bytes = minicbor::to_vec(console.snapshot()).unwrap();
    let snapshot: Snapshot = minicbor::decode(&bytes).unwrap();
    assert_eq!(snapshot, console.snapshot());
    Console::restore(settings, Box::new(Seconds), snapshot).unwrap()
}

/// A console with a child that has filled the stream, and a client that has read none of it.
fn lagging_console() -> Console {
    let mut console = console(settings());
    console.handle_timeout(at(0));
    assert_eq!(console.poll_effect(), Some(Effect::Spawn));
    console.handle(Event::Spawned(100), at(0));
    let id = ClientId(1);
    console.handle(Event::Joined { id, role: Role::User, kind: ClientKind::Telnet }, at(0));
    let greeting = console.output(id).0.len();
    console.written(id, greeting);
    for _ in 0..STREAM_BUFFER_MAX / 65536 {
        console.handle(Event::Output(ChildSlot::Current, &[b'x'; 65536]), at(0));
    }
    console
}

#[test]
fn a_client_is_waited_for_as_long_as_before() {
    let mut old = lagging_console();
    old.update_backpressure(at(1).mono, |_| usize::MAX);
    assert_eq!(old.backpressure_deadline(at(1).mono), Some(at(5).mono));
    let mut new = upgraded(&old, settings());
    assert_eq!(new.backpressure_deadline(at(1).mono), Some(at(5).mono));
    for console in [&mut old, &mut new] {
        console.update_backpressure(at(5).mono, |_| usize::MAX);
        assert_eq!(console.backpressure_deadline(at(5).mono), None);
    }
    // A client that was given up stays so.
    let mut new = upgraded(&new, settings());
    new.update_backpressure(at(6).mono, |_| usize::MAX);
    assert_eq!(new.backpressure_deadline(at(6).mono), None);
}

#[test]
fn a_client_that_has_proved_to_read_is_waited_for_as_before() {
    let mut old = lagging_console();
    old.written(ClientId(1), STREAM_BUFFER_MAX);
    for _ in 0..STREAM_BUFFER_MAX / 65536 {
        old.handle(Event::Output(ChildSlot::Current, &[b'x'; 65536]), at(0));
    }
    let mut new = upgraded(&old, settings());
    new.update_backpressure(at(1).mono, |_| usize::MAX);
    assert_eq!(new.backpressure_deadline(at(1).mono), Some(at(21).mono));
}

#[test]
fn a_client_that_has_not_read_its_replies_is_not_read_afterwards() {
    let mut console = lagging_console();
    let id = ClientId(1);
    while console.accepts_input(id) {
        console.handle(Event::Input { id, bytes: &b"\xFF\xFD\x05".repeat(1000) }, at(1));
    }
    let mut console = upgraded(&console, settings());
    assert!(!console.accepts_input(id));
    while !console.is_drained(id) {
        assert!(console.output(id).0.len() <= STREAM_BUFFER_MAX.max(2 * STAGE_MAX));
        let count = console.output(id).0.len();
        console.written(id, count);
    }
    assert!(console.accepts_input(id));
}

fn logged() -> Settings {
    settings().with_log("/log", true).with(|s| s.log.stamp = Some(b"@".to_vec()))
}

fn logging_console() -> Console {
    let mut console = console(logged());
    console.handle(Event::LogOpened, at(0));
    console.handle(Event::Output(ChildSlot::Current, b"half"), at(1000));
    console
}

fn log(console: &mut Console) -> String {
    console.take(Sink::Log).map(|chunk| text(&chunk.bytes)).unwrap_or_default()
}

#[test]
fn only_the_log_gets_lines_about_upgrades() {
    let mut console = logging_console();
    let (id, role, kind) = (ClientId(1), Role::User, ClientKind::Terminal);
    console.handle(Event::Joined { id, role, kind }, at(1000));
    let greeting = console.output(id).0.len();
    console.written(id, greeting);
    assert_eq!(log(&mut console), "@1 half");
    let mut console = upgraded(&console, logged());
    console.handle(Event::Upgraded { version: "2.9.1" }, at(2000));
    assert!(console.is_drained(id));
    assert_eq!(log(&mut console), "\r\n@2 @@@ procServ server upgraded in place (2.9.1)\r\n");
    console.handle(Event::UpgradeFailed("no such file"), at(3000));
    assert_eq!(log(&mut console), "@3 @@@ procServ server not upgraded: no such file\r\n");
    console.handle(Event::Output(ChildSlot::Current, b"line\r\n"), at(4000));
    assert_eq!(log(&mut console), "@4 line\r\n");
}

#[test]
fn without_a_log_nothing_is_said_about_upgrades() {
    let mut console = console(settings().with(|s| s.to_stdout = true));
    console.handle(Event::Upgraded { version: "2.9.1" }, at(0));
    console.handle(Event::UpgradeFailed("no such file"), at(0));
    assert!(console.take(Sink::Log).is_none());
    assert!(console.take(Sink::Stdout).is_none());
}

#[test]
fn a_private_line_does_not_count_as_missing() {
    let note = "@@@ procServ server not upgraded: why\r\n";
    let whole = format!("\r\n@2 {note}@1 later");
    let before = whole.len() - "@1 later".len();
    for written in 0..whole.len() {
        let mut console = logging_console();
        log(&mut console);
        console.handle(Event::Output(ChildSlot::Current, b"later"), at(1000));
        console.handle(Event::UpgradeFailed("why"), at(2000));
        let chunk = console.take(Sink::Log).unwrap();
        assert_eq!(text(&chunk.bytes), whole);
        console.lost(Sink::Log, &chunk, written, true);
        // The snapshot keeps the announcement.
        let mut console = upgraded(&console, logged());
        let missing = 5 - written.saturating_sub(before + 3).min(5);
        let gap = format!("@@@ {missing} bytes are missing here\r\n");
        let expected = match written {
            0 => format!("\r\n{gap}@2 {note}"),
            _ if written < before => format!("{}{gap}", &whole[written..before]),
            _ if written == before => gap,
            _ => format!("\r\n{gap}"),
        };
        assert_eq!(log(&mut console), expected, "{written}");
        assert_eq!(log(&mut console), "");
    }
}

#[test]
fn a_private_line_after_a_failed_chunk_is_not_lost() {
    let mut console = logging_console();
    let first = console.take(Sink::Log).unwrap();
    console.handle(Event::UpgradeFailed("log is hung"), at(2000));
    let second = console.take(Sink::Log).unwrap();
    console.lost(Sink::Log, &first, 5, true);
    console.lost(Sink::Log, &second, 0, false);
    let note = "@2 @@@ procServ server not upgraded: log is hung\r\n";
    assert_eq!(log(&mut console), format!("\r\n@@@ 2 bytes are missing here\r\n{note}"));
}

#[test]
fn a_child_that_was_asked_to_end_has_its_time_as_before() {
    let plain = settings();
    let stop = StopInput { text: b"exit\r".to_vec(), wait: Duration::from_millis(10) };
    let settings = || plain.clone().with(|s| s.restart.stop_input = Some(stop.clone()));
    let mut old = console(settings());
    old.handle_timeout(at(0));
    assert_eq!(old.poll_effect(), Some(Effect::Spawn));
    old.handle(Event::Spawned(100), at(0));
    old.handle(Event::Terminate, at(1));
    let mut new = upgraded(&old, settings());
    for console in [&mut old, &mut new] {
        assert_eq!(console.child_input(), (&b"exit\r"[..], &b""[..]));
        assert_eq!(console.deadline(), Some(at(11).mono));
        console.handle_timeout(at(11));
        assert_eq!(console.poll_effect(), Some(Effect::Signal(ChildSlot::Current, 9)));
    }
}

/// The changes that follow such a snapshot do not say what was typed of which line. A line that has been
/// recorded must not be the beginning of another one.
#[test]
fn a_line_that_was_recorded_does_not_come_again_after_a_crash() {
    let recording = || {
        let mut settings = settings();
        settings.console.record_input = true;
        settings
    };
    let mut old = console(recording());
    let id = ClientId(1);
    old.handle(Event::Joined { id, role: Role::User, kind: ClientKind::Raw }, at(0));
    old.handle_timeout(at(0));
    while old.poll_effect().is_some() {}
    old.handle(Event::Spawned(100), at(0));
    old.handle(Event::Input { id, bytes: b"one" }, at(0));
    let snapshot = old.snapshot_for_changes(0, None, None);
    // A crash after the line's end.
    let mut new = Console::restore(recording(), Box::new(Seconds), snapshot).unwrap();
    new.handle(Event::Input { id, bytes: b"two\r" }, at(1));
    let events: Vec<_> = std::iter::from_fn(|| new.poll_audit_event()).collect();
    let text = TypedText { content: TypedContent::Shown(b"two".to_vec()), unfinished: false };
    assert!(events.contains(&AuditEvent::Typed(id, text)), "{events:?}");
}
