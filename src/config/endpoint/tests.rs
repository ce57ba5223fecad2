//! Endpoint specs one by one, then whatever proptest thinks of.

use std::net::Ipv4Addr;

use nix::unistd::{Gid, Uid};
use proptest::prelude::*;

use super::*;

const ALLOW: Access = Access::Control { allow: true };
const LOCAL: Access = Access::Control { allow: false };

fn parse(spec: impl AsRef<[u8]>, access: Access) -> Result<Endpoint, EndpointError> {
    Endpoint::parse(OsStr::from_bytes(spec.as_ref()), access)
}

fn tcp(a: u8, b: u8, c: u8, d: u8, port: u16) -> Result<Endpoint, EndpointError> {
    Ok(Address::Tcp((Ipv4Addr::new(a, b, c, d), port).into()).into())
}

fn message(spec: impl AsRef<[u8]>) -> String {
    let error = parse(spec, LOCAL).unwrap_err();
    String::from_utf8(error.message(OsStr::new("ps"))).unwrap()
}

fn unix(path: &str, uid: Option<u32>, gid: Option<u32>, mode: u32) -> Endpoint {
    let path = path.into();
    Address::Unix { path, uid, gid, mode }.into()
}

#[test]
fn access_decides_the_address() {
    assert_eq!(parse("2000", LOCAL), tcp(127, 0, 0, 1, 2000));
    assert_eq!(parse("2000", ALLOW), tcp(0, 0, 0, 0, 2000));
    assert_eq!(parse("10.1.2.3:2000", LOCAL), tcp(127, 0, 0, 1, 2000));
    assert_eq!(parse("10.1.2.3:2000", ALLOW), tcp(10, 1, 2, 3, 2000));
    let (open, restricted) = (Access::Log { restrict: false }, Access::Log { restrict: true });
    assert_eq!(parse("2000", open), tcp(0, 0, 0, 0, 2000));
    assert_eq!(parse("2000", restricted), tcp(127, 0, 0, 1, 2000));
    assert_eq!(parse("10.1.2.3:2000", open), tcp(10, 1, 2, 3, 2000));
    assert_eq!(parse("10.1.2.3:2000", restricted), tcp(127, 0, 0, 1, 2000));
}

#[test]
fn numbers_may_have_zeros_a_plus_and_blanks() {
    for spec in [" 2000", "2000 ", "+2000", "0002000", "\t2000\n", "\x0b\x0c\r +2000"] {
        assert_eq!(parse(spec, LOCAL), tcp(127, 0, 0, 1, 2000), "{spec:?}");
    }
    for spec in
        [" 127 . 0 . 0 . 9 : 2000 ", "+127.+0.0.9:+2000", "0127.0.00.09:2000", "127.-0.0.9:2000"]
    {
        assert_eq!(parse(spec, ALLOW), tcp(127, 0, 0, 9, 2000), "{spec:?}");
    }
    assert_eq!(parse("0", LOCAL), tcp(127, 0, 0, 1, 0));
    assert_eq!(parse("-0", LOCAL), tcp(127, 0, 0, 1, 0));
    assert_eq!(parse("65535", LOCAL), tcp(127, 0, 0, 1, 65535));
}

#[test]
fn passed_sockets_have_a_number_or_a_name() {
    let passed = |spec: &str| parse(spec, LOCAL).map(|endpoint| endpoint.to_string());
    assert_eq!(parse("fd:3", LOCAL), Ok(Address::Passed(Passed::Number(3)).into()));
    assert_eq!(parse("fd:x", ALLOW), Ok(Address::Passed(Passed::Name(b"x".to_vec())).into()));
    for spec in ["fd:3", "fd:2147483647", "fd:ioc-demo.socket", "fd:3x", "fd:-3", "fd: "] {
        assert_eq!(passed(spec).unwrap(), spec);
    }
    assert_eq!(passed("fd:0005").unwrap(), "fd:5");
    for spec in ["fd:", "fd:0", "fd:2", "fd:2147483648", "fd:a:b", "fd:3:", "fd"] {
        assert_eq!(message(spec), format!("Invalid socket spec '{spec}'"));
    }
}

fn tcp6(address: &str) -> Result<Endpoint, EndpointError> {
    Ok(Address::Tcp(address.parse::<SocketAddrV6>().unwrap().into()).into())
}

#[test]
fn ipv6_addresses_stand_in_brackets() {
    for (spec, address) in [
        ("[::1]:2000", "[::1]:2000"),
        ("[::]:0", "[::]:0"),
        ("[2001:DB8:0::1]: +02000 ", "[2001:db8::1]:2000"),
        ("[::ffff:10.0.0.1]:1", "[::ffff:10.0.0.1]:1"),
        ("[fe80::1%7]:2000", "[fe80::1%7]:2000"),
    ] {
        assert_eq!(parse(spec, ALLOW), tcp6(address), "{spec}");
        assert_eq!(parse(spec, ALLOW).unwrap().to_string(), format!("tcp:{address}"));
    }
}

#[test]
fn access_decides_the_ipv6_address() {
    assert_eq!(parse("[2001:db8::1]:2000", LOCAL), tcp6("[::1]:2000"));
    assert_eq!(parse("[fe80::1%7]:2000", LOCAL), tcp6("[::1]:2000"));
    assert_eq!(parse("[2001:db8::1]:2000", ALLOW), tcp6("[2001:db8::1]:2000"));
    let (open, restricted) = (Access::Log { restrict: false }, Access::Log { restrict: true });
    assert_eq!(parse("[::]:2000", open), tcp6("[::]:2000"));
    assert_eq!(parse("[::]:2000", restricted), tcp6("[::1]:2000"));
}

#[test]
fn interfaces_are_known_by_name() {
    let Ok(lo) = if_nametoindex("lo") else { return };
    assert_eq!(parse("[fe80::1%lo]:2000", ALLOW), tcp6(&format!("[fe80::1%{lo}]:2000")));
    for access in [ALLOW, LOCAL] {
        let error = parse("[fe80::1%no such]:2000", access).unwrap_err();
        assert_eq!(
            error.message(OsStr::new("ps")),
            b"Unknown network interface 'no such'",
            "{access:?}"
        );
    }
}

#[test]
fn any_endpoint_may_be_raw() {
    let group = Group::from_gid(Gid::from_raw(1)).unwrap().unwrap().name;
    let with_group = format!("unix::{group}:600:/run/x");
    for spec in
        ["2000", "10.0.0.1:2000", "[::1]:0", "unix:x", "unix:@x", "fd:3", "fd:x", &with_group]
    {
        for access in [ALLOW, LOCAL] {
            let plain = parse(spec, access).unwrap();
            let raw = parse(format!("raw:{spec}"), access).unwrap();
            assert!(raw.raw && !plain.raw);
            assert_eq!(raw.address, plain.address);
            assert_eq!(raw.to_string(), format!("raw:{plain}"));
        }
    }
    assert_eq!(message("raw:unix:"), "expected unix socket path spec.");
    assert_eq!(message("raw:unix:a:b"), "Unix path+permissions spec unparsable 'a:b'");
    assert_eq!(message("raw:70000"), "ps: invalid control port 70000 (must be <65536)");
}

#[test]
fn what_is_no_spec_is_quoted_back() {
    for spec in [
        "",
        " ",
        "x",
        "-",
        "+",
        "+ 1",
        "- 1",
        "+-1",
        "1.5",
        "0x50",
        "2000x",
        "2000:",
        ":2000",
        "1 2",
        "127.0.0.1",
        "127.0.0.1:",
        "1.2.3:4",
        "1.2.3.4.5:6",
        "1.2.3.4:5:6",
        "1.2.3.4:5 x",
        "localhost:2000",
        "127.0.0.258:2000",
        "127.0.0.-1:2000",
        "4294967423.0.0.1:2000",
        "UNIX:/x",
        "Unix:/x",
        " unix:/x",
        "tcp:2000",
        "unix",
        "::1",
        "::1:2000",
        "[::1]",
        "[::1]2000",
        "[::1]:",
        "[::1]:x",
        "[::1]:1:2",
        "[]:2000",
        "[:]:99999",
        "[10.0.0.1]:2000",
        "[fe80::1%]:2000",
        " [::1]:2000",
        "[ ::1]:2000",
        "[::1",
        "raw",
        "raw:",
        "raw: 2000x",
        "raw:raw:2000",
        "Raw:2000",
        "unix",
        "raw:UNIX:x",
        "raw:fd:",
    ] {
        assert_eq!(message(spec), format!("Invalid socket spec '{spec}'"));
    }
    let error = parse(b"\xff\xfe", LOCAL).unwrap_err();
    assert_eq!(error.message(OsStr::new("ps")), b"Invalid socket spec '\xff\xfe'");
}

#[test]
fn a_port_out_of_range_is_named_as_a_number() {
    for (spec, shown) in [
        ("65536", "65536"),
        ("-1", "-1"),
        ("[::1]:65536", "65536"),
        (" -007 ", "-7"),
        ("+00070000", "70000"),
        ("127.0.0.1:4294969296", "4294969296"),
        ("99999999999999999999999999", "99999999999999999999999999"),
    ] {
        assert_eq!(message(spec), format!("ps: invalid control port {shown} (must be <65536)"));
    }
    let log = Access::Log { restrict: false };
    assert_eq!(parse("70000", log), Err(EndpointError::PortOutOfRange("70000".into())));
}

#[test]
fn unix_paths_are_kept_as_given() {
    for path in ["/run/x", "./x", "x", " x", "a b", "@x/../y"] {
        let endpoint = parse(format!("unix:{path}"), LOCAL).unwrap();
        assert_eq!(endpoint.to_bytes(), format!("unix:{path}").into_bytes());
    }
    assert_eq!(parse("unix:x", LOCAL), Ok(unix("x", None, None, 0o666)));
    assert_eq!(parse("unix:@x", LOCAL), Ok(Address::Abstract(b"x".to_vec()).into()));
    assert_eq!(parse("unix:@", LOCAL), Ok(Address::Abstract(Vec::new()).into()));
}

#[test]
fn owner_group_and_permissions_may_each_be_left_out() {
    let root = User::from_uid(Uid::from_raw(0)).unwrap().unwrap();
    let group = Group::from_gid(Gid::from_raw(1)).unwrap().unwrap();
    let cases = [
        ("unix::::x".to_string(), unix("x", None, None, 0o666)),
        (format!("unix:{}:::x", root.name), unix("x", Some(0), Some(0), 0o666)),
        (format!("unix:{}:{}::x", root.name, group.name), unix("x", Some(0), Some(1), 0o666)),
        (format!("unix::{}:640:x", group.name), unix("x", None, Some(1), 0o640)),
        ("unix::::a:b:c".to_string(), unix("a:b:c", None, None, 0o666)),
    ];
    for (spec, endpoint) in cases {
        assert_eq!(parse(&spec, LOCAL), Ok(endpoint), "{spec}");
    }
    assert_eq!(parse("unix:::600:@a:b", LOCAL), Ok(Address::Abstract(b"a:b".to_vec()).into()));
}

/// Each of these was seen on a socket of procServ 2.7.0.
#[test]
fn permissions_are_read_like_strtoul() {
    for (perm, mode) in [
        ("0660", 0o660),
        (" 600", 0o600),
        ("\t+0640z", 0o640),
        ("x", 0),
        ("0x1ff", 0),
        ("- 7", 0),
        ("8", 0),
        ("-1", 0o7777),
        ("17777", 0o7777),
        ("99999999999999999999999999", 0),
        ("77777777777777777777777777", 0o7777),
        ("-7777777777777777777700", 0o7777),
    ] {
        let endpoint = parse(format!("unix:::{perm}:x"), LOCAL);
        assert_eq!(endpoint, Ok(unix("x", None, None, mode)), "{perm:?}");
    }
}

#[test]
fn unix_errors_are_in_procservs_words() {
    assert_eq!(message("unix:"), "expected unix socket path spec.");
    assert_eq!(message("unix::::"), "expected unix socket path spec.");
    for rest in ["a:b", "@a:b", ":", "::", "a:b:c"] {
        assert_eq!(
            message(format!("unix:{rest}")),
            format!("Unix path+permissions spec unparsable '{rest}'")
        );
    }
    assert_eq!(message("unix:no such:no such::"), "Unknown user 'no such'");
    assert_eq!(message("unix::no such::x"), "Unknown group 'no such'");
    assert_eq!(message("unix:0:::x"), "Unknown user '0'");
    let error = parse(b"unix:\xff:::x", LOCAL).unwrap_err();
    assert_eq!(error.message(OsStr::new("ps")), b"Unknown user '\xff'");
    for first in ["a", "@"] {
        let longest = format!("unix:{first}{}", "a".repeat(106));
        assert_eq!(parse(&longest, LOCAL).unwrap().to_bytes(), longest.as_bytes());
        assert_eq!(message(longest + "a"), "Unix path is too long (must be <108)");
    }
}

fn blanks() -> impl Strategy<Value = String> {
    "[ \t\n\x0b\x0c\r]{0,3}"
}

fn written(number: u32) -> impl Strategy<Value = String> {
    (blanks(), "[+]?0{0,5}", blanks())
        .prop_map(move |(a, zeros, b)| format!("{a}{zeros}{number}{b}"))
}

proptest! {
    #[test]
    fn never_panics(spec in proptest::collection::vec(1..=255_u8, 0..130), allow: bool) {
        let control = parse(&spec, Access::Control { allow });
        let log = parse(&spec, Access::Log { restrict: !allow });
        prop_assert_eq!(&control, &log);
        if let Err(error) = control {
            prop_assert!(!error.message(OsStr::new("ps")).contains(&b'\n') || spec.contains(&b'\n'));
        }
    }

    #[test]
    fn a_tcp_address_survives_print_and_parse(address: [u8; 4], port: u16) {
        let endpoint = Endpoint::from(Address::Tcp((Ipv4Addr::from(address), port).into()));
        let printed = endpoint.to_string();
        prop_assert_eq!(parse(printed.strip_prefix("tcp:").unwrap(), ALLOW), Ok(endpoint));
    }

    #[test]
    fn an_ipv6_address_survives_print_and_parse(address: u128, port: u16, scope: u32) {
        let address = SocketAddrV6::new(Ipv6Addr::from(address), port, 0, scope);
        let endpoint = Endpoint::from(Address::Tcp(address.into()));
        let printed = endpoint.to_string();
        prop_assert_eq!(parse(printed.strip_prefix("tcp:").unwrap(), ALLOW), Ok(endpoint));
    }

    #[test]
    fn a_path_survives_print_and_parse(path in proptest::collection::vec(1..=255_u8, 1..108)) {
        let plain = !path.contains(&b':');
        let prefix = if plain { &b"unix:"[..] } else { b"unix::::" };
        let endpoint = parse([prefix, &path].concat(), LOCAL).unwrap();
        let printed = endpoint.to_bytes();
        prop_assert_eq!(&printed, &[b"unix:", path.as_slice()].concat());
        if plain {
            prop_assert_eq!(parse(printed, LOCAL), Ok(endpoint));
        }
    }

    #[test]
    fn a_number_may_be_written_in_many_ways(
        (number, port) in any::<u16>().prop_flat_map(|n| (Just(n), written(n.into()))),
        (octet, first) in any::<u8>().prop_flat_map(|n| (Just(n), written(n.into()))),
    ) {
        prop_assert_eq!(parse(&port, LOCAL), tcp(127, 0, 0, 1, number));
        prop_assert_eq!(parse(format!("{first}.0.0.1:{port}"), ALLOW), tcp(octet, 0, 0, 1, number));
    }

    #[test]
    fn a_number_too_large_is_refused(port in 65536..=u32::MAX, octet in 256..=u32::MAX) {
        prop_assert_eq!(
            parse(format!("1.2.3.4:{port}"), ALLOW),
            Err(EndpointError::PortOutOfRange(port.to_string()))
        );
        let spec = format!("1.2.{octet}.4:5");
        prop_assert_eq!(parse(&spec, ALLOW), Err(EndpointError::NotASpec(spec.into())));
    }

    #[test]
    fn any_other_character_makes_it_no_spec(
        spec in "[0-9.:+ -]{0,8}[^0-9.:+\\-\\s\\x00][0-9a-z.:+ -]{0,8}"
            .prop_filter("another kind", |spec| !spec.starts_with("unix:") && !spec.starts_with("raw:"))
    ) {
        prop_assert_eq!(parse(&spec, ALLOW), Err(EndpointError::NotASpec(spec.into())));
    }
}
