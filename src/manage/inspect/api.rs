//! A client of a server's interface for programs (docs/api.md). Nothing here waits for long: the
//! server, or the program that took the place of its socket, may not answer.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

use nix::sys::socket::{AddressFamily, SockType, UnixAddr, connect, setsockopt, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};
use serde_json::{Value, json};

use crate::manage::limits::{API_ANSWER_MAX, API_TIMEOUT};
use crate::sys::socket;

/// Why a request was not done.
#[derive(Debug)]
pub(crate) enum ApiError {
    /// The server was not reached, or gave no answer.
    Unreachable(io::Error),
    /// The server answered that it did not do it, with a message for people.
    Refused { message: String },
}

/// A connection to the socket of `--api`.
#[derive(Debug)]
pub(crate) struct ApiConnection {
    stream: BufReader<UnixStream>,
}

impl ApiConnection {
    /// Connects.
    ///
    /// # Errors
    /// Those of connect(2); `WouldBlock` if the server does not accept the connection in time.
    pub(crate) fn open(path: &Path) -> io::Result<ApiConnection> {
        let socket = socket::open(AddressFamily::Unix, SockType::Stream)?;
        let seconds = i64::try_from(API_TIMEOUT.as_secs()).unwrap_or(1);
        let limit = TimeVal::seconds(seconds);
        // connect(2) waits for room in the server's queue for as long as a write does (socket(7)).
        setsockopt(&socket, sockopt::SendTimeout, &limit)?;
        setsockopt(&socket, sockopt::ReceiveTimeout, &limit)?;
        connect(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
        Ok(ApiConnection { stream: BufReader::new(UnixStream::from(socket)) })
    }

    /// Sends a request, and returns its result.
    ///
    /// # Errors
    /// Those of [`ApiError`].
    pub(crate) fn request(&mut self, request: &Value) -> Result<Value, ApiError> {
        self.stream.get_mut().write_all(&line(request)).map_err(ApiError::Unreachable)?;
        let mut answer = Vec::new();
        let mut limited = (&mut self.stream).take(API_ANSWER_MAX);
        limited.read_until(b'\n', &mut answer).map_err(ApiError::Unreachable)?;
        let no_answer = || ApiError::Unreachable(io::ErrorKind::UnexpectedEof.into());
        let answer: Value = serde_json::from_slice(&answer).map_err(|_| no_answer())?;
        let text = |key| answer.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        match answer.get("result") {
            Some(result) => Ok(result.clone()),
            None if answer.get("error").is_none() => Err(no_answer()),
            None => Err(ApiError::Refused { message: text("message") }),
        }
    }
}

fn line(request: &Value) -> Vec<u8> {
    let mut line = json!({ "v": 1 });
    if let (Some(all), Some(fields)) = (line.as_object_mut(), request.as_object()) {
        all.extend(fields.clone());
    }
    format!("{line}\n").into_bytes()
}
