//! An endpoint in procServ's notation, and a connection to it.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use crate::manage::limits::CONNECT_TIMEOUT;
use crate::sys;

/// Where a console is, and in which protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// True unless the endpoint is a raw one.
    pub(super) telnet: bool,
    /// True if the server takes nothing that is typed there.
    pub(super) view: bool,
    address: Address,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Address {
    Tcp(String, u16),
    Unix(String),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.view {
            f.write_str("view:")?;
        }
        if !self.telnet {
            f.write_str("raw:")?;
        }
        match &self.address {
            Address::Tcp(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Address::Tcp(host, port) => write!(f, "{host}:{port}"),
            Address::Unix(path) => write!(f, "unix:{path}"),
        }
    }
}

impl Target {
    /// Reads `PORT`, `HOST:PORT`, `[ADDRESS]:PORT`, `tcp:...`, `unix:PATH`, `unix:@NAME`, `/PATH`,
    /// all also after `raw:`, `view:` or `view:raw:`. `None` for any other text.
    pub(super) fn parse(text: &str) -> Option<Target> {
        let (view, text) = match text.strip_prefix("view:") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (telnet, text) = match text.strip_prefix("raw:") {
            // The server refuses this order, too.
            Some(rest) if rest.starts_with("view:") => return None,
            Some(rest) => (false, rest),
            None => (true, text),
        };
        let address = if let Some(rest) = text.strip_prefix("unix:") {
            // As an option of the server, `unix:user:group:mode:path`, and as the server shows it.
            let fields =
                if rest.starts_with(['/', '@']) { None } else { rest.splitn(4, ':').nth(3) };
            let path = fields.unwrap_or(rest);
            (!path.is_empty()).then(|| Address::Unix(path.to_owned()))
        } else if text.starts_with('/') {
            Some(Address::Unix(text.to_owned()))
        } else {
            tcp(text.strip_prefix("tcp:").unwrap_or(text))
        };
        address.map(|address| Target { telnet, view, address })
    }

    /// The endpoint, after the name by which the user asked for it.
    pub(super) fn describe(&self, name: &str) -> String {
        let endpoint = self.to_string();
        if name == endpoint { endpoint } else { format!("{name}: {endpoint}") }
    }

    /// Connects. For a Unix socket that may take as long as the server accepts nobody.
    ///
    /// # Errors
    /// Those of connect(2) and of looking the host up.
    pub(super) fn connect(&self) -> io::Result<ConsoleConnection> {
        match &self.address {
            Address::Unix(path) => match path.strip_prefix('@') {
                Some(name) => {
                    UnixStream::connect_addr(&sys::socket::abstract_address(name.as_bytes())?)
                }
                None => UnixStream::connect(path),
            }
            .map(ConsoleConnection::Unix),
            Address::Tcp(host, port) => {
                let mut error = io::ErrorKind::NotFound.into();
                for address in (host.as_str(), *port).to_socket_addrs()? {
                    match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
                        Ok(stream) => {
                            sys::fd::tune_tcp(&stream);
                            return Ok(ConsoleConnection::Tcp(stream));
                        }
                        Err(refused) => error = refused,
                    }
                }
                Err(error)
            }
        }
    }
}

fn tcp(text: &str) -> Option<Address> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, port),
        None => ("localhost", text),
    };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let port = port.parse().ok().filter(|&port| port != 0)?;
    (!host.is_empty()).then(|| Address::Tcp(host.to_owned(), port))
}

/// A connection to a console.
#[derive(Debug)]
pub(super) enum ConsoleConnection {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl ConsoleConnection {
    pub(super) fn set_nonblocking(&self) -> io::Result<()> {
        match self {
            ConsoleConnection::Tcp(stream) => stream.set_nonblocking(true),
            ConsoleConnection::Unix(stream) => stream.set_nonblocking(true),
        }
    }

    pub(super) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            ConsoleConnection::Tcp(stream) => { stream }.read(buffer),
            ConsoleConnection::Unix(stream) => { stream }.read(buffer),
        }
    }

    pub(super) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            ConsoleConnection::Tcp(stream) => { stream }.write(bytes),
            ConsoleConnection::Unix(stream) => { stream }.write(bytes),
        }
    }

    /// Ends this side of the connection: nothing more will be sent.
    pub(super) fn shutdown_write(&self) -> io::Result<()> {
        match self {
            ConsoleConnection::Tcp(stream) => stream.shutdown(Shutdown::Write),
            ConsoleConnection::Unix(stream) => stream.shutdown(Shutdown::Write),
        }
    }
}

impl AsFd for ConsoleConnection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            ConsoleConnection::Tcp(stream) => stream.as_fd(),
            ConsoleConnection::Unix(stream) => stream.as_fd(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_as_they_are_written() {
        let read = |text| Target::parse(text).map(|target| (target.to_string(), target.telnet));
        let telnet = |text: &str| Some((text.to_owned(), true));
        assert_eq!(read("2000"), telnet("localhost:2000"));
        assert_eq!(read("tcp:0.0.0.0:2000"), telnet("0.0.0.0:2000"));
        assert_eq!(read("ioc.example:2000"), telnet("ioc.example:2000"));
        assert_eq!(read("tcp:[::1]:2000"), telnet("[::1]:2000"));
        assert_eq!(read("unix:/a"), telnet("unix:/a"));
        assert_eq!(read("unix:@a"), telnet("unix:@a"));
        assert_eq!(read("unix:ioc:ioc:0660:/a:b"), telnet("unix:/a:b"));
        assert_eq!(read("raw:unix:/a"), Some(("raw:unix:/a".to_owned(), false)));
        assert_eq!(read("view:unix:/a"), telnet("view:unix:/a"));
        assert_eq!(read("view:tcp:[::1]:2000"), telnet("view:[::1]:2000"));
        let raw = ("view:raw:unix:/a".to_owned(), false);
        assert_eq!(read("view:raw:unix:ioc:ioc:0660:/a"), Some(raw));
        assert_eq!(read("/a"), telnet("unix:/a"));
        assert_eq!(read("unix:/a:b:c:d"), telnet("unix:/a:b:c:d"));
        assert_eq!(read("unix::::/a:b:c:d"), telnet("unix:/a:b:c:d"));
        assert_eq!(read("unix:@a:b:c:d"), telnet("unix:@a:b:c:d"));
        for text in ["ioc1", "", ":", "0", "x:", "unix:", "70000", "raw:view:2000"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
