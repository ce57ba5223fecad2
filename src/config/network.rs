//! Networks that TCP clients may come from (`--allow-from`). Parses and compares; knows no sockets.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

/// The networks of all `--allow-from` options together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedNetworks {
    all: Vec<IpNet>,
    /// Networks that only clients with this role may come from, too.
    by_role: BTreeMap<&'static str, Vec<IpNet>>,
}

/// The roles of clients, as the records call them.
const ROLES: [&str; 3] = ["user", "logger", "viewer"];

impl AllowedNetworks {
    /// Adds the networks in `list`, `[ROLE=]NET[,NET...]`, for all clients or those of a role: each an IPv4 or IPv6 address, with `/BITS` if
    /// it is more than one host. The bits of the address behind the first `BITS` do not count.
    ///
    /// # Errors
    ///
    /// Returns the first element of the list that is not a network.
    pub fn add(&mut self, list: &str) -> Result<(), String> {
        let of_role = list
            .split_once('=')
            .and_then(|(role, nets)| Some((*ROLES.iter().find(|known| **known == role)?, nets)));
        let (networks, list) = match of_role {
            Some((role, nets)) => (self.by_role.entry(role).or_default(), nets),
            None => (&mut self.all, list),
        };
        for net in list.split(',') {
            networks.push(parse(net).ok_or(net)?);
        }
        Ok(())
    }

    /// Returns true if a client from `address` may connect that gets this role: `user`, `logger` or
    /// `viewer`. Clients of this machine always may.
    #[must_use]
    pub fn allows(&self, address: IpAddr, role: &str) -> bool {
        // A socket that was passed may take IPv4 clients under IPv6 addresses.
        let address = address.to_canonical();
        let of_role = self.by_role.get(role).into_iter().flatten();
        let mut networks = self.all.iter().chain(of_role);
        address.is_loopback() || networks.any(|network| network.contains(&address))
    }
}

fn parse(text: &str) -> Option<IpNet> {
    // Unlike ipnet, std refuses an octet with a leading zero, which some programs take as octal.
    let address: IpAddr = text.split('/').next()?.parse().ok()?;
    if text.contains('/') { text.parse().ok() } else { Some(address.into()) }
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
            assert!(networks.allows(address.parse().unwrap(), "user"), "{address}");
        }
        for address in refused {
            assert!(!networks.allows(address.parse().unwrap(), "user"), "{address}");
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
    fn a_role_has_networks_of_its_own() {
        let networks = networks(&["10.0.0.0/8", "user=11.0.0.0/8,::1:0/112", "logger=12.0.0.1"]);
        let allowed = |address: &str| {
            let address = address.parse().unwrap();
            ROLES.map(|role| networks.allows(address, role))
        };
        assert_eq!(allowed("10.1.1.1"), [true, true, true]);
        assert_eq!(allowed("11.1.1.1"), [true, false, false]);
        assert_eq!(allowed("::1:5"), [true, false, false]);
        assert_eq!(allowed("12.0.0.1"), [false, true, false]);
        assert_eq!(allowed("13.0.0.1"), [false, false, false]);
        assert_eq!(allowed("127.0.0.1"), [true, true, true]);
        for wrong in ["boss=10.0.0.1", "user=", "user", "=10.0.0.1", "user=10.0.0.1,logger=::1"] {
            assert!(AllowedNetworks::default().add(wrong).is_err(), "{wrong}");
        }
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
            "010.0.0.0/8",
            "010.0.0.0",
        ] {
            assert_eq!(AllowedNetworks::default().add(bad), Err(bad.to_owned()));
            let list = format!("10.0.0.0/8,{bad}");
            assert_eq!(AllowedNetworks::default().add(&list), Err(bad.to_owned()));
        }
        assert_eq!(AllowedNetworks::default().add("10.0.0.0/8,"), Err(String::new()));
    }
}
