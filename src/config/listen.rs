//! The addresses of `--listen`, where the server opens sockets for its child. This file only parses
//! them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// An address of `--listen`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenUri {
    /// The text of the address, as given.
    pub text: Vec<u8>,
    /// The place that it means.
    pub place: ListenTarget,
}

/// A place where a child listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenTarget {
    /// A TCP address. An empty host means every address of this machine.
    Tcp {
        /// A name or an address, without brackets.
        host: String,
        /// The port; 0 means any free port.
        port: u16,
        /// The family of which the host has to have an address.
        family: Family,
    },
    /// A Unix stream socket in the file system.
    Unix(PathBuf),
    /// A socket that this process was started with, by its descriptor.
    Descriptor(i32),
}

/// A family of internet addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4, or IPv6 if there is no IPv4 address.
    Any,
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
}

impl ListenUri {
    /// Parses `tcp://HOST:PORT`, `tcp4://`, `tcp6://`, `unix:///PATH` or `fd://N`.
    ///
    /// # Errors
    /// Returns what is wrong, as a text to stand after the option and the address.
    pub fn parse(text: &OsStr) -> Result<ListenUri, &'static str> {
        let bytes = text.as_bytes();
        let families =
            [(&b"tcp://"[..], Family::Any), (b"tcp4://", Family::V4), (b"tcp6://", Family::V6)];
        let tcp = families.into_iter().find_map(|(scheme, family)| {
            let rest = bytes.strip_prefix(scheme)?;
            Some(tcp(rest, family).ok_or("needs HOST:PORT, with a port up to 65535"))
        });
        let place = if let Some(place) = tcp {
            place?
        } else if let Some(path) = bytes.strip_prefix(b"unix://") {
            match path {
                [b'/', _, ..] if !path.contains(&0) => {
                    ListenTarget::Unix(OsStr::from_bytes(path).to_owned().into())
                }
                _ => return Err("needs an absolute path: unix:///PATH"),
            }
        } else if let Some(number) = bytes.strip_prefix(b"fd://") {
            let number = digits(number).and_then(|number| number.parse().ok());
            let number = number.filter(|&number| number > 2);
            ListenTarget::Descriptor(number.ok_or("needs the number of a descriptor, 3 or more")?)
        } else {
            return Err("is none of tcp://HOST:PORT, tcp4://HOST:PORT, tcp6://HOST:PORT, \
                        unix:///PATH and fd://N");
        };
        Ok(ListenUri { text: bytes.to_vec(), place })
    }
}

fn tcp(text: &[u8], family: Family) -> Option<ListenTarget> {
    let (host, port) = std::str::from_utf8(text).ok()?.rsplit_once(':')?;
    let host = match host.strip_prefix('[') {
        Some(host) => host.strip_suffix(']').filter(|host| host.contains(':'))?,
        None => Some(host).filter(|host| !host.contains([':', ']', '/']))?,
    };
    let port = digits(port.as_bytes())?.parse().ok()?;
    Some(ListenTarget::Tcp { host: host.to_owned(), port, family })
}

/// Returns `text` if it consists of digits only.
fn digits(text: &[u8]) -> Option<&str> {
    let are = text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| are)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str) -> ListenTarget {
        let uri = ListenUri::parse(text.as_ref()).expect("an address");
        assert_eq!(uri.text, text.as_bytes());
        uri.place
    }

    fn tcp(host: &str, port: u16, family: Family) -> ListenTarget {
        ListenTarget::Tcp { host: host.to_owned(), port, family }
    }

    #[test]
    fn addresses() {
        assert_eq!(place("tcp://localhost:80"), tcp("localhost", 80, Family::Any));
        assert_eq!(place("tcp://:8080"), tcp("", 8080, Family::Any));
        assert_eq!(place("tcp4://1.2.3.4:0"), tcp("1.2.3.4", 0, Family::V4));
        assert_eq!(place("tcp6://[::1]:65535"), tcp("::1", 65535, Family::V6));
        assert_eq!(place("tcp://[fe80::1%eth0]:1"), tcp("fe80::1%eth0", 1, Family::Any));
        assert_eq!(place("unix:///run/a b"), ListenTarget::Unix("/run/a b".into()));
        assert_eq!(place("fd://3"), ListenTarget::Descriptor(3));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "80",
            "tcp",
            "tcp:",
            "tcp://",
            "tcp://host",
            "tcp://host:",
            "tcp://host:65536",
            "tcp://host:-1",
            "tcp://host:+1",
            "tcp://host:http",
            "tcp://::1:80",
            "tcp://[::1]",
            "tcp://[]:80",
            "tcp://[host]:80",
            "tcp://host:80/",
            "tcp://a/b:80",
            "udp://host:80",
            "TCP://host:80",
            "unix://",
            "unix:///",
            "unix://run/x",
            "unix:/run/x",
            "unix://@x",
            "fd://",
            "fd://x",
            "fd://2",
            "fd://-1",
            "fd://99999999999",
            "fd:3",
        ] {
            assert!(ListenUri::parse(text.as_ref()).is_err(), "{text}");
        }
    }
}
