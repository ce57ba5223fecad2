//! Sockets that the server opens for its child (`--listen`): every child gets the same ones, so that
//! connections wait in their queues while there is none. Nothing is ever accepted here.

use std::ffi::OsString;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use nix::sys::socket::{getsockopt, sockopt};

use super::recovery::Recovery;
use crate::config::Config;
use crate::config::listen::{Family, ListenTarget, ListenUri};
use crate::server::os::child_socket::ChildSocket;
use crate::server::os::fdstore;
use crate::server::os::listening_socket::{listen_at, listen_file};
use crate::server::startup::error::StartupError;
use crate::sys::fd;
use crate::sys::socket::MAX_BACKLOG;
use crate::systemd::listen_fds::ListenFds;

/// What a process was started with, by number, with its name if a service manager has given one.
pub(crate) type FdSockets = Vec<(i32, io::Result<(OwnedFd, Option<Vec<u8>>)>)>;

/// Takes the descriptors of `fd://`. To be called before anything else opens or takes descriptors.
pub(crate) fn fd_sockets(config: &Config, passed: &mut ListenFds) -> FdSockets {
    let numbers = config.child.listen.iter().filter_map(|uri| match uri.place {
        ListenTarget::Descriptor(number) => Some(number),
        ListenTarget::Tcp { .. } | ListenTarget::Unix(_) => None,
    });
    let mut take = |number| match passed.take_named(number) {
        Some((name, socket)) => Ok((socket, Some(name))),
        None => Ok((fd::adopt(number)?, None)),
    };
    numbers.map(|number| (number, take(number))).collect()
}

/// Opens all of them, or goes on with those of a server that died.
pub(crate) fn open(
    config: &Config,
    mut given: FdSockets,
    stored: &mut Recovery,
) -> Result<Vec<ChildSocket>, StartupError> {
    let open = |(index, uri): (usize, &ListenUri)| {
        let socket = match stored.child_socket(index, &uri.text) {
            Some(socket) => Ok(socket),
            None => open_one(index, uri, &mut given),
        };
        socket.map_err(|error| StartupError::Listen { uri: uri.text.clone(), error })
    };
    config.child.listen.iter().enumerate().map(open).collect()
}

/// What a child needs to find them: systemd's protocol (sd_listen_fds(3)) without LISTEN_PID, and
/// einhorn's.
pub(crate) fn environment(sockets: &[ChildSocket]) -> Vec<(OsString, OsString)> {
    if sockets.is_empty() {
        return Vec::new();
    }
    let count = sockets.len().to_string();
    let names: Vec<&[u8]> = sockets.iter().map(|socket| socket.name()).collect();
    let mut env = vec![
        ("LISTEN_FDS".into(), count.clone().into()),
        ("LISTEN_FDNAMES".into(), OsString::from_vec(names.join(&b':'))),
        ("EINHORN_FDS".into(), "3".into()),
        ("EINHORN_FD_COUNT".into(), count.into()),
    ];
    env.extend(
        (0..sockets.len())
            .map(|index| (format!("EINHORN_FD_{index}").into(), (index + 3).to_string().into())),
    );
    env
}

/// Whether a variable is of those that [`environment`] sets anew.
pub(crate) fn is_about_sockets(name: &std::ffi::OsStr) -> bool {
    name.as_bytes().starts_with(b"EINHORN_FD")
}

fn open_one(index: usize, uri: &ListenUri, given: &mut FdSockets) -> io::Result<ChildSocket> {
    let (mut name, mut file, mut passed) = (None, None, false);
    let socket = match &uri.place {
        ListenTarget::Tcp { host, port, family } => listen_tcp(host, *port, *family)?,
        ListenTarget::Unix(path) => {
            // As endpoints and systemd have it.
            let (socket, id) = listen_file(path, None, None, 0o666)?;
            file = Some((path.clone(), id));
            socket
        }
        ListenTarget::Descriptor(number) => {
            let at = given.iter().position(|(taken, _)| taken == number);
            let at = at.ok_or_else(|| io::Error::from_raw_os_error(nix::libc::EBADF))?;
            let (socket, known) = given.swap_remove(at).1?;
            getsockopt(&socket, sockopt::SockType)?;
            passed = known.is_some();
            name = known;
            socket
        }
    };
    let name = name.unwrap_or_else(|| fdstore::child_socket(index).into_bytes());
    Ok(ChildSocket::new(socket, uri.text.clone(), name, file, passed))
}

/// One socket for the first address of `host`, IPv4 before IPv6. Blocking, as whoever takes sockets
/// from systemd expects.
fn listen_tcp(host: &str, port: u16, family: Family) -> io::Result<OwnedFd> {
    if host.is_empty() && family == Family::Any {
        let all = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
        return listen_at(all, false, MAX_BACKLOG).or_else(|error| match error.raw_os_error() {
            // A machine without IPv6.
            Some(nix::libc::EAFNOSUPPORT | nix::libc::EADDRNOTAVAIL) => {
                listen_at(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)), false, MAX_BACKLOG)
            }
            _ => Err(error),
        });
    }
    let mut addresses: Vec<SocketAddr> = match (host, family) {
        ("", Family::V6) => vec![(Ipv6Addr::UNSPECIFIED, port).into()],
        ("", _) => vec![(Ipv4Addr::UNSPECIFIED, port).into()],
        _ => (host, port).to_socket_addrs()?.collect(),
    };
    addresses.retain(|address| match family {
        Family::Any => true,
        Family::V4 => address.is_ipv4(),
        Family::V6 => address.is_ipv6(),
    });
    addresses.sort_by_key(SocketAddr::is_ipv6);
    let address = addresses
        .first()
        .ok_or_else(|| io::Error::other(format!("{host} has no address of that kind")))?;
    listen_at(*address, family == Family::V6, MAX_BACKLOG)
}
