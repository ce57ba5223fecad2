//! Opening the sockets for the child (`--listen`). Every child gets the same ones, so that
//! connections wait in their queues while no child runs.

use std::ffi::OsString;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use nix::errno::Errno;
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

/// The descriptors that this process was started with, by number, each with its name if a service
/// manager has given one.
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

/// Opens all sockets, or goes on with those of a server that crashed.
///
/// # Errors
/// A socket cannot be opened, or an `fd://` was not passed.
pub(crate) fn open(
    config: &Config,
    mut given: FdSockets,
    recovery: &mut Recovery,
) -> Result<Vec<ChildSocket>, StartupError> {
    let open = |(index, uri): (usize, &ListenUri)| {
        let socket = match recovery.child_socket(index, &uri.text) {
            Some(socket) => Ok(socket),
            None => open_one(index, uri, &mut given),
        };
        socket.map_err(|error| StartupError::Listen { uri: uri.text.clone(), error })
    };
    config.child.listen.iter().enumerate().map(open).collect()
}

/// The environment that tells a child of the sockets: systemd's protocol (sd_listen_fds(3)) without
/// LISTEN_PID, and einhorn's.
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

/// Returns true if [`environment`] sets this variable anew.
pub(crate) fn is_about_sockets(name: &std::ffi::OsStr) -> bool {
    name.as_bytes().starts_with(b"EINHORN_FD")
}

fn open_one(index: usize, uri: &ListenUri, given: &mut FdSockets) -> io::Result<ChildSocket> {
    let (mut name, mut file, mut passed) = (None, None, false);
    let socket = match &uri.place {
        ListenTarget::Tcp { host, port, family } => listen_tcp(host, *port, *family)?,
        ListenTarget::Unix(path) => {
            // The mode that endpoints and systemd's sockets have.
            let (socket, id) = listen_file(path, None, None, 0o666)?;
            file = Some((path.clone(), id));
            socket
        }
        ListenTarget::Descriptor(number) => {
            let at = given.iter().position(|(taken, _)| taken == number);
            let at = at.ok_or_else(|| io::Error::from(Errno::EBADF))?;
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

/// A socket for the first address of `host`, IPv4 before IPv6. It is blocking, as programs expect
/// of systemd's sockets.
fn listen_tcp(host: &str, port: u16, family: Family) -> io::Result<OwnedFd> {
    if host.is_empty() && family == Family::Any {
        let all = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
        return listen_at(all, false, MAX_BACKLOG).or_else(|error| match Errno::try_from(error) {
            // The machine has no IPv6.
            Ok(Errno::EAFNOSUPPORT | Errno::EADDRNOTAVAIL) => {
                listen_at(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)), false, MAX_BACKLOG)
            }
            Ok(errno) => Err(errno.into()),
            Err(error) => Err(error),
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
