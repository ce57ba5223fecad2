//! The interface for programs (`--api`): lines of JSON on a Unix socket, which docs/api.md
//! describes. A session holds what one client sent and is to be sent; the event loop executes its
//! requests, and the console decides what comes of them.

mod request;
mod session;

use serde_json::json;

pub use self::request::{ApiRequest, BadLine, ParsedLine, RequestId};
pub use self::session::{ApiSession, Outcome};
use crate::console::clients::requests::{Answer, Refusal};
use crate::server::records::mode_name;

/// The version of the lines. A field or a request that is added makes no new version.
const VERSION: u32 = 1;

impl Outcome {
    /// A result without fields.
    pub fn done() -> Outcome {
        Outcome::Result { result: json!({}) }
    }

    /// Too many commands came within a second.
    pub(crate) fn too_many() -> Outcome {
        let message = "too many commands within a second".to_owned();
        Outcome::Error { error: "too_many", message }
    }
}

impl From<Result<Answer, Refusal>> for Outcome {
    fn from(answer: Result<Answer, Refusal>) -> Outcome {
        let result = match answer {
            Ok(Answer::Killed(pid)) => json!({ "pid": pid }),
            Ok(Answer::Starting | Answer::Quitting) => json!({}),
            Ok(Answer::Mode(mode)) => json!({ "mode": mode_name(mode) }),
            Ok(Answer::Reloading(pid)) => json!({ "pid": pid }),
            Ok(Answer::Queued(bytes)) => json!({ "bytes": bytes }),
            Err(refusal) => {
                let (error, message) = match refusal {
                    Refusal::NoChild => ("no_child", "no child runs"),
                    Refusal::ChildRuns => ("child_runs", "a child runs already"),
                    Refusal::Oneshot => ("oneshot", "oneshot mode: the server is about to exit"),
                    Refusal::NoOverlap => ("no_overlap", "the server runs without --overlap"),
                    Refusal::Leaving => ("leaving", "the server exits"),
                };
                return Outcome::Error { error, message: message.to_owned() };
            }
        };
        Outcome::Result { result }
    }
}
