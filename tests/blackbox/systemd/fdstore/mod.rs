//! `--fdstore`: a server is killed, and another one goes on with its child and its clients.

mod damage;
mod ends;
mod joins;
mod kill_logs;
mod kills;
mod manager;
mod relatives;
mod store;
mod survival;
mod unit;

use crate::support::{Case, Client};

pub(super) fn cases() -> Vec<Case> {
    [
        survival::cases(),
        ends::cases(),
        unit::cases(),
        damage::cases(),
        manager::cases(),
        kills::cases(),
        kill_logs::cases(),
        joins::cases(),
        relatives::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// What everybody is told.
const RESTARTED: &str = "\r\n@@@ procServ server restarted\r\n";

/// What is kept for a child and one endpoint.
const BASICS: [&str; 4] = ["child", "listener", "pty", "state"];

/// The same with a client.
const WITH_CLIENT: [&str; 5] = ["child", "client", "listener", "pty", "state"];

/// The next that this client gets is the one line.
#[track_caller]
fn is_told(client: &mut Client) {
    assert_eq!(String::from_utf8_lossy(&client.until("restarted\r\n")), RESTARTED);
}

/// The child echoes and answers, and nothing else comes.
#[track_caller]
fn is_served(client: &mut Client, text: &str) {
    client.send(format!("{text}\n"));
    let answer = client.until(format!("{text}\r\n{text}\r\n"));
    assert_eq!(String::from_utf8_lossy(&answer), format!("{text}\r\n{text}\r\n"));
}
