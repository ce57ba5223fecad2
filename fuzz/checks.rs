//! What must hold for any input, whether cargo-fuzz makes it or it is one of the corpus.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::time::Duration;

use procserv_ng::cli;
use procserv_ng::config::endpoint::{Access, Endpoint};
use procserv_ng::config::{
    ByteSet, ChildOptions, ConsoleOptions, LogOptions, LogTarget, RestartPolicy,
};
use procserv_ng::console::clock::{Monotonic, TimeFormatter, Timestamps, UnixTime};
use procserv_ng::console::event::{ChildSlot, Event, ExitStatus, Sink};
use procserv_ng::console::{Console, Settings};
use procserv_ng::handover::format::decode_body;
use procserv_ng::server::api::{ApiSession, Outcome};
use procserv_ng::telnet::{Decoder, LineEnds, escape};

/// The telnet decoder: however its input is cut, it gives the same; what it answers is bounded;
/// what is escaped comes back. Line ends are joined from the first command on, and nothing else is
/// changed by that. The input begins with the number of cuts and their distances.
pub fn telnet(input: &[u8]) {
    let Some((&count, input)) = input.split_first() else { return };
    let (cuts, bytes) = input.split_at(usize::from(count).min(input.len()));
    let kept = decoded_in_pieces(bytes, cuts, LineEnds::Keep);
    let joined = decoded_in_pieces(bytes, cuts, LineEnds::Join);
    // The data before the first command is the same, and so is all data but for line ends.
    let spoken = bytes.windows(2).position(|two| matches!(two, [0xFF, next] if *next != 0xFF));
    if spoken.is_none() {
        assert_eq!(kept, joined);
    }
    let always = [b"\xFF\xF1", bytes].concat();
    let (mut all_kept, mut all_joined) = (Vec::new(), Vec::new());
    Decoder::new().decode(&always, LineEnds::Keep, &mut all_kept, &mut Vec::new());
    Decoder::new().decode(&always, LineEnds::Join, &mut all_joined, &mut Vec::new());
    let mut after_cr = false;
    all_kept.retain(|&byte| {
        let belongs_to_cr = after_cr && matches!(byte, b'\n' | 0);
        after_cr = byte == b'\r';
        !belongs_to_cr
    });
    assert_eq!(all_kept, all_joined);

    let (mut wire, mut back) = (Vec::new(), Vec::new());
    escape(bytes, &mut wire);
    Decoder::new().decode(&wire, LineEnds::Join, &mut back, &mut Vec::new());
    assert_eq!(back, bytes);
}

/// Returns the data of `bytes`, which is the same in one piece and in many.
fn decoded_in_pieces(bytes: &[u8], cuts: &[u8], line_ends: LineEnds) -> Vec<u8> {
    let (mut data, mut reply) = (Vec::new(), Vec::new());
    let mut whole = Decoder::new();
    whole.decode(bytes, line_ends, &mut data, &mut reply);
    assert!(data.len() <= bytes.len() && reply.len() <= bytes.len() + 2);

    let (mut cut_data, mut cut_reply) = (Vec::new(), Vec::new());
    let mut decoder = Decoder::new();
    let mut rest = bytes;
    for &cut in cuts {
        let (head, tail) = rest.split_at(usize::from(cut).min(rest.len()));
        decoder.decode(head, line_ends, &mut cut_data, &mut cut_reply);
        rest = tail;
    }
    decoder.decode(rest, line_ends, &mut cut_data, &mut cut_reply);
    assert_eq!((&data, reply, whole), (&cut_data, cut_reply, decoder));
    data
}

/// The filter of `--log-plain`: however the output is cut, the log is the same, has neither an escape
/// nor a CR before an LF, and is what a second filter makes of it. The input begins with the number
/// of cuts and their distances.
pub fn log_plain(input: &[u8]) {
    let Some((&count, input)) = input.split_first() else { return };
    let (cuts, bytes) = input.split_at(usize::from(count).min(input.len()));
    // Longer sequences are data.
    let bytes = bytes.get(..4000).unwrap_or(bytes);
    let whole = plain_log(&[bytes]);
    let mut pieces = Vec::new();
    let mut rest = bytes;
    for &cut in cuts {
        let (head, tail) = rest.split_at(usize::from(cut).min(rest.len()));
        pieces.push(head);
        rest = tail;
    }
    pieces.push(rest);
    assert_eq!(plain_log(&pieces), whole);
    assert!(!whole.contains(&0x1B) && !whole.windows(2).any(|two| two == b"\r\n"));
    // What may be the beginning of a sequence waits for the next byte.
    let more = [&*whole, b"x"].concat();
    assert_eq!(plain_log(&[&more]), more);
}

/// Returns what the log has of these pieces of output, of which each is taken up by another console.
fn plain_log(pieces: &[&[u8]]) -> Vec<u8> {
    let settings = || {
        let mut settings = settings(false);
        settings.log.plain = true;
        settings
    };
    let now = Timestamps { mono: Monotonic(0), wall: UnixTime::from_secs(0) };
    let mut console = Console::new(settings(), Box::new(Seconds));
    console.handle(Event::LogOpened, now);
    let mut log = Vec::new();
    let mut take = |console: &mut Console| {
        while let Some(chunk) = console.take(Sink::Log) {
            log.extend_from_slice(&chunk.bytes);
        }
    };
    for piece in pieces {
        console.handle(Event::Output(ChildSlot::Current, piece), now);
        take(&mut console);
        console = Console::restore(settings(), Box::new(Seconds), console.snapshot()).unwrap();
    }
    log
}

/// The lines of programs: each is answered once by one line of JSON, whatever it is, no session gets
/// stuck, and its memory is bounded.
pub fn api(input: &[u8]) {
    let mut session = ApiSession::default();
    let mut answers = 0;
    for piece in input.chunks(97) {
        session.push(piece);
        while let Some(line) = session.take_line() {
            answers += 1;
            match line {
                Ok(line) => session.answer(line.id.as_ref(), Outcome::done()),
                Err(bad) => {
                    let outcome = Outcome::Error { error: bad.error, message: bad.message };
                    session.answer(bad.id.as_ref(), outcome);
                }
            }
            let text = session.output().to_vec();
            // The ID may be as long as a line, and each byte of it as long as `\u0000`.
            assert!(text.len() <= 8 * (64 << 10), "{} bytes", text.len());
            assert_eq!(text.iter().filter(|&&byte| byte == b'\n').count(), 1);
            let line: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
            assert!(line.get("v") == Some(&1.into()), "no answer in JSON");
            assert!(line.get("result").is_some() != line.get("error").is_some());
            session.written(text.len());
        }
        assert!(session.accepts_input(), "the session is stuck");
    }
    session.end_input();
    while let Some(line) = session.take_line() {
        answers += 1;
        drop(line);
    }
    assert!(session.is_finished(), "a line was not executed");
    let lines = input.split(|&byte| byte == b'\n');
    let lines = lines.filter(|line| !line.trim_ascii().is_empty()).count();
    assert!(answers <= lines && (lines == 0 || answers > 0), "{answers} answers to {lines} lines");
}

/// The endpoint parser: never panics, and what it prints of an endpoint is that endpoint. The
/// input begins with `l` or another letter for a log or a control endpoint, in upper case if it is
/// open to all hosts.
pub fn endpoint(input: &[u8]) {
    let Some((letter, spec)) = input.split_first() else { return };
    // The user database is no part of this.
    let place = spec.strip_prefix(b"view:").unwrap_or(spec);
    let place = place.strip_prefix(b"raw:").unwrap_or(place);
    if place.starts_with(b"unix:") && place.iter().filter(|&&byte| byte == b':').count() >= 4 {
        return;
    }
    let open = letter.is_ascii_uppercase();
    let access = match letter.to_ascii_lowercase() {
        b'l' => Access::Log { restrict: !open },
        _ => Access::Control { allow: open },
    };
    match Endpoint::parse(OsStr::from_bytes(spec), access) {
        Ok(endpoint) => {
            let printed = endpoint.to_bytes();
            let raw: &[u8] = if endpoint.raw { b"raw:" } else { b"" };
            let view: &[u8] = if endpoint.view { b"view:" } else { b"" };
            let kind = [view, raw].concat();
            let place = printed.strip_prefix(&*kind).unwrap_or(&printed);
            let spec = [&*kind, place.strip_prefix(b"tcp:").unwrap_or(place)].concat();
            assert_eq!(Endpoint::parse(OsStr::from_bytes(&spec), access), Ok(endpoint));
        }
        Err(error) => assert!(!error.message(OsStr::new("procServ")).is_empty()),
    }
}

/// The command line: never panics; what refuses to start says why, or was asked for its help or
/// version. The input is what follows the program's name, its words apart by NUL.
pub fn command_line(input: &[u8]) {
    let words = input.split(|&byte| byte == 0).map(<[u8]>::to_vec);
    let argv = std::iter::once(b"procServ".to_vec()).chain(words).map(OsString::from_vec);
    match cli::parse(argv.collect(), &|_| None) {
        Ok(config) => {
            assert!(!config.endpoints.controls.is_empty());
            assert!((0..=31).contains(&config.restart.kill_signal));
        }
        Err(exit) => assert!(match exit.code {
            0 => !exit.stdout.is_empty(),
            _ => !exit.stderr.is_empty(),
        }),
    }
}

/// The state that an upgrade hands over: a console that is taken up from it goes on without a panic,
/// and can be written down and taken up again. The input is a state's body, without the digest that
/// protects it.
pub fn state(body: &[u8]) {
    goes_on(body, false);
    goes_on(body, true);
}

fn goes_on(body: &[u8], stamped: bool) {
    let Ok(state) = decode_body(body) else {
        return;
    };
    let clients: Vec<_> = state.console.clients().map(|client| client.0).collect();
    let Ok(mut console) = Console::restore(settings(stamped), Box::new(Seconds), state.console)
    else {
        return;
    };
    let now = Timestamps { mono: Monotonic(200_000_000_000), wall: UnixTime::from_secs(200) };
    for round in 1..4 {
        console.update_backpressure(now.mono, |_| round);
        console.backpressure_deadline(now.mono);
        console.handle_timeout(now);
        console.handle(Event::Output(ChildSlot::Current, b"\xFFoutput\n"), now);
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
                console.discard_pending(sink);
            }
        }
        console.child_input_written(3);
        console.release_idle_memory();
        while console.poll_effect().is_some() {}
        while console.poll_audit_event().is_some() {}
        let record = console.snapshot();
        // What a console wrote, one can read.
        console = Console::restore(settings(stamped), Box::new(Seconds), record).unwrap();
    }
    console.handle(Event::Exited(ChildSlot::Current, ExitStatus::Code(1)), now);
    console.handle(Event::Terminate, now);
}

struct Seconds;

impl TimeFormatter for Seconds {
    fn format(&self, time: UnixTime, format: &[u8]) -> Vec<u8> {
        [format, time.seconds.to_string().as_bytes(), b" "].concat()
    }
}

fn settings(stamped: bool) -> Settings {
    Settings {
        version: b"procServ".to_vec(),
        server_pid: 7,
        server_started: UnixTime::from_secs(99),
        server_dir: b"/".to_vec(),
        to_stdout: true,
        log_opened: true,
        child: ChildOptions {
            command: "./st.cmd".into(),
            name: "IOC".into(),
            ..ChildOptions::default()
        },
        restart: RestartPolicy {
            holdoff_max: Duration::from_secs(60),
            ready: stamped.then(|| b"epics>".to_vec()),
            signal_status: true,
            kill_orphans: true,
            daemon_pid_file: Some("/pid".into()),
            ..RestartPolicy::default()
        },
        log: LogOptions {
            target: Some(LogTarget::File("/log".into())),
            stamp: stamped.then(|| b"@\xFF".to_vec()),
            syslog: Some(Vec::new()),
            ..LogOptions::default()
        },
        console: ConsoleOptions {
            ignore: ByteSet::EMPTY,
            history: if stamped { 0 } else { 1000 },
            time_format: b"T".to_vec(),
            ..ConsoleOptions::default()
        },
    }
}
