//! The lines that API clients send, as requests. docs/api.md describes them.

use serde::{Deserialize, Serialize};

use super::VERSION;
use crate::config::RestartMode;
use crate::limits::API_LINE_MAX;

/// A line that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParsedLine {
    /// What the client calls its request.
    pub id: Option<RequestId>,
    /// What the client asks for.
    pub request: ApiRequest,
}

/// What the client calls its request. The answer repeats it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(untagged)]
pub enum RequestId {
    /// A whole number.
    Number(i64),
    /// A text.
    Text(String),
}

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApiRequest {
    /// The status, once.
    Status,
    /// The status at each change, and events.
    Subscribe,
    /// To send the kill signal to the child.
    Kill,
    /// To start a child.
    Start,
    /// To set this restart mode.
    Mode(RestartMode),
    /// To replace the child.
    Reload,
    /// To type this text.
    Input(String),
    /// To end the server.
    Quit,
}

/// What is wrong with a line, with the request's ID if it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadLine {
    /// What the client calls its request.
    pub id: Option<RequestId>,
    /// The name of the error in docs/api.md.
    pub error: &'static str,
    /// The same in words.
    pub message: String,
}

impl BadLine {
    /// A line that is longer than a line may be.
    pub fn too_long() -> BadLine {
        let message = format!("a line has at most {API_LINE_MAX} bytes");
        BadLine { id: None, error: "too_long", message }
    }
}

/// The fields of a line.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    v: Option<u32>,
    id: Option<RequestId>,
    request: String,
    mode: Option<String>,
    text: Option<String>,
}

/// Reads a line, without its end.
///
/// # Errors
///
/// If the line is no request.
pub fn parse(line: &[u8]) -> Result<ParsedLine, BadLine> {
    let fields: Fields = serde_json::from_slice(line).map_err(|error| BadLine {
        id: None,
        error: "bad_request",
        message: error.to_string(),
    })?;
    let Fields { v, id, request, mode, text } = fields;
    let wrong =
        |error, message: &str| BadLine { id: id.clone(), error, message: message.to_owned() };
    if v.is_some_and(|v| v != VERSION) {
        return Err(wrong("bad_version", "this server speaks version 1"));
    }
    let parsed = match (&*request, mode.as_deref(), text) {
        ("status", None, None) => ApiRequest::Status,
        ("subscribe", None, None) => ApiRequest::Subscribe,
        ("kill", None, None) => ApiRequest::Kill,
        ("start", None, None) => ApiRequest::Start,
        ("reload", None, None) => ApiRequest::Reload,
        ("quit", None, None) => ApiRequest::Quit,
        ("mode", Some("on"), None) => ApiRequest::Mode(RestartMode::On),
        ("mode", Some("off"), None) => ApiRequest::Mode(RestartMode::Off),
        ("mode", Some("oneshot"), None) => ApiRequest::Mode(RestartMode::Oneshot),
        ("input", None, Some(text)) => ApiRequest::Input(text),
        ("mode", ..) => return Err(wrong("bad_request", "mode needs `mode`: on, off or oneshot")),
        ("input", ..) => return Err(wrong("bad_request", "input needs `text`, and nothing else")),
        ("status" | "subscribe" | "kill" | "start" | "reload" | "quit", ..) => {
            return Err(wrong("bad_request", "this request has no `mode` and no `text`"));
        }
        _ => return Err(wrong("unknown_request", "there is no such request")),
    };
    Ok(ParsedLine { id, request: parsed })
}
