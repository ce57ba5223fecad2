//! The endpoints where the server listens. This file parses and prints them (contract section 2) and
//! applies `--allow` and `--restrict`; it opens nothing. Who can reach a passed socket is decided
//! by the program that opened it.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use nix::net::if_::if_nametoindex;
use nix::unistd::{Group, User};

use self::number::Number;
use crate::config::c_number;

/// The size of `sun_path` on Linux (unix(7)). The name of a socket is shorter, with the `@` of an
/// abstract one.
pub(crate) const SUN_PATH_SIZE: usize = 108;

/// An address where clients connect, and the protocol there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The address.
    pub address: Address,
    /// True if connections are without telnet.
    pub raw: bool,
    /// True if clients of this control endpoint can only watch.
    pub view: bool,
}

/// An address to listen on, with `--allow` and `--restrict` applied and users and groups looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A TCP address; port 0 means any free port.
    Tcp(SocketAddr),
    /// A Unix stream socket in the file system.
    Unix {
        /// The path as given.
        path: PathBuf,
        /// The owner to set, if one was given.
        uid: Option<u32>,
        /// The group to set: the one given, or that of the owner.
        gid: Option<u32>,
        /// The permissions; 0o666 unless given.
        mode: u32,
    },
    /// A Linux abstract socket; the name without its `@`.
    Abstract(Vec<u8>),
    /// Sockets that the service manager has opened and passed.
    Passed(Passed),
}

/// Tells which of the sockets that the service manager passed are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Passed {
    /// The socket with this descriptor.
    Number(i32),
    /// All sockets with this name.
    Name(Vec<u8>),
}

/// Tells from where a TCP endpoint can be reached. Unix sockets have permissions instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// A control endpoint: from localhost only, whatever its address, unless `allow`.
    Control {
        /// `--allow`.
        allow: bool,
    },
    /// A log endpoint: from anywhere unless `restrict`.
    Log {
        /// `--restrict`.
        restrict: bool,
    },
}

impl Access {
    fn local_only(self) -> bool {
        match self {
            Access::Control { allow } => !allow,
            Access::Log { restrict } => restrict,
        }
    }
}

/// What is wrong with an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndpointError {
    /// It is none of the known kinds.
    NotASpec(OsString),
    /// The port is above 65535 or below 0. The text has its digits without leading
    /// zeros, after a sign if it is negative.
    PortOutOfRange(String),
    /// There is no user of this name.
    UnknownUser(OsString),
    /// There is no group of this name.
    UnknownGroup(OsString),
    /// There is no network interface of this name.
    UnknownInterface(OsString),
    /// There are one or two colons after `unix:`, in this text.
    Unparsable(OsString),
    /// The path is empty.
    NoPath,
    /// The path does not fit a socket address.
    PathTooLong,
}

impl EndpointError {
    /// Returns the line for stderr, without its newline (contract section 2).
    #[must_use]
    pub fn message(&self, argv0: &OsStr) -> Vec<u8> {
        let quoted = |words: &str, subject: &OsStr| {
            [words.as_bytes(), b" '", subject.as_bytes(), b"'"].concat()
        };
        match self {
            EndpointError::NotASpec(spec) => quoted("Invalid socket spec", spec),
            EndpointError::PortOutOfRange(port) => [
                argv0.as_bytes(),
                format!(": invalid control port {port} (must be <65536)").as_bytes(),
            ]
            .concat(),
            EndpointError::UnknownUser(name) => quoted("Unknown user", name),
            EndpointError::UnknownGroup(name) => quoted("Unknown group", name),
            EndpointError::UnknownInterface(name) => quoted("Unknown network interface", name),
            EndpointError::Unparsable(rest) => {
                quoted("Unix path+permissions spec unparsable", rest)
            }
            EndpointError::NoPath => b"expected unix socket path spec.".to_vec(),
            EndpointError::PathTooLong => b"Unix path is too long (must be <108)".to_vec(),
        }
    }
}

impl Endpoint {
    /// Returns true if the endpoint is a TCP port that the system chooses.
    #[must_use]
    pub fn is_any_port(&self) -> bool {
        matches!(&self.address, Address::Tcp(address) if address.port() == 0)
    }

    /// Parses `spec`, applies `access` to it and looks its users and groups up.
    ///
    /// # Errors
    /// Those of [`EndpointError`].
    pub fn parse(spec: &OsStr, access: Access) -> Result<Endpoint, EndpointError> {
        let bytes = spec.as_bytes();
        let (view, rest) = without_prefix(bytes, b"view:");
        let (raw, rest) = without_prefix(rest, b"raw:");
        let not_a_spec = || EndpointError::NotASpec(spec.to_os_string());
        // Clients of a log endpoint only watch anyway.
        if view && matches!(access, Access::Log { .. }) {
            return Err(not_a_spec());
        }
        let address = if let Some(rest) = rest.strip_prefix(b"unix:") {
            parse_unix(rest)
        } else if let Some(rest) = rest.strip_prefix(b"fd:") {
            parse_passed(rest).map(Address::Passed).ok_or_else(not_a_spec)
        } else {
            parse_tcp(rest, access, not_a_spec)
        };
        Ok(Endpoint { address: address?, raw, view })
    }

    /// Parses the endpoint of `--api`, `unix:[USER:GROUP:PERM:]PATH`, with the permissions 0600 unless
    /// it has others. An abstract socket has none, so that everybody could connect.
    ///
    /// # Errors
    /// Those of [`EndpointError`], and `NotASpec` for every other endpoint.
    pub fn parse_api(spec: &OsStr) -> Result<Endpoint, EndpointError> {
        let not_a_spec = || EndpointError::NotASpec(spec.to_os_string());
        let rest = spec.as_bytes().strip_prefix(b"unix:").ok_or_else(not_a_spec)?;
        let [_, _, perm, _] =
            unix_fields(rest).ok_or_else(|| EndpointError::Unparsable(os_string(rest)))?;
        if odd_permissions(spec).is_some_and(|_| !perm.is_empty()) {
            return Err(not_a_spec());
        }
        match parse_unix(rest)? {
            Address::Unix { path, uid, gid, .. } if perm.is_empty() => {
                Ok(Address::Unix { path, uid, gid, mode: 0o600 }.into())
            }
            address @ Address::Unix { .. } => Ok(address.into()),
            _ => Err(not_a_spec()),
        }
    }

    /// Returns the endpoint as the info file has it (contract section 7): `tcp:127.0.0.1:2000`,
    /// `unix:/path`, `unix:@name`, after `raw:` if the endpoint is without telnet, after `view:` if its
    /// clients can only watch.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let address = match &self.address {
            Address::Tcp(address) => format!("tcp:{address}").into_bytes(),
            Address::Unix { path, .. } => [b"unix:", path.as_os_str().as_bytes()].concat(),
            Address::Abstract(name) => [b"unix:@", name.as_slice()].concat(),
            Address::Passed(Passed::Number(number)) => format!("fd:{number}").into_bytes(),
            Address::Passed(Passed::Name(name)) => [b"fd:", name.as_slice()].concat(),
        };
        let view: &[u8] = if self.view { b"view:" } else { b"" };
        let raw: &[u8] = if self.raw { b"raw:" } else { b"" };
        [view, raw, &address].concat()
    }
}

impl From<Address> for Endpoint {
    /// Returns an endpoint with telnet, whose clients are not limited.
    fn from(address: Address) -> Endpoint {
        Endpoint { address, raw: false, view: false }
    }
}

impl fmt::Display for Endpoint {
    /// Prints [`Endpoint::to_bytes`]. Bytes that are not UTF-8 are replaced.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.to_bytes()))
    }
}

/// Returns true if `text` begins with `prefix`, and what follows it.
fn without_prefix<'a>(text: &'a [u8], prefix: &[u8]) -> (bool, &'a [u8]) {
    text.strip_prefix(prefix).map_or((false, text), |rest| (true, rest))
}

fn parse_unix(rest: &[u8]) -> Result<Address, EndpointError> {
    let [user, group, perm, path] =
        unix_fields(rest).ok_or_else(|| EndpointError::Unparsable(os_string(rest)))?;
    let user = lookup(user, User::from_name).map_err(EndpointError::UnknownUser)?;
    let group = lookup(group, Group::from_name).map_err(EndpointError::UnknownGroup)?;
    if path.is_empty() {
        return Err(EndpointError::NoPath);
    }
    if path.len() >= SUN_PATH_SIZE {
        return Err(EndpointError::PathTooLong);
    }
    if let Some(name) = path.strip_prefix(b"@") {
        return Ok(Address::Abstract(name.to_vec()));
    }
    Ok(Address::Unix {
        path: os_string(path).into(),
        uid: user.as_ref().map(|user| user.uid.as_raw()),
        gid: group.map(|group| group.gid).or(user.map(|user| user.gid)).map(|gid| gid.as_raw()),
        mode: if perm.is_empty() { 0o666 } else { octal(perm) },
    })
}

/// Returns user, group, permissions and path of the text after `unix:`.
fn unix_fields(rest: &[u8]) -> Option<[&[u8]; 4]> {
    let mut fields = rest.splitn(4, |&byte| byte == b':');
    match (fields.next(), fields.next(), fields.next(), fields.next()) {
        (Some(path), None, None, None) => Some([b"", b"", b"", path]),
        (Some(user), Some(group), Some(perm), Some(path)) => Some([user, group, perm, path]),
        _ => None,
    }
}

/// Returns the permissions in an endpoint and those that count instead, if these are others: if the
/// text is more or less than an octal number up to 7777.
#[must_use]
pub fn odd_permissions(spec: &OsStr) -> Option<(&[u8], u32)> {
    let (_, rest) = without_prefix(spec.as_bytes(), b"view:");
    let (_, rest) = without_prefix(rest, b"raw:");
    let rest = rest.strip_prefix(b"unix:")?;
    let [_, _, perm, _] = unix_fields(rest)?;
    let mode = octal(perm);
    let (_, digits) = c_number::split_sign(perm);
    let is_octal = digits.iter().all(|digit| (b'0'..=b'7').contains(digit));
    (!is_octal || c_number::integer(perm, 8) != mode.into()).then_some((perm, mode))
}

/// Looks a name up. An empty one is `None`, an unknown one is the error.
fn lookup<T>(
    name: &[u8],
    from_name: impl Fn(&str) -> nix::Result<Option<T>>,
) -> Result<Option<T>, OsString> {
    if name.is_empty() {
        return Ok(None);
    }
    std::str::from_utf8(name)
        .ok()
        .and_then(|name| from_name(name).ok().flatten())
        .map(Some)
        .ok_or_else(|| os_string(name))
}

/// Reads permissions as strtoul(3) with base 8 does: without digits they are 0, and too many are all
/// ones.
fn octal(text: &[u8]) -> u32 {
    const ALL: u32 = 0o7777;
    let value = c_number::integer(text, 8);
    match u64::try_from(value.unsigned_abs()) {
        Ok(_) => u32::try_from(value & i128::from(ALL)).unwrap_or(ALL),
        Err(_) => ALL,
    }
}

/// Reads a descriptor above 2, or a name, which must not contain a colon (sd_listen_fds(3)).
fn parse_passed(rest: &[u8]) -> Option<Passed> {
    if rest.is_empty() || rest.contains(&b':') {
        return None;
    }
    if !rest.iter().all(u8::is_ascii_digit) {
        return Some(Passed::Name(rest.to_vec()));
    }
    let number = std::str::from_utf8(rest).ok()?.parse().ok()?;
    (number >= 3).then_some(Passed::Number(number))
}

fn parse_tcp(
    spec: &[u8],
    access: Access,
    not_a_spec: impl Fn() -> EndpointError,
) -> Result<Address, EndpointError> {
    if let Some(rest) = spec.strip_prefix(b"[") {
        let end = rest.iter().position(|&byte| byte == b']').ok_or_else(&not_a_spec)?;
        let (address, rest) = rest.split_at(end);
        let port = rest.strip_prefix(b"]:").ok_or_else(&not_a_spec)?;
        let address = parse_ipv6(address, &not_a_spec)?;
        let port = parse_port(port, not_a_spec)?;
        let local = SocketAddrV6::new(Ipv6Addr::LOCALHOST, 0, 0, 0);
        let mut address = if access.local_only() { local } else { address };
        address.set_port(port);
        return Ok(Address::Tcp(address.into()));
    }
    let mut fields = spec.split(|&byte| byte == b':');
    let (address, port) = match (fields.next(), fields.next(), fields.next()) {
        (Some(port), None, None) => (Ipv4Addr::UNSPECIFIED, port),
        (Some(address), Some(port), None) => (parse_ipv4(address).ok_or_else(&not_a_spec)?, port),
        _ => return Err(not_a_spec()),
    };
    let port = parse_port(port, not_a_spec)?;
    let address = if access.local_only() { Ipv4Addr::LOCALHOST } else { address };
    Ok(Address::Tcp(SocketAddr::from((address, port))))
}

fn parse_port(text: &[u8], not_a_spec: impl Fn() -> EndpointError) -> Result<u16, EndpointError> {
    let port = Number::parse(text).ok_or_else(not_a_spec)?;
    port.value().ok_or_else(|| EndpointError::PortOutOfRange(port.to_string()))
}

/// Reads an address, and after `%` the name or number of its interface (RFC 4007). The port is 0.
fn parse_ipv6(
    text: &[u8],
    not_a_spec: impl Fn() -> EndpointError,
) -> Result<SocketAddrV6, EndpointError> {
    let text = std::str::from_utf8(text).map_err(|_| not_a_spec())?;
    let (address, interface) = match text.split_once('%') {
        Some((_, "")) => return Err(not_a_spec()),
        Some((address, interface)) => (address, Some(interface)),
        None => (text, None),
    };
    let address = address.parse().map_err(|_| not_a_spec())?;
    let scope = match interface {
        Some(name) => name.parse().or_else(|_| if_nametoindex(name)),
        None => Ok(0),
    };
    let unknown = |_| EndpointError::UnknownInterface(interface.unwrap_or_default().into());
    Ok(SocketAddrV6::new(address, 0, 0, scope.map_err(unknown)?))
}

fn parse_ipv4(text: &[u8]) -> Option<Ipv4Addr> {
    let mut octets =
        text.split(|&byte| byte == b'.').map(|octet| Number::parse(octet)?.value::<u8>());
    let (a, b, c, d) = (octets.next()??, octets.next()??, octets.next()??, octets.next()??);
    octets.next().is_none().then(|| Ipv4Addr::new(a, b, c, d))
}

fn os_string(bytes: &[u8]) -> OsString {
    OsStr::from_bytes(bytes).to_os_string()
}

mod number;
#[cfg(test)]
mod tests;
