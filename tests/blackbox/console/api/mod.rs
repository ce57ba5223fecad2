//! `--api`: requests, subscriptions, and what harms nothing.

mod connections;
mod requests;
mod subscribers;

use std::io::{BufRead, BufReader, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use serde_json::Value;

use crate::support::{Case, ServerBuilder, TestEnv, TestServer};

pub(crate) fn cases() -> Vec<Case> {
    [requests::cases(), subscribers::cases(), connections::cases()].into_iter().flatten().collect()
}

fn with_api(env: &TestEnv) -> ServerBuilder {
    env.server().opts(["-n", "ioc", "--holdoff", "0", "--api", "unix:api", "--events", "events"])
}

/// A client of the interface.
struct Program {
    lines: BufReader<UnixStream>,
}

impl Program {
    fn connect(env: &TestEnv, server: &TestServer) -> Program {
        let stream =
            env.wait_for("the api socket", || UnixStream::connect(server.path("api")).ok());
        stream.set_read_timeout(Some(env.timeout())).unwrap();
        Program { lines: BufReader::new(stream) }
    }

    fn send(&self, text: &str) {
        self.send_bytes(text.as_bytes());
    }

    fn send_bytes(&self, bytes: &[u8]) {
        self.lines.get_ref().write_all(bytes).unwrap();
    }

    fn half_close(&self) {
        self.lines.get_ref().shutdown(Shutdown::Write).unwrap();
    }

    /// The next line; `None` at the end.
    fn next(&mut self) -> Option<Value> {
        let mut line = String::new();
        if self.lines.read_line(&mut line).unwrap() == 0 {
            return None;
        }
        let line: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}"));
        assert_eq!(line["v"], 1, "{line}");
        Some(line)
    }

    /// The next line of which this is true.
    fn until(&mut self, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        loop {
            let line = self.next().unwrap_or_else(|| panic!("the end before {what}"));
            if is(&line) {
                return line;
            }
        }
    }

    /// Sends a request and returns its answer.
    fn ask(&mut self, request: &Value) -> Value {
        self.send(&format!("{request}\n"));
        self.until("an answer", |line| !line["result"].is_null() || !line["error"].is_null())
    }

    /// Sends a request without other fields and returns its result.
    fn result(&mut self, request: &str) -> Value {
        let mut answer = self.ask(&serde_json::json!({ "request": request }));
        assert!(answer["error"].is_null(), "{answer}");
        answer["result"].take()
    }
}
