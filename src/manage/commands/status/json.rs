//! What programs are told of an instance (docs/json.md): `status --json` prints these objects, and `watch`
//! goes on printing them.

use serde_json::{Value, json};

use crate::manage::inspect::overview::Overview;
use crate::manage::inspect::probe::{ConsoleSocket, ServerStatus};
use crate::manage::inspect::proc::{self, Process};
use crate::manage::registry::{Registry, unit_name};

/// The version of the format. It changes when the meaning of a field does.
pub(crate) const VERSION: u32 = 1;

/// The object of an instance.
pub(crate) fn object(registry: &Registry, one: &Overview) -> Value {
    let live = one.server.as_ref();
    let pid = |process: Option<&Process>| process.map(|process| process.pid);
    let instance = one.instance.as_ref();
    let raw = live.and_then(|live| live.raw.as_ref());
    let view = live.and_then(|live| live.view.as_ref());
    let path = |socket: Option<&ConsoleSocket>| socket.map(|socket| socket.path.clone());
    json!({
        "v": VERSION,
        "name": one.name,
        "scope": registry.scope.word(),
        "unit_name": unit_name(&one.name),
        "user": instance.and_then(|instance| instance.user.as_ref()),
        "control_group": instance.and_then(|instance| instance.control_group.as_ref()),
        "raw": path(raw),
        "view": path(view),
        "may_control": raw.is_some_and(|socket| socket.is_permitted),
        "may_view": view.is_some_and(|socket| socket.is_permitted),
        "state": one.state.word(),
        "wrong": one.is_wrong(),
        "last": one.ends.first().map(|end| &end.what),
        "last_time": one.ends.first().and_then(|end| end.time).map(proc::seconds),
        "last_code": one.ends.first().and_then(|end| end.code),
        "last_signal": one.ends.first().and_then(|end| end.signal),
        "last_cause": one.ends.first().map(|end| &end.cause),
        "trouble": one.trouble,
        "journal_dropped": one.notes.dropped,
        "unit": one.unit.as_ref().map(|unit| json!({
            "active_state": unit.get("ActiveState"),
            "result": unit.get("Result"),
            "file_state": unit.get("UnitFileState"),
        })),
        "server_pid": live.and_then(|live| pid(live.server.as_ref())),
        "server_since": live.and_then(|live| live.since).map(proc::seconds),
        "child_pid": live.and_then(|live| pid(live.child.as_ref())),
        "child_since": live.and_then(|live| live.child_since).map(proc::seconds),
        "endpoints": live.map(ServerStatus::all_endpoints).unwrap_or_default(),
        "status": live.and_then(|live| live.status.clone()),
    })
}
