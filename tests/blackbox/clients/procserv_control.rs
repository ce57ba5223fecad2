//! procServControl: an EPICS driver that reads lines from a raw TCP port, without telnet.

use crate::support::{TestEnv, TestServer, cases, uninterrupted};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

cases![
    proc_serv_control_reads_name_and_state,
    proc_serv_control_reads_the_mode,
    proc_serv_control_sees_stop_and_start,
    proc_serv_control_sends_kill_and_toggle_in_one_packet,
    proc_serv_control_sees_a_restart,
    proc_serv_control_misses_a_line_behind_the_negotiation,
    proc_serv_control_misses_nothing_without_telnet.differs_on_oracle("has no raw endpoints"),
    proc_serv_control_reads_names_up_to_a_blank,
];

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    Running,
    Shutdown,
}

/// The driver's records, and the line reader behind them.
struct Driver {
    env: TestEnv,
    stream: TcpStream,
    unread: Vec<u8>,
    name: String,
    state: State,
    /// `None` until a line told, where the driver's record is 0: off.
    auto_restart: Option<bool>,
}

impl Driver {
    fn connect(env: &TestEnv, port: u16) -> Driver {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        Driver {
            env: *env,
            stream,
            unread: Vec::new(),
            name: String::new(),
            // So it takes it to be until told.
            state: State::Shutdown,
            auto_restart: None,
        }
    }

    /// Reads lines until the records are as wanted.
    fn until(&mut self, what: &str, wanted: impl Fn(&Driver) -> bool) {
        let env = self.env;
        env.wait_for(what, || {
            if wanted(self) {
                return Some(());
            }
            self.line().iter().for_each(|line| self.scan(line));
            None
        });
    }

    /// Reads lines until one has come that begins so, and has been looked at.
    fn until_line(&mut self, start: &str) {
        let env = self.env;
        env.wait_for(start, || {
            let line = self.line()?;
            self.scan(&line);
            line.starts_with(start).then_some(())
        });
    }

    /// A line ends in CR LF. None comes in time: nothing.
    fn line(&mut self) -> Option<String> {
        loop {
            if let Some(at) = self.unread.windows(2).position(|two| two == b"\r\n") {
                let line: Vec<u8> = self.unread.drain(..at + 2).take(at).collect();
                return Some(line.iter().map(|byte| char::from(*byte)).collect());
            }
            let mut buffer = [0; 256];
            match uninterrupted(|| self.stream.read(&mut buffer)) {
                Ok(0) => panic!("the server has closed the connection"),
                Ok(count) => self.unread.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// The patterns in the driver's order; each is a sscanf(3) format.
    fn scan(&mut self, line: &str) {
        let first_word = |rest: &str| rest.split_whitespace().next().unwrap_or("").to_owned();
        if !line.starts_with("@@@") {
            return;
        }
        // `@@@ Child "%s started as: %s`: a blank ends %s, the quote at its end is cut off.
        if let Some(rest) = line.strip_prefix("@@@ Child \"")
            && let Some((name, rest)) = rest.split_once(' ')
            && rest.trim_start().starts_with("started as: ")
        {
            self.name = name[..name.len() - 1].to_owned();
            return;
        }
        // `@@@ Child "%*s %s`
        if let Some(rest) = line.strip_prefix("@@@ Child \"") {
            match rest.split_whitespace().nth(1) {
                Some("PID:") => self.state = State::Running,
                Some("is") => self.state = State::Shutdown,
                _ => {}
            }
            return;
        }
        if line.starts_with("@@@ Restarting child ") {
            self.state = State::Running;
        } else if line.starts_with("@@@ Child process is shutting ") {
            self.state = State::Shutdown;
        } else if let Some(rest) = line.strip_prefix("@@@ Toggled auto restart to ") {
            self.auto_restart = Some(first_word(rest) == "ON");
        } else if let Some(rest) =
            line.strip_prefix("@@@ Use ^X to kill the child, auto restart is ")
        {
            self.auto_restart = Some(first_word(rest) == "ON,");
        }
    }

    /// One character a write, as the driver does it.
    fn put(&mut self, character: u8) {
        self.stream.write_all(&[character]).unwrap();
    }

    /// The STOP record: auto restart off if it is known to be on, then the end.
    fn stop(&mut self) {
        if self.state == State::Running {
            if self.auto_restart == Some(true) {
                self.put(0x14);
            }
            self.put(0x18);
        }
    }

    fn start(&mut self) {
        if self.state == State::Shutdown {
            self.put(0x18);
        }
    }

    /// The RESTART record: auto restart on if it is not known to be, then the end.
    fn restart(&mut self) {
        if self.state == State::Running {
            if self.auto_restart != Some(true) {
                self.put(0x14);
            }
            self.put(0x18);
        }
    }
}

/// A server that speaks as the driver expects it.
fn start(env: &TestEnv, name: &str, options: &[&str]) -> (TestServer, u16) {
    let port = env.free_port();
    let setup = env.server().control(&port.to_string()).opts(["-n", name, "--holdoff", "0"]);
    let words: &[&str] = if env.ours() { &["--compat", "2.7"] } else { &[] };
    let server = setup.opts(words).opts(options).start();
    server.connect().greeting();
    (server, port)
}

fn connected(env: &TestEnv) -> (TestServer, Driver) {
    let (server, port) = start(env, "ioc", &[]);
    server.child_start(1);
    let mut driver = Driver::connect(env, port);
    driver.until("the state", |driver| driver.state == State::Running);
    (server, driver)
}

fn proc_serv_control_reads_name_and_state(env: &TestEnv) {
    let (_server, driver) = connected(env);
    assert_eq!(driver.name, "ioc");
    let (_server, port) = start(env, "other", &["-w"]);
    let mut driver = Driver::connect(env, port);
    driver.state = State::Running;
    driver.until("the state", |driver| driver.state == State::Shutdown);
    assert_eq!(driver.name, "other");
}

fn proc_serv_control_reads_the_mode(env: &TestEnv) {
    let (_server, mut driver) = connected(env);
    for on in [true, false, true, false] {
        assert_eq!(driver.auto_restart, Some(on));
        driver.put(0x14);
        driver.until_line("@@@ Toggled auto restart");
    }
}

fn proc_serv_control_sees_stop_and_start(env: &TestEnv) {
    let (server, mut driver) = connected(env);
    driver.stop();
    driver.until_line("@@@ Child process is shutting down, auto restart is disabled");
    driver.until_line("@@@ ^R or ^X restarts the child");
    assert_eq!((driver.state, driver.auto_restart), (State::Shutdown, Some(false)));
    assert!(!crate::support::alive(server.child_start(1)));
    driver.start();
    driver.until("the start", |driver| driver.state == State::Running);
    server.child_start(2);
}

fn proc_serv_control_sends_kill_and_toggle_in_one_packet(env: &TestEnv) {
    // As it comes when the records are processed in one go.
    let (server, mut driver) = connected(env);
    driver.stream.write_all(b"\x18\x14").unwrap();
    driver.until_line("@@@ Toggled auto restart");
    driver.until_line("@@@ Child process is shutting down, auto restart is disabled");
    assert_eq!(driver.state, State::Shutdown);
    assert!(!crate::support::alive(server.child_start(1)));
}

fn proc_serv_control_sees_a_restart(env: &TestEnv) {
    let (server, mut driver) = connected(env);
    driver.restart();
    driver.until("the end", |driver| driver.state == State::Shutdown);
    driver.until("the restart", |driver| driver.state == State::Running);
    server.child_start(2);
    // After a STOP, too, which has left auto restart off.
    driver.stop();
    driver.until("the stop", |driver| driver.state == State::Shutdown);
    driver.until_line("@@@ ^R or ^X restarts the child");
    driver.start();
    driver.until("the start", |driver| driver.state == State::Running);
    // Killed before it runs, it would not be counted.
    server.child_start(3);
    driver.restart();
    driver.until("the end", |driver| driver.state == State::Shutdown);
    driver.until("the restart", |driver| driver.state == State::Running);
    server.child_start(4);
    assert_eq!(driver.auto_restart, Some(true));
}

fn proc_serv_control_misses_a_line_behind_the_negotiation(env: &TestEnv) {
    let (server, port) = start(env, "ioc", &["-w"]);
    let mut user = server.connect();
    user.greeting();
    let mut driver = Driver::connect(env, port);
    driver.until_line("@@@ ^R or ^X restarts the child");
    user.send(b"\x12");
    // The start is announced on the line that the negotiation has begun.
    driver.until_line("\u{ff}\u{fb}\u{1}\u{ff}\u{fd}\u{22}@@@ Restarting child \"ioc\"");
    driver.until_line("@@@ @@@ @@@ @@@ @@@");
    assert_eq!(driver.state, State::Shutdown);
    // From the next start on it is right.
    user.send(b"\x18");
    driver.until("the next start", |driver| driver.state == State::Running);
}

fn proc_serv_control_misses_nothing_without_telnet(env: &TestEnv) {
    let port = env.free_port();
    let (server, _) = start(env, "ioc", &["-w", "-P", &format!("raw:{port}")]);
    let mut user = server.connect();
    user.greeting();
    let mut driver = Driver::connect(env, port);
    driver.until_line("@@@ ^R or ^X restarts the child");
    user.send(b"\x12");
    driver.until("the start", |driver| driver.state == State::Running);
    assert_eq!((driver.name.as_str(), driver.auto_restart), ("ioc", Some(true)));
}

fn proc_serv_control_reads_names_up_to_a_blank(env: &TestEnv) {
    let (_server, port) = start(env, "Test IOC", &["-w"]);
    let mut driver = Driver::connect(env, port);
    driver.until_line("@@@ procServ server started at");
    // %s ends at the blank: neither name nor state is understood.
    assert_eq!((driver.name.as_str(), driver.state), ("", State::Shutdown));
}
