//! `--allow-from`: networks whose TCP clients are let in.

use crate::support::{ServerBuilder, TestEnv, TestServer, cases};
use nix::ifaddrs::getifaddrs;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const NO_IPV4: &str = "no IPv4 but on loopback";
const NO_IPV6: &str = "no IPv6 but on loopback";

cases![
    clients_from_the_network_are_served.only_if(own_ipv4().is_some(), NO_IPV4),
    clients_from_elsewhere_are_closed_without_a_byte.only_if(own_ipv4().is_some(), NO_IPV4),
    log_clients_are_chosen_too.only_if(own_ipv4().is_some(), NO_IPV4),
    raw_clients_are_chosen_too.only_if(own_ipv4().is_some(), NO_IPV4),
    roles_have_networks_of_their_own.only_if(own_ipv4().is_some(), NO_IPV4),
    lists_add_up.only_if(own_ipv4().is_some(), NO_IPV4),
    networks_outlive_an_upgrade.only_if(own_ipv4().is_some(), NO_IPV4),
    ipv6_clients_are_chosen.only_if(own_ipv6().is_some(), NO_IPV6),
    passed_socket_for_both_families_knows_them_apart
        .only_if(own_ipv6().is_some(), NO_IPV6)
        .only_if(own_ipv4().is_some(), NO_IPV4),
    endpoints_are_not_opened_by_it.only_if(own_ipv4().is_some(), NO_IPV4),
    this_machine_is_always_let_in,
    unix_clients_are_no_concern_of_it,
    bad_networks_are_errors,
];

fn own_addresses() -> Vec<IpAddr> {
    let addresses = getifaddrs().expect("the interfaces").filter_map(|interface| {
        let address = interface.address?;
        let four = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
        four.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
    });
    addresses.filter(|address| !address.is_loopback()).collect()
}

/// An address of this machine that is not the loopback's: who connects to it comes from it.
fn own_ipv4() -> Option<Ipv4Addr> {
    own_addresses().into_iter().find_map(|address| match address {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    })
}

/// The same that needs no interface.
pub(super) fn own_ipv6() -> Option<Ipv6Addr> {
    own_addresses().into_iter().find_map(|address| match address {
        IpAddr::V6(address) if address.segments()[0] & 0xffc0 != 0xfe80 => Some(address),
        _ => None,
    })
}

fn own() -> String {
    own_ipv4().unwrap().to_string()
}

/// Those that share more or less of `address`: its own network, and one that it is not in.
fn networks(address: Ipv4Addr) -> (String, String) {
    let bits = address.to_bits();
    let neighbour = Ipv4Addr::from_bits(bits ^ 0x100);
    (format!("{address}/24"), format!("{neighbour}/24"))
}

/// An open server on `port`, its diagnostics in `stdout`.
fn open(env: &TestEnv, port: u16, nets: &str) -> ServerBuilder {
    let options = ["-d", "--allow", "--allow-from", nets];
    env.server().control(&port.to_string()).opts(options)
}

fn socket_address(address: &str, port: u16) -> String {
    SocketAddr::new(address.parse().unwrap(), port).to_string()
}

fn is_served(server: &TestServer, address: &str, port: u16) {
    server.connect_to(&socket_address(address, port)).until("@@@ procServ server PID: ");
}

/// It is closed without a byte, and that is said.
fn is_turned_away(server: &TestServer, address: &str, port: u16) {
    let received = server.connect_to(&socket_address(address, port)).until_end();
    assert!(received.is_empty(), "{received:?}");
    server.file_with("stdout", format!("connection from {address} refused"));
}

fn clients_from_the_network_are_served(env: &TestEnv) {
    let port = env.free_port();
    let (mine, _) = networks(own_ipv4().unwrap());
    for nets in [&mine, &own(), "0.0.0.0/0"] {
        let server = open(env, port, nets).start();
        is_served(&server, &own(), port);
        server.terminate();
    }
}

fn clients_from_elsewhere_are_closed_without_a_byte(env: &TestEnv) {
    let port = env.free_port();
    let (_, other) = networks(own_ipv4().unwrap());
    let server = open(env, port, &other).start();
    is_turned_away(&server, &own(), port);
    // Nobody was told, nobody is counted.
    let mut user = server.connect();
    user.until("@@@ 0 user(s) and 0 logger(s) connected (plus you)\r\n");
}

fn log_clients_are_chosen_too(env: &TestEnv) {
    let port = env.free_port();
    let (mine, other) = networks(own_ipv4().unwrap());
    for (nets, served) in [(mine, true), (other, false)] {
        let log = port.to_string();
        let setup = env.server().opts(["-d", "-l", &log, "--allow-from", &nets]);
        let server = setup.start();
        server.connect().greeting();
        match served {
            true => is_served(&server, &own(), port),
            false => is_turned_away(&server, &own(), port),
        }
        server.terminate();
    }
}

fn roles_have_networks_of_their_own(env: &TestEnv) {
    let ports = [(); 3].map(|()| env.free_port());
    let [user, logger, viewer] = ports.map(|port| port.to_string());
    let (mine, other) = networks(own_ipv4().unwrap());
    for (index, role) in ["user", "logger", "viewer"].into_iter().enumerate() {
        let nets = [format!("{role}={mine}"), other.clone()];
        let options = ["-d", "--allow", "-P", &format!("view:{viewer}"), "-l", &logger];
        let setup = env.server().control(&user).opts(options);
        let setup = setup.opts(["--allow-from", &nets[0], "--allow-from", &nets[1]]);
        let server = setup.start();
        server.connect().greeting();
        for (place, port) in ports.into_iter().enumerate() {
            match place == index {
                true => is_served(&server, &own(), port),
                false => is_turned_away(&server, &own(), port),
            }
        }
        server.terminate();
    }
}

fn raw_clients_are_chosen_too(env: &TestEnv) {
    let port = env.free_port();
    let (mine, other) = networks(own_ipv4().unwrap());
    for (nets, served) in [(mine, true), (other, false)] {
        let raw = format!("raw:{port}");
        let options = ["-d", "--allow", "-P", &raw, "--allow-from", &nets];
        let server = env.server().opts(options).start();
        server.connect().greeting();
        match served {
            true => is_served(&server, &own(), port),
            false => is_turned_away(&server, &own(), port),
        }
        server.terminate();
    }
}

fn lists_add_up(env: &TestEnv) {
    let port = env.free_port();
    let (mine, other) = networks(own_ipv4().unwrap());
    let list = format!("{other},{mine}");
    for options in [
        vec!["--allow-from", &list],
        vec!["--allow-from", &mine, "--allow-from", &other],
        vec!["--allow-from", &other, "--allow-from", &mine],
    ] {
        let setup = env.server().control(&port.to_string()).opts(["--allow"]).opts(options);
        let server = setup.start();
        is_served(&server, &own(), port);
        server.terminate();
    }
}

fn networks_outlive_an_upgrade(env: &TestEnv) {
    let port = env.free_port();
    let (_, other) = networks(own_ipv4().unwrap());
    let server = open(env, port, &other).logged().start();
    server.connect().greeting();
    server.signal(nix::sys::signal::Signal::SIGUSR1);
    server.file_with("log", "@@@ procServ server upgraded in place");
    is_turned_away(&server, &own(), port);
}

fn ipv6_clients_are_chosen(env: &TestEnv) {
    let port = env.free_port();
    let own = own_ipv6().unwrap().to_string();
    let mine = format!("{own}/64");
    for (nets, served) in [(&*mine, true), ("2001:db8::/32", false), ("0.0.0.0/0", false)] {
        let options = ["-d", "--allow", "--allow-from", nets];
        let server = env.server().control(&format!("[::]:{port}")).opts(options).start();
        server.connect_to(&format!("[::1]:{port}")).greeting();
        match served {
            true => is_served(&server, &own, port),
            false => is_turned_away(&server, &own, port),
        }
        server.terminate();
    }
}

/// systemd's are for both families as a rule.
fn passed_socket_for_both_families_knows_them_apart(env: &TestEnv) {
    let port = env.free_port();
    let (mine, other) = networks(own_ipv4().unwrap());
    for (nets, served) in [(mine, true), (other, false), ("::/0".to_owned(), false)] {
        let launch = ["pass", &format!("tcp:[::]:{port}"), "x"].map(str::to_owned);
        let setup = env.server().bare().launched_by(launch);
        let setup = setup.opts(["-f", "-d", "-P", "fd:x", "--allow-from", &nets]);
        let server = setup.command(["./fake-ioc", "cat"]).start();
        server.connect_to(&port.to_string()).greeting();
        match served {
            true => is_served(&server, &own(), port),
            false => {
                let received = server.connect_to(&socket_address(&own(), port)).until_end();
                assert!(received.is_empty(), "{received:?}");
            }
        }
        server.terminate();
    }
}

fn endpoints_are_not_opened_by_it(env: &TestEnv) {
    let port = env.free_port();
    let setup = env.server().control(&port.to_string());
    let server = setup.opts(["--allow-from", "0.0.0.0/0"]).start();
    server.connect().greeting();
    assert_eq!(server.refused(&format!("{}:{port}", own())), ErrorKind::ConnectionRefused);
}

fn this_machine_is_always_let_in(env: &TestEnv) {
    let port = env.free_port();
    let server = open(env, port, "192.0.2.7/32").start();
    server.connect().greeting();
    assert!(!server.stdout().contains("refused"));
}

fn unix_clients_are_no_concern_of_it(env: &TestEnv) {
    let server = env.server().opts(["--allow-from", "192.0.2.7"]).start();
    server.connect().greeting();
}

fn bad_networks_are_errors(env: &TestEnv) {
    for (list, net) in [
        ("", ""),
        ("10.0.0.0/8,", ""),
        ("10.0.0.0/8, 10.0.0.0/8", " 10.0.0.0/8"),
        ("10.0.0.0/33", "10.0.0.0/33"),
        ("10.0.0/8", "10.0.0/8"),
        ("::/129", "::/129"),
        ("10.0.0.0/8,localhost", "localhost"),
        ("user=10.0.0.0/8,localhost", "localhost"),
        ("boss=10.0.0.0/8", "boss=10.0.0.0/8"),
        ("10.0.0.0/255.0.0.0", "10.0.0.0/255.0.0.0"),
    ] {
        // Also if another one is good.
        let options = ["--allow-from", list, "--allow-from", "10.0.0.0/8"];
        let finished = env.server().opts(options).run();
        let reason = "([user=|logger=|viewer=] ADDRESS or ADDRESS/BITS)";
        let line = format!("procServ: invalid network '{net}' for --allow-from {reason}\n");
        finished.assert(1, "", &line);
        assert!(!finished.instance.path("starts").exists());
    }
}
