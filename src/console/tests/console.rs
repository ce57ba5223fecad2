//! The console as a whole.

use std::time::Duration;

use super::{at, console, settings, text};
use crate::config::OverlapOptions;
use crate::console::audit::AuditEvent;
use crate::console::event::{
    ChildSlot, ClientId, ClientKind, DisconnectReason, Effect, Event, ExitStatus, Role, Sink,
    Subsystem,
};
use crate::console::{Console, Settings};
use crate::limits::{PTY_BUDGET, STAGE_MAX, STREAM_BUFFER_MAX, STREAM_BUFFER_MIN};

const A: ClientId = ClientId(1);

/// A console with standard output as a reader.
fn watched(settings: Settings) -> Console {
    console(settings.with(|s| s.to_stdout = true))
}

fn effects(console: &mut Console) -> Vec<Effect> {
    std::iter::from_fn(|| console.poll_effect()).collect()
}

/// What standard output gets.
fn said(console: &mut Console) -> String {
    let chunks = std::iter::from_fn(|| console.take(Sink::Stdout));
    text(&chunks.flat_map(|chunk| chunk.bytes).collect::<Vec<u8>>())
}

/// The child runs since 0.
fn running(settings: Settings) -> Console {
    let mut console = watched(settings);
    console.handle_timeout(at(0));
    assert_eq!(effects(&mut console), [Effect::Spawn]);
    console.handle(Event::Spawned(100), at(0));
    said(&mut console);
    console
}

const START: &str = "@@@ Restarting child \"IOC\"\r\n@@@    (as ./st.cmd)\r\n\
    @@@ The PID of new child \"IOC\" is: 101\r\n@@@ @@@ @@@ @@@ @@@\r\n";
const END: &str = "\r\n@@@ @@@ @@@ @@@ @@@\r\n\
    @@@ Received a sigChild for process 100. Normal exit status = 3\r\n";
const SHUTTING_DOWN: &str = "@@@ Current time: T20 \r\n\
    @@@ Child process is shutting down, a new one will be restarted shortly\r\n\
    @@@ ^R or ^X restarts the child, ^Q quits the server\r\n";

#[test]
fn a_child_ends_and_is_replaced() {
    let mut console = running(settings());
    console.handle(Event::Output(ChildSlot::Current, b"last words"), at(20_000));
    console.handle(Event::Exited(ChildSlot::Current, ExitStatus::Code(3)), at(20_000));
    assert_eq!(effects(&mut console), [Effect::Reap(ChildSlot::Current)]);
    assert_eq!(said(&mut console), format!("last words{END}{SHUTTING_DOWN}"));
    console.handle_timeout(at(20_000));
    assert_eq!(effects(&mut console), [Effect::Spawn]);
    console.handle(Event::Spawned(101), at(20_000));
    assert_eq!(said(&mut console), START);
    assert_eq!(console.deadline(), None);
}

#[test]
fn timeouts_that_are_not_due_do_nothing() {
    let mut console = running(settings());
    for millis in [0, 1, 15_000, 99_000] {
        console.handle_timeout(at(millis));
    }
    assert_eq!(effects(&mut console), []);
    assert_eq!(said(&mut console), "");
}

#[test]
fn sigterm_with_a_child() {
    let mut console = running(settings());
    console.handle(Event::Terminate, at(19_000));
    assert_eq!(effects(&mut console), [Effect::Signal(ChildSlot::Current, 9)]);
    console.handle(Event::Terminate, at(19_000));
    assert_eq!(effects(&mut console), []);
    console.handle(Event::Output(ChildSlot::Current, b"half"), at(19_500));
    console.handle(Event::Exited(ChildSlot::Current, ExitStatus::Code(3)), at(20_000));
    assert_eq!(effects(&mut console), [Effect::Reap(ChildSlot::Current), Effect::Exit(0)]);
    // There is no empty line before, not even after half a line, and nothing about the signal.
    assert_eq!(said(&mut console), format!("half{SHUTTING_DOWN}"));
}

#[test]
fn sigterm_with_another_signal_and_no_grace() {
    let mut console = running(settings().with(|s| s.restart.kill_signal = 15));
    console.handle(Event::Terminate, at(19_000));
    assert_eq!(
        effects(&mut console),
        [Effect::Signal(ChildSlot::Current, 15), Effect::Signal(ChildSlot::Current, 9)]
    );
}

#[test]
fn sigterm_with_a_grace_period() {
    let grace = Duration::from_secs(5);
    let mut console = running(settings().with(|s| {
        s.restart.kill_signal = 15;
        s.restart.grace = grace;
    }));
    console.handle(Event::Terminate, at(14_000));
    assert_eq!(effects(&mut console), [Effect::Signal(ChildSlot::Current, 15)]);
    console.handle_timeout(at(18_999));
    assert_eq!(effects(&mut console), []);
    console.handle_timeout(at(19_000));
    assert_eq!(effects(&mut console), [Effect::Signal(ChildSlot::Current, 9)]);
    // The child survives SIGKILL, so the server exits without it, once.
    console.handle_timeout(at(20_000));
    console.handle(Event::Exited(ChildSlot::Current, ExitStatus::Signal(9)), at(20_000));
    assert_eq!(effects(&mut console), [Effect::Exit(0)]);
    assert_eq!(said(&mut console), SHUTTING_DOWN);
    assert_eq!(console.deadline(), None);
}

#[test]
fn sigterm_without_a_child_says_nothing() {
    let mut console = watched(settings().with(|s| s.restart.wait = true));
    console.handle(Event::Terminate, at(0));
    console.handle(Event::Terminate, at(0));
    assert_eq!(effects(&mut console), [Effect::Exit(0)]);
    assert_eq!(said(&mut console), "");
}

#[test]
fn a_child_that_closes_its_terminal_is_killed() {
    let mut console = running(settings());
    console.handle(Event::OutputClosed(ChildSlot::Current), at(1_000));
    assert_eq!(effects(&mut console), [Effect::Signal(ChildSlot::Current, 9)]);
}

#[test]
fn a_failed_start_is_said_on_a_line_of_its_own() {
    let mut console = running(settings());
    console.handle(Event::Output(ChildSlot::Current, b"\n$ "), at(0));
    console.handle(Event::AcceptFailed { endpoint: "tcp:0.0.0.0:1", reason: "R" }, at(0));
    let line = "@@@ Endpoint tcp:0.0.0.0:1: R, new connections have to wait\r\n";
    assert_eq!(said(&mut console), format!("\n$ \r\n{line}"));
    console.handle(Event::AcceptFailed { endpoint: "tcp:0.0.0.0:1", reason: "R" }, at(0));
    assert_eq!(said(&mut console), line);
}

#[test]
fn a_failure_of_the_log_is_said_once() {
    let mut console = watched(settings().with_log("/l", true));
    console.handle(Event::LogOpened, at(0));
    let line = "@@@ Log file /l: R, output is not being logged\r\n";
    for _ in 0..3 {
        console.handle(Event::Failed(Subsystem::Log, "R"), at(0));
    }
    assert_eq!(said(&mut console), line);
    console.handle(Event::LogOpened, at(0));
    assert_eq!(said(&mut console), "");
    console.handle(Event::Failed(Subsystem::Log, "R"), at(0));
    assert_eq!(said(&mut console), line);
}

#[test]
fn a_log_that_is_opened_later_begins_there() {
    let mut console = running(settings());
    console.handle(Event::Output(ChildSlot::Current, b"before"), at(0));
    assert!(console.take(Sink::Log).is_none());
    assert!(console.is_sink_drained(Sink::Log) && console.log_has_room());
    console.handle(Event::LogOpened, at(0));
    console.handle(Event::Output(ChildSlot::Current, b"after"), at(0));
    assert!(!console.is_sink_drained(Sink::Log));
    assert_eq!(text(&console.take(Sink::Log).unwrap().bytes), "after");
    // A log that recovers does not begin again.
    console.handle(Event::LogOpened, at(0));
    console.handle(Event::Output(ChildSlot::Current, b"more"), at(0));
    assert_eq!(text(&console.take(Sink::Log).unwrap().bytes), "more");
}

#[test]
fn a_log_that_takes_long_to_open_has_what_was_said_meanwhile() {
    let mut console = running(settings());
    console.handle(Event::Output(ChildSlot::Current, b"before"), at(0));
    console.begin_log();
    console.handle(Event::Output(ChildSlot::Current, b"in vain"), at(0));
    console.handle(Event::LogOpenFailed("R"), at(0));
    console.handle(Event::Output(ChildSlot::Current, b"then"), at(0));
    console.begin_log();
    console.handle(Event::Output(ChildSlot::Current, b"meanwhile"), at(0));
    assert!(console.take(Sink::Log).is_none());
    console.handle(Event::LogOpened, at(0));
    console.handle(Event::Output(ChildSlot::Current, b", after"), at(0));
    assert_eq!(text(&console.take(Sink::Log).unwrap().bytes), "meanwhile, after");
}

#[test]
fn a_log_that_is_far_behind_has_no_room() {
    let mut console = running(settings());
    console.handle(Event::LogOpened, at(0));
    let room = STREAM_BUFFER_MAX - 2 * PTY_BUDGET;
    for _ in 0..room / PTY_BUDGET {
        console.handle(Event::Output(ChildSlot::Current, &[b'x'; PTY_BUDGET]), at(0));
        assert!(console.log_has_room());
    }
    console.handle(Event::Output(ChildSlot::Current, b"x"), at(0));
    assert!(!console.log_has_room());
    console.take(Sink::Log);
    assert!(console.log_has_room());
}

#[test]
fn the_counters_count_terminals_but_no_pipes() {
    let mut console = watched(settings());
    let clients = [
        (Role::User, ClientKind::Terminal),
        (Role::User, ClientKind::Pipe),
        (Role::User, ClientKind::Telnet),
        (Role::Logger, ClientKind::Telnet),
        (Role::Logger, ClientKind::Telnet),
    ];
    for (n, (role, kind)) in clients.into_iter().enumerate() {
        console.handle(Event::Joined { id: ClientId(10 + n as u64), role, kind }, at(0));
    }
    console.handle(Event::Left { id: ClientId(13), reason: DisconnectReason::Closed }, at(0));
    console.handle(Event::Joined { id: A, role: Role::User, kind: ClientKind::Telnet }, at(0));
    let greeting = text(console.output(A).0);
    assert!(greeting.contains("@@@ 2 user(s) and 1 logger(s) connected (plus you)\r\n"));
}

#[test]
fn a_pipe_is_always_drained() {
    let mut console = running(settings());
    console.handle(Event::Joined { id: A, role: Role::User, kind: ClientKind::Pipe }, at(0));
    console.handle(Event::Output(ChildSlot::Current, b"x"), at(0));
    assert!(console.is_drained(A));
}

#[test]
fn a_socket_gets_the_offer_after_the_greeting() {
    let mut console = watched(settings());
    console.handle(Event::Joined { id: A, role: Role::Logger, kind: ClientKind::Telnet }, at(0));
    assert!(console.output(A).0.ends_with(
        b"T1 \r\n@@@ ^R or ^X restarts the child, ^Q quits the \
        server\r\n\xFF\xFB\x01\xFF\xFD\x22"
    ));
}

#[test]
fn a_client_that_does_not_read_answers_is_not_read() {
    let mut console = watched(settings());
    console.handle(Event::Joined { id: A, role: Role::User, kind: ClientKind::Telnet }, at(0));
    let requests = b"\xFF\xFD\x05".repeat(STAGE_MAX / 3 + 1);
    assert!(console.accepts_input(A));
    console.handle(Event::Input { id: A, bytes: &requests }, at(0));
    assert!(!console.accepts_input(A));
    let count = console.output(A).0.len();
    console.written(A, count - 1);
    assert!(!console.accepts_input(A));
    console.written(A, 1);
    assert!(console.accepts_input(A));
}

#[test]
fn memory_that_no_reader_needs_is_given_back() {
    let mut console = running(settings());
    for _ in 0..40 {
        console.handle(Event::Output(ChildSlot::Current, &[b'x'; PTY_BUDGET]), at(0));
    }
    console.release_idle_memory();
    assert_eq!(console.stream.memory(), STREAM_BUFFER_MAX, "standard output needs it");
    said(&mut console);
    console.release_idle_memory();
    assert_eq!(console.stream.memory(), STREAM_BUFFER_MIN);
    console.handle(Event::AcceptFailed { endpoint: "E", reason: "R" }, at(0));
    assert!(said(&mut console).starts_with("\r\n@@@"), "the line is open still");
}

/// An old child that is not replaced after all is ready as soon as it has written the text.
#[test]
fn an_old_child_becomes_ready_too() {
    let overlap =
        OverlapOptions { after: Duration::from_secs(9), grace: Duration::ZERO, command: None };
    let ready = Some(b"ready".to_vec());
    let mut console = running(settings().with(|s| {
        s.restart.overlap = Some(overlap);
        s.restart.ready = ready;
    }));
    console.handle(Event::Output(ChildSlot::Current, b"rea"), at(0));
    console.handle(Event::Reload, at(0));
    assert_eq!(effects(&mut console), [Effect::SpawnReplacement]);
    console.handle(Event::Spawned(101), at(0));
    console.handle(Event::Output(ChildSlot::Current, b"dy"), at(0));
    assert!(!console.status().ready);
    console.handle(Event::Output(ChildSlot::Old, b"dy"), at(0));
    assert!(console.status().ready && !console.child_is_ready());
    let events: Vec<AuditEvent> = std::iter::from_fn(|| console.poll_audit_event()).collect();
    assert_eq!(events.last(), Some(&AuditEvent::Ready(100)));
    console.handle(Event::Exited(ChildSlot::Current, ExitStatus::Code(1)), at(1));
    assert!(console.child_is_ready());
}
