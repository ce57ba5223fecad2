//! A state's body that no digest protects: a console that is taken up from it goes on without a
//! panic, and can be written down and taken up again.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use procserv::config::{ByteSet, CommandChars, RestartMode, Wording};
use procserv::core::clock::{Calendar, Moment, Now, UnixTime};
use procserv::core::event::{Event, ExitStatus, Sink};
use procserv::core::{Console, Settings};
use procserv::handover::format::decode_body;

struct Seconds;

impl Calendar for Seconds {
    fn format(&self, time: UnixTime, format: &[u8]) -> Vec<u8> {
        [format, time.0.to_string().as_bytes(), b" "].concat()
    }
}

fn settings(stamped: bool) -> Settings {
    Settings {
        version: b"procServ".to_vec(),
        server_pid: 7,
        server_started: UnixTime(99),
        server_dir: b"/".to_vec(),
        child_dir: b"/".to_vec(),
        name: b"IOC".to_vec(),
        command: b"./st.cmd".to_vec(),
        executed: b"./st.cmd".to_vec(),
        log: Some((b"/log".to_vec(), true)),
        log_stamp: stamped.then(|| b"@\xFF".to_vec()),
        to_stdout: true,
        to_syslog: true,
        commands: CommandChars { kill: Some(0x18), toggle: Some(0x14), logout: None },
        ignore: ByteSet::EMPTY,
        kill_signal: 9,
        holdoff: Duration::from_secs(15),
        holdoff_max: Duration::from_secs(60),
        signal_status: true,
        grace: Duration::ZERO,
        restart: RestartMode::On,
        wait: false,
        ready: stamped.then(|| b"epics>".to_vec()),
        kill_orphans: true,
        daemonizes: true,
        overlap: None,
        time_format: b"T".to_vec(),
        history: if stamped { 0 } else { 1000 },
        wording: Wording::Current,
    }
}

fuzz_target!(|body: &[u8]| {
    let Ok(state) = decode_body(body) else {
        return;
    };
    let stamped = body.len() % 2 == 0;
    let clients: Vec<_> = state.console.clients().map(|client| client.0).collect();
    let Ok(mut console) = Console::restore(settings(stamped), Box::new(Seconds), state.console)
    else {
        return;
    };
    let now = Now { mono: Moment(200_000_000_000), wall: UnixTime(200) };
    for round in 1..4 {
        console.pace_clients(now.mono);
        console.clients_need_until(now.mono);
        console.handle_timeout(now);
        console.handle(Event::Output(b"\xFFoutput\n"), now);
        for &id in &clients {
            if console.accepts_input(id) {
                console.handle(Event::Input { id, bytes: b"typed\xFF\xFD\x03\xFF" }, now);
            }
            let (first, second) = console.output(id);
            let count = (first.len() + second.len()) / round;
            console.written(id, count);
        }
        console.handle(Event::Upgraded { version: "2" }, now);
        for sink in [Sink::Log, Sink::Stdout, Sink::Syslog] {
            if let Some(chunk) = console.take(sink) {
                console.lost(sink, &chunk, (chunk.bytes.len() - 1) / round, true);
            }
            if round == 2 {
                console.give_up(sink);
            }
        }
        console.child_input_written(3);
        console.rest();
        while console.poll_effect().is_some() {}
        while console.poll_entry().is_some() {}
        let record = console.record();
        console = Console::restore(settings(stamped), Box::new(Seconds), record)
            .expect("what a console wrote");
    }
    console.handle(Event::Exited(ExitStatus::Code(1)), now);
    console.handle(Event::Terminate, now);
});
