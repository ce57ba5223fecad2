//! The names of users, and of the clients of servers. A name service may ask another machine, which may not answer.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use nix::unistd::{Uid, User};
use serde_json::Value;

use super::bounded;

static NAMES: Mutex<BTreeMap<u32, Option<String>>> = Mutex::new(BTreeMap::new());

/// Returns the name of the user with this number. `None` if there is no such user, or if the name
/// service has not answered in time. Each user is asked for once.
pub(crate) fn name(uid: u32) -> Option<String> {
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    let name = names.entry(uid).or_insert_with(|| {
        let look = bounded::one(move || User::from_uid(Uid::from_raw(uid)));
        look?.ok().flatten().map(|user| user.name)
    });
    name.clone()
}

/// Returns the user in words: `oper (uid 1001)`, or `uid 1001` without a name.
pub(crate) fn describe(uid: u32) -> String {
    match name(uid) {
        Some(name) => format!("{name} (uid {uid})"),
        None => format!("uid {uid}"),
    }
}

/// The clients in a status file, in words: `oper (uid 1001) since 2026-11-30 03:12:44`.
pub(crate) fn clients(status: Option<&Value>) -> Vec<String> {
    let all = status.and_then(|status| status.get("clients")?.as_array());
    let people = all.into_iter().flatten().filter(|it| text(it, "role") != "api");
    people.map(client).collect()
}

fn client(client: &Value) -> String {
    let uid = client.get("uid").and_then(Value::as_u64).and_then(|uid| u32::try_from(uid).ok());
    let who = match uid {
        Some(uid) => describe(uid),
        None => text(client, "address").to_owned(),
    };
    let since: String = text(client, "since").chars().take(19).collect();
    match (who.is_empty(), since.is_empty()) {
        (true, _) => text(client, "endpoint").to_owned(),
        (_, true) => who,
        _ => format!("{who} since {}", since.replace('T', " ")),
    }
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}
