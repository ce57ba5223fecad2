//! `--log-plain`, and stamps with a fraction of the second.

use crate::support::dialogue::started;
use crate::support::{TestEnv, cases, find, show};
use nix::sys::signal::Signal;
use std::fs;

cases![
    log_has_neither_sequences_nor_crs_before_lf,
    log_on_stdout_may_be_plain,
    lines_of_the_server_are_plain_too,
    clients_and_log_endpoint_get_everything,
    sequences_may_be_split_by_an_upgrade,
    message_is_not_swallowed_by_an_unfinished_sequence,
    plain_lines_are_stamped_once,
    plain_log_needs_a_log,
    stamps_have_a_fraction,
    replay_has_the_stamps_of_the_log,
    times_of_messages_have_a_fraction,
    two_percent_signs_are_one,
];

const PLAIN: [&str; 2] = ["--log-plain", "--logstamp=STAMP "];

fn log_has_neither_sequences_nor_crs_before_lf(env: &TestEnv) {
    let steps = ["print", r"\x1b[1mone\x1b[0m\r\x1b[K\n\x1b]0;title\x07two\rthree\n", "cat"];
    let setup = env.server().logged().opts(["--log-plain"]).child(steps);
    let (server, mut user) = started(setup);
    user.until("three\r\n");
    server.terminate();
    let log = server.file("log");
    assert!(find(&log, b"\r\n").is_none() && !log.contains(&0x1b), "{}", show(&log));
    server.assert_plain(
        log,
        "\
@@@ Restarting child \"./fake-ioc\"
@@@ The PID of new child \"./fake-ioc\" is: <pid>
@@@ @@@ @@@ @@@ @@@
one
two\rthree
@@@ Current time: <time>
@@@ Child process is shutting down, a new one will be restarted shortly
@@@ ^R or ^X restarts the child, ^Q quits the server
",
    );
}

fn log_on_stdout_may_be_plain(env: &TestEnv) {
    let setup = env.server().opts(["-L", "-", "--log-plain"]);
    let server = setup.child(["print", r"\x1b[1mone\x1b[0m\n", "say", "two", "cat"]).start();
    let stdout = server.file_with("stdout", "two\n");
    assert!(stdout.ends_with(b"@@@ @@@ @@@ @@@ @@@\none\ntwo\n"), "{}", show(&stdout));
}

fn lines_of_the_server_are_plain_too(env: &TestEnv) {
    let setup = env.server().logged().opts(["--log-plain", "-n", "\x1b[1mioc\x1b[0m"]);
    let (server, _user) = started(setup);
    server.signal(Signal::SIGUSR1);
    let log = server.file_with("log", "@@@ procServ server upgraded in place");
    let first = b"@@@ Restarting child \"ioc\"\n@@@    (as ./fake-ioc)\n";
    assert!(log.starts_with(first) && log.ends_with(b")\n"), "{}", show(&log));
    assert!(!log.contains(&b'\r'), "{}", show(&log));
}

fn clients_and_log_endpoint_get_everything(env: &TestEnv) {
    let steps = ["wait-for", "go", "print", r"\x1b[1mone\x1b[0m\n", "cat"];
    let setup = env.server().logged().log_endpoint().opts(["--history", "1k", "--log-plain"]);
    let (server, mut user) = started(setup.child(steps));
    let mut logger = server.connect_log();
    logger.greeting();
    fs::write(server.path("go"), "").unwrap();
    let mut late = server.connect();
    for client in [&mut user, &mut logger, &mut late] {
        client.until("\x1b[1mone\x1b[0m\r\n");
    }
    server.file_with("log", "@@@\none\n");
}

fn sequences_may_be_split_by_an_upgrade(env: &TestEnv) {
    let steps = ["print", r"one\r", "wait-for", "go", "print", r"\x1b[1", "print", "END"];
    let steps = [&steps[..], &["wait-for", "on", "print", r"m\ntwo\x1b", "wait"]].concat();
    let setup = env.server().logged().opts(PLAIN).child(steps);
    let (server, mut user) = started(setup);
    user.until("one\r");
    let upgrade = |times: usize| {
        server.signal(Signal::SIGUSR1);
        env.wait_for("the upgrade", || {
            let log = fs::read(server.path("log")).ok()?;
            let count = log.windows(8).filter(|part| *part == b"upgraded").count();
            (count == times).then_some(())
        });
    };
    upgrade(1);
    fs::write(server.path("go"), "").unwrap();
    // `E` ends the sequence.
    user.until("\x1b[1END");
    upgrade(2);
    fs::write(server.path("on"), "").unwrap();
    let log = server.file_with("log", "two");
    let lines = String::from_utf8(log).unwrap();
    let rest = lines.split("@@@ @@@ @@@ @@@ @@@\n").nth(1).unwrap();
    let rest: Vec<&str> = rest.split('\n').filter(|line| !line.contains("upgraded")).collect();
    assert_eq!(rest, ["STAMP one", "STAMP \rND", "STAMP m", "STAMP two"], "{lines}");
}

fn message_is_not_swallowed_by_an_unfinished_sequence(env: &TestEnv) {
    let steps = ["print", r"\x1b]0;half a title", "exit", "3"];
    let setup = env.server().logged().opts(["--log-plain", "--noautorestart"]);
    let (server, mut user) = started(setup.child(steps));
    user.until("^Q quits the server\r\n");
    let log = server.file_with("log", "^Q quits the server\n");
    let start = b"@@@ @@@ @@@ @@@ @@@\n0;half a title";
    assert!(find(&log, start).is_some() && !log.contains(&0x1b), "{}", show(&log));
}

fn plain_lines_are_stamped_once(env: &TestEnv) {
    let long = "x".repeat(5000);
    let output = format!(r"\x1b[?2004h\n\x1b]0;a\nb\x07one\n\x1b]{long}\n\nb\x07two\n");
    let setup = env.server().logged().opts(PLAIN).child(["print", &output, "say", "END", "cat"]);
    let (server, _user) = started(setup);
    let log = String::from_utf8(server.file_with("log", "END\n")).unwrap();
    let rest = log.split("@@@ @@@ @@@ @@@ @@@\n").nth(1).unwrap();
    let data = format!("STAMP \x1b]{long}\nSTAMP \nSTAMP b\x07two\nSTAMP END\n");
    assert_eq!(rest, format!("STAMP \nSTAMP one\n{data}"));
}

fn plain_log_needs_a_log(env: &TestEnv) {
    let finished = env.server().opts(["--log-plain"]).run();
    finished.assert(1, "", "procServ: --log-plain needs --logfile\n");
    assert!(!finished.instance.path("starts").exists());
}

fn stamps_have_a_fraction(env: &TestEnv) {
    let options = ["--logstamp=[%s %3N %6N %9N] "];
    let (server, _user) = started(env.server().logged().opts(options).child(["say", "x", "cat"]));
    let log = String::from_utf8(server.file_with("log", "x\r\n")).unwrap();
    let stamp = log.lines().last().unwrap().strip_suffix(" x").unwrap();
    let numbers: Vec<&str> = stamp.trim_matches(['[', ']']).split(' ').collect();
    assert_eq!(numbers.iter().map(|it| it.len()).collect::<Vec<_>>(), [10, 3, 6, 9], "{stamp}");
    assert!(numbers.concat().bytes().all(|byte| byte.is_ascii_digit()), "{stamp}");
    let begins = |long: &str, short: &str| long.starts_with(short);
    assert!(begins(numbers[3], numbers[2]) && begins(numbers[2], numbers[1]), "{stamp}");
}

fn replay_has_the_stamps_of_the_log(env: &TestEnv) {
    let options = ["--history", "64k", "--logstamp=[%T.%9N] "];
    let setup = env.server().log_endpoint().logged().opts(options);
    let server = setup.start();
    server.child_start(1);
    let mut user = server.connect();
    user.greeting();
    for word in ["one", "two", "three"] {
        user.send(format!("{word}\n"));
        user.until(format!("{word}\r\n{word}\r\n"));
    }
    let log = server.file_with("log", "three\r\n");
    let stamps = show(&log).lines().map(|line| line[..20].to_owned()).collect::<Vec<_>>();
    assert!(stamps.windows(2).any(|two| two[0] != two[1]), "{stamps:?}");
    server.signal(Signal::SIGUSR1);
    server.file_with("log", "upgraded in place");
    let mut logger = server.connect_log();
    logger.greeting();
    let log = server.file("log");
    let end = find(&log, b"@@@ procServ server upgraded").unwrap();
    let begin = log[..end].iter().rposition(|byte| *byte == b'\n').unwrap();
    assert_eq!(show(&logger.bytes(begin + 1)), show(&log[..=begin]));
}

fn times_of_messages_have_a_fraction(env: &TestEnv) {
    let server = env.server().logged().opts(["--timefmt", "<%T.%6N>"]).start();
    server.child_start(1);
    let greeting = show(&server.connect().greeting());
    let times = |text: &str| -> Vec<String> {
        let times = text.split('<').skip(1).map(|rest| rest.split('>').next().unwrap().to_owned());
        times.filter(|time| time.len() == 15).collect()
    };
    assert_eq!(times(&greeting).len(), 2, "{greeting}");
    assert!(!times(&greeting).iter().all(|time| time.ends_with("000000")), "{greeting}");
    server.signal(Signal::SIGUSR1);
    server.file_with("log", "upgraded in place");
    assert_eq!(times(&show(&server.connect().greeting())), times(&greeting));
}

fn two_percent_signs_are_one(env: &TestEnv) {
    let (server, _user) = started(env.server().logged().opts(["--logstamp=%%3N "]));
    server.file_with("log", "%3N @@@ The PID of new child");
}
