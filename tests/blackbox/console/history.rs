//! `--history`: what a client is given of what was said before it came.

use crate::support::{Client, NEGOTIATION, TestEnv, TestServer, cases, find, show};
use nix::sys::signal::Signal;
use std::fs;

cases![
    client_gets_what_was_said,
    without_the_option_it_gets_nothing,
    log_client_gets_it_too,
    log_client_gets_it_stamped_by_arrival,
    raw_client_gets_it_too,
    it_begins_with_a_line,
    it_begins_anywhere_in_a_line_without_end,
    it_is_the_last_bytes_only,
    it_joins_live_output_without_a_seam,
    client_that_reads_late_gets_it_whole,
    child_that_is_dead_is_remembered,
    byte_0xff_is_doubled_for_telnet_only,
    it_outlives_an_upgrade,
    last_size_counts,
    bad_sizes_are_errors,
];

/// What follows the greeting, up to and including `last`.
fn past(client: &mut Client, last: &str) -> String {
    client.greeting();
    String::from_utf8_lossy(&client.until(last)).into_owned()
}

/// A child that says something and then echoes, and a client that has seen it.
fn said(env: &TestEnv, options: &[&str], text: &str, last: &str) -> (TestServer, Client) {
    let setup = env.server().opts(["-w"]).log_endpoint().opts(options);
    let server = setup.child(["raw", "print", text, "say", last, "cat"]).start();
    let mut user = server.connect();
    user.greeting();
    user.send(b"\x12");
    user.until(format!("{last}\r\n"));
    (server, user)
}

fn client_gets_what_was_said(env: &TestEnv) {
    let (server, mut first) = said(env, &["--history", "10k"], "one\\ntwo\\n", "READY");
    let mut second = server.connect();
    second.greeting();
    // Messages of the server are part of it.
    second.expect(
        "\
@@@ Restarting child \"./fake-ioc\"
@@@ The PID of new child \"./fake-ioc\" is: <pid>
@@@ @@@ @@@ @@@ @@@
one
two
READY
",
    );
    first.send(b"and live\n");
    second.expect("and live\n");
    first.expect("and live\n");
}

fn without_the_option_it_gets_nothing(env: &TestEnv) {
    for options in [&[][..], &["--history", "0"]] {
        let (server, mut first) = said(env, options, "one\\n", "READY");
        let mut second = server.connect();
        second.greeting();
        first.send(b"live\n");
        assert_eq!(second.until("live\r\n"), b"live\r\n");
    }
}

fn log_client_gets_it_too(env: &TestEnv) {
    let (server, _first) = said(env, &["--history", "10k"], "one\\n", "READY");
    let mut logger = server.connect_log();
    let past = past(&mut logger, "READY\r\n");
    assert!(past.starts_with("@@@ Restarting child"), "{past}");
    assert!(past.ends_with("\r\none\r\nREADY\r\n"), "{past}");
}

fn log_client_gets_it_stamped_by_arrival(env: &TestEnv) {
    let options = ["--history", "10k", "--logstamp=[%s] "];
    let setup = env.server().log_endpoint().opts(options).logged();
    let child = ["raw", "say", "first", "wait-for", "go", "say", "second", "cat"];
    let server = setup.child(child).start();
    let log = String::from_utf8(server.file_with("log", "first\r\n")).unwrap();
    let stamp = log.lines().last().unwrap().to_owned();
    // Another second begins.
    let mut user = server.connect();
    let first: u64 = stamp[1..stamp.find(']').unwrap()].parse().unwrap();
    env.wait_for("the next second", || {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        (now.as_secs() > first + 1).then_some(())
    });
    fs::write(server.path("go"), "").unwrap();
    user.until("second\r\n");
    let log = server.file_with("log", "second\r\n");
    let mut logger = server.connect_log();
    logger.greeting();
    let past = logger.until("second\r\n");
    assert_eq!(show(&past), show(&log), "as in the log");
    // A control client's are never stamped.
    assert!(find(user.received(), format!("[{first}]").as_bytes()).is_none());
    let mut user = server.connect();
    user.greeting();
    assert!(user.until("second\r\n").starts_with(b"@@@ Restarting"));
}

fn raw_client_gets_it_too(env: &TestEnv) {
    let options = ["--history", "10k", "-P", "raw:unix:raw"];
    let (server, _first) = said(env, &options, "a\\xffb\\n", "READY");
    let mut raw = server.connect_to("unix:raw");
    raw.until("connected (plus you)\r\n");
    let past = raw.until("READY\r\n");
    assert!(past.starts_with(b"@@@ Restarting child"), "{}", show(&past));
    assert!(past.ends_with(b"\r\na\xffb\r\nREADY\r\n"), "{}", show(&past));
}

fn it_begins_with_a_line(env: &TestEnv) {
    // "four\r\n" "READY\r\n" are 13 bytes, and the line before needs 7 more.
    for (size, expected) in [
        ("12", "READY\r\n"),
        ("13", "four\r\nREADY\r\n"),
        ("19", "four\r\nREADY\r\n"),
        ("20", "three\r\nfour\r\nREADY\r\n"),
    ] {
        let (server, _first) = said(env, &["--history", size], "three\\nfour\\n", "READY");
        let mut second = server.connect();
        assert_eq!(past(&mut second, "READY\r\n"), expected, "{size}");
    }
}

fn it_begins_anywhere_in_a_line_without_end(env: &TestEnv) {
    let (server, mut first) = said(env, &["--history", "4"], "a long line: ", "END");
    first.send(b"0123456789");
    first.until("0123456789");
    let mut second = server.connect();
    assert_eq!(past(&mut second, "9"), "6789");
}

fn it_is_the_last_bytes_only(env: &TestEnv) {
    let setup = env.server().opts(["--history", "1k"]).log_endpoint().logged();
    let server = setup.child(["emit", "500000", "say", "END", "cat"]).start();
    let log = server.file_with("log", "END\r\n");
    for mut client in [server.connect(), server.connect_log()] {
        client.greeting();
        let past = client.until("END\r\n");
        assert!(log.ends_with(&past));
        // Lines are 65 bytes here.
        assert!((1024 - 65..=1024).contains(&past.len()), "{}", past.len());
        assert_eq!(log[log.len() - past.len() - 1], b'\n');
    }
}

/// Clients come while the child writes. All of it is less than anybody may lag.
fn it_joins_live_output_without_a_seam(env: &TestEnv) {
    const BURSTS: usize = 20;
    let setup = env.server().opts(["--history", "300k"]).log_endpoint().logged();
    let burst = |number| ["wait-for".to_owned(), format!("go{number}"), "emit".to_owned()];
    let bursts =
        (0..BURSTS).flat_map(|number| burst(number).into_iter().chain(["60000".to_owned()]));
    let end = ["say", "END", "cat"].map(str::to_owned);
    let server = setup.child(bursts.chain(end)).start();
    let mut clients = Vec::new();
    for number in 0..BURSTS {
        env.wait_for("the burst before", || {
            let said = fs::metadata(server.path("log")).ok()?.len();
            (said >= 60_000 * number as u64).then_some(())
        });
        fs::write(server.path(format!("go{number}")), "").unwrap();
        clients.push(server.connect());
        clients.push(server.connect_log());
    }
    let log = server.file_with("log", "END\r\n");
    for client in &mut clients {
        client.greeting();
        let got = client.until("END\r\n");
        assert!(log.ends_with(&got), "a gap or a repeat");
        let begins_line = log.len() == got.len() || log[log.len() - got.len() - 1] == b'\n';
        assert!(begins_line, "in the middle of a line");
    }
    let cut = clients.iter().filter(|client| client.received().len() < log.len());
    assert!(cut.count() > 0, "all came too early");
}

fn client_that_reads_late_gets_it_whole(env: &TestEnv) {
    let setup = env.server().opts(["--history", "3M"]).logged();
    let server = setup.child(["emit", "6000000", "say", "END", "cat"]).start();
    let log = server.file_with("log", "END\r\n");
    let mut late = server.connect();
    late.until(NEGOTIATION);
    let mut user = server.connect();
    user.greeting();
    user.until("END\r\n");
    // Almost as much as anybody may lag comes on top, of which a socket takes little.
    for _ in 0..9 {
        let line = [vec![b'x'; 3000], b"\n".to_vec()].concat();
        for _ in 0..15 {
            user.send(&line);
            user.until("x\r\n");
        }
    }
    user.send(b"LAST\n");
    user.until("LAST\r\n");
    late.until("END\r\n");
    late.until("LAST\r\n");
    let got = late.received();
    assert!(find(got, b" bytes skipped").is_none());
    let at = find(got, NEGOTIATION).unwrap() + NEGOTIATION.len();
    let past = find(got, b"END\r\n").unwrap() + 5 - at;
    assert!((3 << 20) - past < 65, "{past}");
    assert!(log.ends_with(&got[at..at + past]));
}

fn child_that_is_dead_is_remembered(env: &TestEnv) {
    let setup = env.server().opts(["--history", "64M", "--noautorestart"]).logged();
    let server = setup.child(["say", "last words", "exit", "3"]).start();
    server.file_with("log", "^Q quits the server\r\n");
    let mut user = server.connect();
    let past = past(&mut user, "Normal exit status = 3\r\n");
    assert!(past.contains("\r\nlast words\r\n"), "{past}");
}

fn byte_0xff_is_doubled_for_telnet_only(env: &TestEnv) {
    let (server, _first) = said(env, &["--history", "13"], "a\\xff\\xffb\\n", "READY");
    let mut second = server.connect();
    second.greeting();
    assert_eq!(second.until("READY\r\n"), b"a\xff\xff\xff\xffb\r\nREADY\r\n"[..].to_vec());
}

fn it_outlives_an_upgrade(env: &TestEnv) {
    let setup = env.server().opts(["--history", "3M", "--logstamp=[%s] "]).log_endpoint().logged();
    let server = setup.child(["emit", "6000000", "say", "END", "cat"]).start();
    server.file_with("log", "END\r\n");
    let pasts = || {
        [server.connect(), server.connect_log()].map(|mut client| {
            client.greeting();
            client.until("END\r\n")
        })
    };
    let before = pasts();
    assert!(before[0].len() > (3 << 20) - 65, "{}", before[0].len());
    server.signal(Signal::SIGUSR1);
    server.file_with("log", "@@@ procServ server upgraded in place");
    let after = pasts();
    assert!(before == after, "another past");
}

fn last_size_counts(env: &TestEnv) {
    let options = ["--history", "64M", "--history=7"];
    let (server, _first) = said(env, &options, "one\\n", "READY");
    let mut second = server.connect();
    assert_eq!(past(&mut second, "READY\r\n"), "READY\r\n");
}

fn bad_sizes_are_errors(env: &TestEnv) {
    for size in ["", "x", "65M", "67108865", "-1", "1.5M", "10 k", "1G", "1T", "k", "0x10"] {
        let finished = env.server().opts(["--history", size]).run();
        let reason = "(bytes, or with k or M, up to 64M)";
        let line = format!("procServ: invalid size '{size}' for --history {reason}\n");
        finished.assert(1, "", &line);
        assert!(!finished.instance.path("starts").exists());
    }
}
