//! Who a client is, and how records have it.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::Serialize;

use crate::console::event::{ClientId, Role};

/// Who is at the other end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::server) enum Caller {
    /// This address.
    Address(SocketAddr),
    /// This process, when it connected. Linux only.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code))]
    Process { uid: u32, gid: u32, pid: i32 },
    /// The system doesn't tell.
    Unknown,
}

/// A client, as records know it.
#[derive(Debug, Clone)]
pub(in crate::server) struct Who {
    pub(in crate::server) role: Role,
    pub(in crate::server) endpoint: String,
    pub(in crate::server) caller: Caller,
    /// When it came, in seconds since the epoch.
    pub(in crate::server) since: i64,
}

/// A client in a record.
#[derive(Debug, Serialize)]
pub(in crate::server) struct ClientLine<'a> {
    id: u64,
    #[serde(flatten)]
    who: Option<WhoLine<'a>>,
}

#[derive(Debug, Serialize)]
struct WhoLine<'a> {
    role: &'static str,
    endpoint: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<i32>,
}

/// An endpoint in a record.
#[derive(Debug, Clone, Serialize)]
pub(in crate::server) struct EndpointLine {
    role: &'static str,
    endpoint: String,
}

impl EndpointLine {
    pub(in crate::server) fn new(role: Role, endpoint: String) -> EndpointLine {
        EndpointLine { role: role_name(role), endpoint }
    }
}

/// The client called `id`.
pub(in crate::server) fn client_line(
    clients: &BTreeMap<ClientId, Who>,
    id: ClientId,
) -> ClientLine<'_> {
    let who = clients.get(&id).map(|who| {
        let (address, process) = match &who.caller {
            Caller::Address(address) => (Some(address.to_string()), None),
            &Caller::Process { uid, gid, pid } => (None, Some((uid, gid, pid))),
            Caller::Unknown => (None, None),
        };
        WhoLine {
            role: role_name(who.role),
            endpoint: &who.endpoint,
            address,
            uid: process.map(|(uid, _, _)| uid),
            gid: process.map(|(_, gid, _)| gid),
            pid: process.map(|(_, _, pid)| pid),
        }
    });
    ClientLine { id: id.0, who }
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::User => "user",
        Role::Logger => "logger",
    }
}
