//! Where the server listens. Parses and prints endpoint specs (contract section 2) and applies the
//! rule of access; opens nothing.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// One place to listen on, resolved: rules of access applied, users and groups looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// A TCP address; port 0 asks for a free one.
    Tcp(SocketAddr),
    /// A Unix stream socket in the file system.
    Unix {
        /// Exactly as given: relative stays relative.
        path: PathBuf,
        /// Owner to set, if any was named.
        uid: Option<u32>,
        /// Group to set: the one named, else the named user's own.
        gid: Option<u32>,
        /// Permissions; 0o666 unless given.
        mode: u32,
    },
    /// A Linux abstract socket; the name without its `@`.
    Abstract(Vec<u8>),
}

impl fmt::Display for Endpoint {
    /// As in the info file: `tcp:127.0.0.1:2000`, `unix:/path`, `unix:@name` (contract section 7).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Tcp(address) => write!(f, "tcp:{address}"),
            Endpoint::Unix { path, .. } => write!(f, "unix:{}", path.display()),
            Endpoint::Abstract(name) => write!(f, "unix:@{}", String::from_utf8_lossy(name)),
        }
    }
}
