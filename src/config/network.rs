//! Networks that TCP clients may come from (`--allow-from`). Parses and compares; knows no sockets.

use std::net::{IpAddr, Ipv4Addr};

/// Several, together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedNetworks(Vec<Network>);

/// The addresses that begin like one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    /// How many bits the others have in common with it.
    prefix: u32,
}

impl AllowedNetworks {
    /// Adds those in `list`, `NET[,NET...]`: each an address, IPv4 or IPv6, with `/BITS` if it is more
    /// than one host. Bits after these don't count.
    ///
    /// # Errors
    /// What is none.
    pub fn add(&mut self, list: &str) -> Result<(), String> {
        for net in list.split(',') {
            self.0.push(Network::parse(net).ok_or(net)?);
        }
        Ok(())
    }

    /// Whether a client from `address` is let in. One of this machine always is.
    #[must_use]
    pub fn allows(&self, address: IpAddr) -> bool {
        // A socket that was passed may take IPv4 clients under IPv6 addresses.
        let address = address.to_canonical();
        address.is_loopback() || self.0.iter().any(|network| network.contains(address))
    }
}

impl Network {
    fn parse(text: &str) -> Option<Network> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let bits = if address.is_ipv4() { Ipv4Addr::BITS } else { u128::BITS };
        let prefix = match prefix {
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().ok().filter(|&prefix| prefix <= bits)?
            }
            Some(_) => return None,
            None => bits,
        };
        Some(Network { address, prefix })
    }

    fn contains(&self, address: IpAddr) -> bool {
        // A shift by all bits leaves none.
        match (self.address, address) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                let differ = a.to_bits() ^ b.to_bits();
                differ.checked_shr(Ipv4Addr::BITS - self.prefix).unwrap_or(0) == 0
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => {
                let differ = a.to_bits() ^ b.to_bits();
                differ.checked_shr(u128::BITS - self.prefix).unwrap_or(0) == 0
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(lists: &[&str]) -> AllowedNetworks {
        let mut networks = AllowedNetworks::default();
        lists.iter().for_each(|list| networks.add(list).unwrap());
        networks
    }

    #[track_caller]
    fn check(lists: &[&str], admitted: &[&str], refused: &[&str]) {
        let networks = networks(lists);
        for address in admitted {
            assert!(networks.allows(address.parse().unwrap()), "{address}");
        }
        for address in refused {
            assert!(!networks.allows(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn bits_say_how_much_of_an_address_counts() {
        check(&["10.1.2.0/24"], &["10.1.2.0", "10.1.2.255"], &["10.1.1.255", "10.1.3.0", "::a01"]);
        check(&["10.1.2.3/8"], &["10.0.0.0", "10.255.255.255"], &["11.0.0.0", "9.255.255.255"]);
        check(&["10.1.2.3/32"], &["10.1.2.3"], &["10.1.2.2"]);
        check(&["10.1.2.2/31"], &["10.1.2.2", "10.1.2.3"], &["10.1.2.1", "10.1.2.4"]);
        check(&["1.2.3.4/0"], &["0.0.0.0", "255.255.255.255"], &["::", "2001:db8::1"]);
        check(&["2001:db8::/32"], &["2001:db8:ffff::1"], &["2001:db9::", "10.0.0.1"]);
        check(&["fe80::1/128"], &["fe80::1"], &["fe80::2"]);
        check(&["::/0"], &["2001:db8::1"], &["10.0.0.1", "::ffff:10.0.0.1"]);
    }

    #[test]
    fn an_address_is_a_network_of_its_own() {
        check(&["10.1.2.3"], &["10.1.2.3"], &["10.1.2.4"]);
        check(&["2001:db8::1"], &["2001:db8::1"], &["2001:db8::2"]);
    }

    #[test]
    fn networks_add_up() {
        let lists = ["10.0.0.0/8,2001:db8::/32", "192.168.0.0/16"];
        let admitted = ["10.1.1.1", "2001:db8::1", "192.168.1.1"];
        check(&lists, &admitted, &["192.169.1.1", "2001:db9::1"]);
    }

    #[test]
    fn this_machine_is_always_let_in() {
        let own = ["127.0.0.1", "127.255.0.1", "::1", "::ffff:127.0.0.1"];
        check(&["10.0.0.0/8"], &own, &["128.0.0.1", "::2"]);
    }

    #[test]
    fn ipv4_clients_of_an_ipv6_socket_are_ipv4_clients() {
        check(&["10.0.0.0/8"], &["::ffff:10.1.1.1"], &["::ffff:11.1.1.1"]);
    }

    #[test]
    fn what_is_no_network_is_named() {
        for bad in [
            "",
            " ",
            "x",
            "localhost",
            "10",
            "10.0.0",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/-1",
            "10.0.0.0/+8",
            "10.0.0.0/8/8",
            "10.0.0.0/255.0.0.0",
            " 10.0.0.0/8",
            "::/129",
            "[::1]",
            "fe80::1%eth0",
            "/8",
            "10.0.0.256",
            "10.0.0.0/99999999999999999999",
        ] {
            assert_eq!(AllowedNetworks::default().add(bad), Err(bad.to_owned()));
            let list = format!("10.0.0.0/8,{bad}");
            assert_eq!(AllowedNetworks::default().add(&list), Err(bad.to_owned()));
        }
        assert_eq!(AllowedNetworks::default().add("10.0.0.0/8,"), Err(String::new()));
    }
}
