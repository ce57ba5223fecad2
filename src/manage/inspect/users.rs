//! The names of users. A name service may ask another machine, which may not answer.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use nix::unistd::{Uid, User};

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
