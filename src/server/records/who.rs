//! Who a client is, and how records have it.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::Serialize;

use crate::console::event::{ClientId, Role};

/// Who is at the other end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::server) enum PeerIdentity {
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
pub(in crate::server) struct ClientInfo {
    pub(in crate::server) role: Role,
    pub(in crate::server) endpoint: String,
    pub(in crate::server) caller: PeerIdentity,
    /// When it came, in seconds since the epoch.
    pub(in crate::server) since: i64,
}

/// A client in a record.
#[derive(Debug, Serialize)]
pub(in crate::server) struct ClientJson<'a> {
    id: u64,
    #[serde(flatten)]
    who: Option<ClientInfoJson<'a>>,
}

#[derive(Debug, Serialize)]
struct ClientInfoJson<'a> {
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
pub(in crate::server) struct EndpointJson {
    role: &'static str,
    endpoint: String,
}

impl EndpointJson {
    pub(in crate::server) fn new(role: Role, endpoint: String) -> EndpointJson {
        EndpointJson { role: role_name(role), endpoint }
    }
}

/// The client called `id`.
pub(in crate::server) fn client_line(
    clients: &BTreeMap<ClientId, ClientInfo>,
    id: ClientId,
) -> ClientJson<'_> {
    let who = clients.get(&id).map(|who| {
        let (address, process) = match &who.caller {
            PeerIdentity::Address(address) => (Some(address.to_string()), None),
            &PeerIdentity::Process { uid, gid, pid } => (None, Some((uid, gid, pid))),
            PeerIdentity::Unknown => (None, None),
        };
        ClientInfoJson {
            role: role_name(who.role),
            endpoint: &who.endpoint,
            address,
            uid: process.map(|(uid, _, _)| uid),
            gid: process.map(|(_, gid, _)| gid),
            pid: process.map(|(_, _, pid)| pid),
        }
    });
    ClientJson { id: id.0, who }
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::User => "user",
        Role::Logger => "logger",
    }
}
