//! Connections in numbers, and endpoints that others use.

use crate::support::dialogue::started;
use crate::support::{Client, ServerBuilder, TestEnv, TestServer, cases, find};
use nix::sys::signal::Signal;
use nix::sys::socket::{Backlog, listen};
use std::fs;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

const DIES: &str = "dies of an exception when accept fails";

cases![
    too_few_descriptors_make_clients_wait.differs_on_oracle(DIES),
    too_few_descriptors_leave_room_for_child_and_log.differs_on_oracle(DIES),
    few_descriptors_are_shared_with_clients.differs_on_oracle(DIES),
    too_few_descriptors_for_the_server_are_told.differs_on_oracle("goes on without"),
    clients_beyond_1024_descriptors_are_served.differs_on_oracle("select() takes 1024 descriptors"),
    child_gets_the_limits_that_the_server_was_started_with,
    clients_that_reset_are_no_news_to_others.differs_on_oracle("takes the signal for the child's"),
    dead_tcp_peers_are_looked_for_within_a_minute
        .differs_on_oracle("leaves it to the system's two hours"),
    socket_with_a_full_backlog_is_not_stolen.differs_on_oracle("takes over any socket"),
    socket_file_of_another_is_left_at_the_end.differs_on_oracle("removes whatever has the name"),
    one_of_several_starters_gets_a_stale_socket
        .differs_on_oracle("takes over any socket")
        .takes_up_to(Duration::from_secs(100 + 5 * rounds())),
    one_of_several_starters_gets_a_stale_socket_for_its_child
        .differs_on_oracle("has no --listen")
        .takes_up_to(Duration::from_secs(100 + 5 * rounds())),
];

const FEW: usize = 64;

/// A server with few descriptors, and more clients than it can have; the first has seen why.
fn crowded(env: &TestEnv) -> (TestServer, Client, Vec<Client>) {
    let few = FEW.to_string();
    let setup = env.server().launched_by(["limit-files", &few, &few]).logged();
    let (server, mut user) = started(setup);
    let others = (0..FEW).map(|_| server.connect()).collect();
    user.expect("@@@ Endpoint unix:ctl: Too many open files, new connections have to wait\n");
    let open = fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().flatten();
    let numbers = open.map(|fd| fd.file_name().into_string().unwrap().parse::<usize>().unwrap());
    // One that was inherited may be beyond the limit.
    let open = numbers.filter(|number| *number < FEW).count();
    assert!(open <= FEW - 16, "{open} descriptors are open, and some may be needed");
    (server, user, others)
}

fn too_few_descriptors_make_clients_wait(env: &TestEnv) {
    let (server, mut user, mut others) = crowded(env);
    let served: Vec<Client> = others.drain(..20).collect();
    for mut client in served {
        client.greeting();
    }
    // Those have left, so there is room for as many again, within a second.
    for client in &mut others[..20] {
        client.greeting();
    }
    // It is said once.
    server.child_start(1);
    user.send("hello\n");
    user.expect("hello\nhello\n");
}

fn too_few_descriptors_leave_room_for_child_and_log(env: &TestEnv) {
    let (server, mut user, _others) = crowded(env);
    server.child_start(1);
    fs::rename(server.path("log"), server.path("log.1")).unwrap();
    server.signal(Signal::SIGHUP);
    env.wait_for("the log to be opened anew", || fs::read(server.path("log")).ok());
    user.send(b"\x14\x18");
    user.until("the child, ^Q quits the server\r\n");
    user.send(b"\x12");
    server.child_start(2);
    user.send("hello\n");
    user.until("hello\r\nhello\r\n");
    let log = server.file_with("log", "hello\r\nhello\r\n");
    assert!(find(&log, b"@@@ Toggled auto restart mode to OFF\r\n").is_some());
}

/// Some clients are let in, and enough descriptors are left for another child and a new log.
fn few_descriptors_are_shared_with_clients(env: &TestEnv) {
    for (few, served) in [(17, 1), (20, 4), (24, 8), (32, 12), (64, 36)] {
        let limit = few.to_string();
        let setup =
            env.server().launched_by(["close-inherited", "limit-files", &limit, &limit]).logged();
        let server = setup.opts(["--events", "events", "--holdoff", "0"]).start();
        server.child_start(1);
        server.file_with("events", "child_start");
        let mut clients: Vec<Client> = (0..served).map(|_| server.connect()).collect();
        clients.iter_mut().for_each(|client| drop(client.greeting()));
        // There is no room for all of these.
        clients.extend((0..6).map(|_| server.connect()));
        clients[0].until("Too many open files, new connections have to wait");
        clients[0].send("\x18");
        server.child_start(2);
        fs::rename(server.path("log"), server.path("log.1")).unwrap();
        server.signal(Signal::SIGHUP);
        env.wait_for("the log to be opened anew", || fs::read(server.path("log")).ok());
        clients[0].send("hello\n");
        clients[0].until("hello\r\nhello\r\n");
        server.file_with("log", "hello\r\nhello\r\n");
        let events = fs::read_to_string(server.path("events")).unwrap();
        let troubles: Vec<&str> = events.lines().filter(|it| it.contains("trouble")).collect();
        assert!(troubles.iter().all(|it| it.contains("endpoint")), "{troubles:?}");
        assert!(server.terminate().success());
    }
}

fn too_few_descriptors_for_the_server_are_told(env: &TestEnv) {
    let files = ["--events", "events", "--status-file", "status", "--holdoff", "0"];
    let setup = |limit: &str, daemon: bool| {
        let launch = ["close-inherited", "limit-files", limit, limit];
        let setup = env.server().launched_by(launch).logged().opts(files);
        if daemon { setup.daemon() } else { setup }
    };
    for (limit, daemon) in [("6", false), ("12", false), ("12", true)] {
        let ended = setup(limit, daemon).run();
        let head = format!("procServ: cannot run with {limit} open files (ulimit -Hn): ");
        let rest = ended.stderr.strip_prefix(&head).expect(&ended.stderr);
        let needed = rest.split_once(' ').unwrap().0;
        let text = format!("{head}{needed} are needed\nprocServ: Exiting with error code: 24\n");
        ended.assert(24, "", &text);
        let server = setup(needed, daemon).start();
        server.child_start(1);
        server.file_with("events", "child_start");
        server.file_with("status", "\"pid\"");
        let mut user = server.connect();
        user.greeting();
        user.send("\x18");
        server.child_start(2);
        user.send("hello\n");
        user.until("hello\r\nhello\r\n");
        server.file_with("log", "hello\r\nhello\r\n");
        assert!(server.terminate().success());
    }
}

fn clients_beyond_1024_descriptors_are_served(env: &TestEnv) {
    let (server, mut user) = started(env.server().launched_by(["limit-files", "4096", "4096"]));
    let mut others: Vec<Client> = (0..2100).map(|_| server.connect()).collect();
    for other in &mut others {
        other.greeting();
    }
    server.child_start(1);
    others[2099].send("hello\n");
    user.expect("hello\nhello\n");
    for other in &mut others {
        other.expect("hello\nhello\n");
    }
    assert_eq!(server.terminate().code(), Some(0));
}

fn child_gets_the_limits_that_the_server_was_started_with(env: &TestEnv) {
    let setup = env.server().launched_by(["limit-files", "500", "600"]);
    let (_server, mut user) = started(setup.child(["show-limit", "Max open files", "cat"]));
    user.expect("Max open files 500 600 files\n");
}

fn clients_that_reset_are_no_news_to_others(env: &TestEnv) {
    let port = env.free_port().to_string();
    let (server, mut user) = started(env.server().opts(["-P", &port]));
    server.child_start(1);
    for round in 0..30 {
        for _ in 0..5 {
            server.connect_to(&port).reset();
        }
        let line = format!("round {round}\n");
        user.send(&line);
        user.expect(&line.repeat(2));
    }
}

/// The kernel shows which timer a connection waits for, and for how many ticks of 10 ms.
fn dead_tcp_peers_are_looked_for_within_a_minute(env: &TestEnv) {
    let port = env.free_port();
    let server = env.server().control(&port.to_string()).start();
    server.connect().until("connected (plus you)\r\n");
    let _user = server.connect();
    let is_timed = |row: &str| {
        let fields: Vec<&str> = row.split_whitespace().collect();
        let ours = fields[1].ends_with(&format!(":{port:04X}")) && fields[3] == "01";
        let ticks = fields[5].strip_prefix("02:");
        let soon = |ticks: &str| u32::from_str_radix(ticks, 16).is_ok_and(|ticks| ticks <= 6000);
        ours && ticks.is_some_and(soon)
    };
    // Once the kernel has heard that the greeting arrived.
    env.wait_for("a keepalive timer of a minute", || {
        let table = fs::read_to_string("/proc/net/tcp").unwrap();
        table.lines().skip(1).any(is_timed).then_some(())
    });
}

/// Nobody answers, but somebody is there.
fn socket_with_a_full_backlog_is_not_stolen(env: &TestEnv) {
    let setup = env.server();
    let path = setup.path("ctl");
    let busy = UnixListener::bind(&path).unwrap();
    listen(&busy, Backlog::new(0).unwrap()).unwrap();
    let _waiting = UnixStream::connect(&path).unwrap();
    let ended = setup.run();
    assert_eq!(ended.status.code(), Some(98), "{}", ended.status);
    busy.accept().unwrap();
    UnixStream::connect(&path).unwrap();
}

fn socket_file_of_another_is_left_at_the_end(env: &TestEnv) {
    let server = env.server().start();
    server.connect().greeting();
    fs::remove_file(server.path("ctl")).unwrap();
    let _other = UnixListener::bind(server.path("ctl")).unwrap();
    server.terminate();
    UnixStream::connect(server.path("ctl")).unwrap();
}

/// How many times several servers start at once.
fn rounds() -> u64 {
    std::env::var("PROCSERV_STARTERS").map_or(20, |number| number.parse().unwrap())
}

/// Starts five servers at once that are set up by `setup` and all want the socket file with the path that
/// it is given, which a dead server has left behind. One of them lives, and is given to `check`.
fn start_at_once(
    env: &TestEnv,
    setup: impl Fn(&str) -> ServerBuilder,
    check: impl Fn(&TestServer, &str),
) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let name = path.to_str().unwrap();
    for round in 0..rounds() {
        env.stale_socket(&path);
        let setups: Vec<ServerBuilder> = (0..5).map(|_| setup(name)).collect();
        let mut servers: Vec<TestServer> = setups.into_iter().map(ServerBuilder::start).collect();
        env.wait_for("the end of all but one", || {
            let living = servers.iter().filter(|server| server.ended().is_none()).count();
            (living <= 1).then_some(())
        });
        let lives = |server: &mut TestServer| server.ended().is_none();
        let living: Vec<TestServer> = servers.extract_if(.., lives).collect();
        for server in &servers {
            let status = server.wait_exit();
            assert_eq!(status.code(), Some(98), "round {round}: {}", server.stderr());
        }
        assert_eq!(living.len(), 1, "round {round}");
        check(&living[0], name);
        assert!(living[0].terminate().success());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "a file is left");
    }
}

fn one_of_several_starters_gets_a_stale_socket(env: &TestEnv) {
    let setup = |path: &str| env.server().control(&format!("unix:{path}")).opts(["-w"]);
    start_at_once(env, setup, |server, _| {
        server.connect().greeting();
    });
}

fn one_of_several_starters_gets_a_stale_socket_for_its_child(env: &TestEnv) {
    let setup = |path: &str| env.server().opts(["-w", "--listen", &format!("unix://{path}")]);
    start_at_once(env, setup, |_, path| {
        UnixStream::connect(path).unwrap();
    });
}
