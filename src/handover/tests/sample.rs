//! A server in the middle of its work, and what has to come of it. Its state as 0.1.0 wrote it is kept in
//! `tests/samples` and read for ever.

use super::*;
use crate::config::WindowSize;
use crate::console::Chunk;
use crate::console::event::{ChildSlot, Role, Subsystem};
use crate::console::snapshot::Snapshot;
use crate::handover::state::{
    ApiState, ClientState, HistoryState, JournalState, PassedSinkState, RecordedChild, RecordsState,
};
use crate::sys::process::user::Account;

/// A console with two users and a logger, of which none has everything; its log has just failed.
fn busy_console() -> Console {
    let mut console = Console::new(settings(), Box::new(Seconds));
    let at = |second: u64| Timestamps {
        mono: Monotonic(second * 1_000_000_000),
        wall: UnixTime::from_secs(second as i64),
    };
    console.handle(Event::LogOpened, at(100));
    console.handle_timeout(at(100));
    assert_eq!(console.poll_effect(), Some(Effect::Spawn));
    console.handle(Event::Spawned(4241), at(100));
    console.handle(Event::Reload, at(100));
    assert_eq!(console.poll_effect(), Some(Effect::SpawnReplacement));
    console.handle(Event::Spawned(4242), at(100));
    console.handle(Event::ChildReady, at(100));
    assert_eq!(console.poll_effect(), Some(Effect::Signal(ChildSlot::Old, 15)));
    // Sizes of two windows come soon after another.
    let window =
        [&b"\xFF\xFB\x1F\xFF\xFA\x1F\0\x50\0\x18\xFF\xF0"[..], b"\xFF\xFA\x1F\0\x64\0\x20\xFF\xF0"];
    let clients = [(7, Role::User), (8, Role::User), (9, Role::Logger)];
    for (id, role) in clients {
        let joined = Event::Joined { id: ClientId(id), role, kind: ClientKind::Telnet };
        console.handle(joined, at(101));
    }
    for bytes in window {
        console.handle(Event::Input { id: ClientId(7), bytes }, at(101));
    }
    let set = WindowSize { columns: 80, rows: 24 };
    assert_eq!(console.poll_effect(), Some(Effect::SetWindow(set)));
    let typed = Event::Input { id: ClientId(7), bytes: b"dbpr \xFF\xFA\x1F\x01" };
    console.handle(typed, at(101));
    console.handle(Event::Output(ChildSlot::Current, b"epics> \xFFdbl\r\ntemp"), at(102));
    read(&mut console, 7, usize::MAX);
    read(&mut console, 8, 100);
    read(&mut console, 9, usize::MAX);
    let told = b"\xFF\xFB\x1F\xFF\xFA\x1F\0\x90\0\x32\xFF\xF0";
    console.handle(Event::Input { id: ClientId(8), bytes: told }, at(102));
    let set = WindowSize { columns: 100, rows: 32 };
    assert_eq!(console.poll_effect(), Some(Effect::SetWindow(set)));
    let typed = Event::Input { id: ClientId(8), bytes: b"ls\r\xFF\xFD\x03\xFF" };
    console.handle(typed, at(102));
    console.handle(Event::Output(ChildSlot::Current, b"erature\r\npress"), at(103));
    read(&mut console, 9, 10);
    console.take(Sink::Stdout).unwrap();
    let chunk = console.take(Sink::Log).unwrap();
    console.lost(Sink::Log, &chunk, chunk.bytes.len() - 8, true);
    console.handle(Event::Output(ChildSlot::Old, b"bye\r\n"), at(103));
    console.handle(Event::Failed(Subsystem::Log, "No space left on device"), at(103));
    console.handle(Event::UpgradeFailed("exit status 127"), at(104));
    assert_eq!(console.poll_effect(), None);
    console
}

pub fn state() -> State {
    let mut state = first(busy_console().snapshot());
    let [entry, exit] = [40, 41].map(|number| descriptor(number, 0o140_000));
    let retry = state.log.and_then(|log| log.retry);
    state.passed_log = Some(PassedSinkState { entry, exit, retry });
    state.api = vec![ApiState {
        id: 7,
        input: Text(b"{\"requ".to_vec()),
        discarding: true,
        input_ended: true,
        output: Text(b"{\"v\":1}\n".to_vec()),
        subscribed: true,
        skipped: 5,
    }];
    state.records.history = HistoryState {
        ends: vec!["{\"pid\":4240,\"code\":1}".to_owned()],
        children: vec![RecordedChild {
            pid: 4242,
            started: 100_000,
            cause: Some("{\"signal\":\"SIGTERM\"}".to_owned()),
        }],
        reload: Some("{\"command\":\"reload\"}".to_owned()),
        upgrades: 2,
        crashes: 1,
        last_server: Some("{\"pid\":7}".to_owned()),
        skipped: 4096,
    };
    state.records.journal = JournalState { sent: 278, lost: 9, untold: 2 };
    state
}

fn descriptor(number: i32, kind: u32) -> Descriptor {
    Descriptor { number, kind, device: 24, inode: 9000 }
}

/// A console's server, as the first sample has it.
fn first(console: Snapshot) -> State {
    let connection = |id: u64| ConnectionState {
        id,
        stream: descriptor(id as i32 + 10, 0o140_000),
        kind: ConnectionKind::Telnet,
    };
    State {
        version: "procServ Process Server 2.9.0 (procserv-ng 0.1.0)".to_owned(),
        argv: [&b"procServ"[..], b"-n", b"IOC\xFF", b"2000", b"./st.cmd"]
            .map(|arg| Text(arg.to_vec()))
            .to_vec(),
        started: 99,
        started_nanos: 0,
        open_files: Some((1024, 524_288)),
        next_token: 10,
        console,
        child: Some(ChildState {
            pid: 4242,
            pty: descriptor(12, 0o020_000),
            pidfd: Some(descriptor(16, 0o100_000)),
            notify_socket: Some(descriptor(21, 0o140_000)),
            start_ticks: Some(123_456),
        }),
        old_child: Some(ChildState {
            pid: 4241,
            pty: descriptor(22, 0o020_000),
            pidfd: None,
            notify_socket: None,
            start_ticks: Some(123_455),
        }),
        listeners: vec![ListenerState {
            role: Role::User,
            socket: descriptor(13, 0o140_000),
            file: Some(FileId { device: 25, inode: 77 }),
            raw: true,
        }],
        connections: vec![connection(7), connection(8), connection(9)],
        log: Some(SinkState {
            file: descriptor(14, 0o100_000),
            retry: Some(Retry { at: 104_000_000_000, on_output: false }),
        }),
        stdout: Some(SinkState { file: descriptor(3, 0o010_000), retry: None }),
        dir: Text(b"/srv/ioc".to_vec()),
        store: Some(descriptor(15, 0o100_000)),
        child_sockets: vec![ChildSocketState {
            uri: Text(b"unix:///run/web".to_vec()),
            socket: descriptor(20, 0o140_000),
            name: Text(b"listen.0".to_vec()),
            file: Some(FileId { device: 25, inode: 78 }),
            passed: true,
        }],
        records: RecordsState {
            pending: Text(b"{\"v\":1}\n".to_vec()),
            lost: 3,
            clients: vec![ClientState {
                id: 7,
                role: Role::User,
                endpoint: "tcp:127.0.0.1:2000".to_owned(),
                since: 101,
            }],
            history: HistoryState::default(),
            journal: JournalState::default(),
        },
        account: Some(account()),
        descendants_since: Some(77_000),
        program: Some(Text(b"/opt/current/procServ".to_vec())),
        passed_log: None,
        api: Vec::new(),
    }
}

fn account() -> Account {
    Account {
        uid: 1001,
        gid: 1001,
        groups: vec![1001, 20],
        tty: Some(5),
        name: b"ioc".to_vec(),
        home: b"/home/ioc".to_vec(),
        shell: b"/bin/sh".to_vec(),
    }
}

fn read(console: &mut Console, id: u64, most: usize) -> String {
    let mut all = Vec::new();
    while all.len() < most {
        let (first, second) = console.output(ClientId(id));
        let mut bytes = [first, second].concat();
        bytes.truncate(most - all.len());
        if bytes.is_empty() {
            break;
        }
        console.written(ClientId(id), bytes.len());
        all.extend(bytes);
    }
    all.escape_ascii().to_string()
}

fn text(chunk: Option<Chunk>) -> String {
    chunk.unwrap().bytes.escape_ascii().to_string()
}

#[test]
fn the_first_sample_is_read() {
    let state = decode(&std::fs::read(frozen::path("state-2-1")).unwrap()).unwrap();
    assert_eq!(state, first(state.console.clone()));
    let mut console = Console::restore(settings(), Box::new(Seconds), state.console).unwrap();
    let trouble = "@@@ Log file /log: No space left on device, output is not being logged\\r\\n";

    let news = format!("erature\\r\\npress\\r\\n{trouble}");
    assert_eq!(read(&mut console, 7, usize::MAX), news);
    let rest = read(&mut console, 8, usize::MAX);
    assert!(
        rest.starts_with(" toggle auto restart\\r\\n@@@ procServ server PID: 7\\r\\n"),
        "{rest}"
    );
    let end = format!("\\xff\\xfc\\x03epics> \\xff\\xffdbl\\r\\ntemp{news}");
    assert!(rest.ends_with(&end), "{rest}");
    assert_eq!(read(&mut console, 9, usize::MAX), format!("103] press\\r\\n[103] {trouble}"));
    assert_eq!(text(console.take(Sink::Stdout)), format!("\\r\\n{trouble}"));
    let log = "\\r\\n@@@ 5 bytes are missing here\\r\\n\
               [104] @@@ procServ server not upgraded: exit status 127\\r\\n";
    assert_eq!(text(console.take(Sink::Log)), format!("{log}[103] \\r\\n[103] {trouble}"));

    let now = Timestamps { mono: Monotonic(105_000_000_000), wall: UnixTime::from_secs(105) };
    assert_eq!(console.child_input(), (&b"dbpr ls\r"[..], &b""[..]));
    // The one is in a subnegotiation, the other after an IAC.
    for (id, bytes) in [(7, &b"no\xFF\xF0x"[..]), (8, b"\xFFy")] {
        console.handle(Event::Input { id: ClientId(id), bytes }, now);
    }
    let (first, second) = console.child_input();
    assert_eq!([first, second].concat(), b"dbpr ls\rx\xFFy");
    // The log's trouble has been told, and the child's start counts.
    console.handle(Event::Failed(Subsystem::Log, "No space left on device"), now);
    assert_eq!(read(&mut console, 7, usize::MAX), "");
    console.handle(Event::Exited(ChildSlot::Current, ExitStatus::Code(3)), now);
    assert_eq!(console.deadline(), Some(Monotonic(115_000_000_000)));
}
