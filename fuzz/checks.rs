//! What must hold for any input, whether cargo-fuzz makes it or it is one of the corpus.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use procserv::cli;
use procserv::endpoint::{Access, Endpoint};
use procserv::telnet::{Decoder, escape};

/// The telnet decoder: however its input is cut, it gives the same; what it answers is bounded;
/// what is escaped comes back. The input begins with the number of cuts and their distances.
pub fn telnet(input: &[u8]) {
    let Some((&count, input)) = input.split_first() else { return };
    let (cuts, bytes) = input.split_at(usize::from(count).min(input.len()));
    let (mut data, mut reply) = (Vec::new(), Vec::new());
    let mut whole = Decoder::new();
    whole.decode(bytes, &mut data, &mut reply);
    assert!(data.len() <= bytes.len() && reply.len() <= bytes.len() + 2);

    let (mut cut_data, mut cut_reply) = (Vec::new(), Vec::new());
    let mut decoder = Decoder::new();
    let mut rest = bytes;
    for &cut in cuts {
        let (head, tail) = rest.split_at(usize::from(cut).min(rest.len()));
        decoder.decode(head, &mut cut_data, &mut cut_reply);
        rest = tail;
    }
    decoder.decode(rest, &mut cut_data, &mut cut_reply);
    assert_eq!((data, reply, whole), (cut_data, cut_reply, decoder));

    let (mut wire, mut back) = (Vec::new(), Vec::new());
    escape(bytes, &mut wire);
    Decoder::new().decode(&wire, &mut back, &mut Vec::new());
    assert_eq!(back, bytes);
}

/// The endpoint parser: never panics, and what it prints of an endpoint is that endpoint. The
/// input begins with `l` or another letter for a log or a control endpoint, in upper case if it is
/// open to all hosts.
pub fn endpoint(input: &[u8]) {
    let Some((letter, spec)) = input.split_first() else { return };
    // The user database is no part of this.
    let place = spec.strip_prefix(b"raw:").unwrap_or(spec);
    if place.starts_with(b"unix:") && place.iter().filter(|&&byte| byte == b':').count() >= 4 {
        return;
    }
    let open = letter.is_ascii_uppercase();
    let access = match letter.to_ascii_lowercase() {
        b'l' => Access::Log { restrict: !open },
        _ => Access::Control { allow: open },
    };
    match Endpoint::parse(OsStr::from_bytes(spec), access) {
        Ok(endpoint) => {
            let printed = endpoint.to_bytes();
            let raw: &[u8] = if endpoint.raw { b"raw:" } else { b"" };
            let place = printed.strip_prefix(raw).unwrap_or(&printed);
            let spec = [raw, place.strip_prefix(b"tcp:").unwrap_or(place)].concat();
            assert_eq!(Endpoint::parse(OsStr::from_bytes(&spec), access), Ok(endpoint));
        }
        Err(error) => assert!(!error.message(OsStr::new("procServ")).is_empty()),
    }
}

/// The command line: never panics; what refuses to start says why, or was asked for its help or
/// version. The input is what follows the program's name, its words apart by NUL.
pub fn command_line(input: &[u8]) {
    let words = input.split(|&byte| byte == 0).map(<[u8]>::to_vec);
    let argv = std::iter::once(b"procServ".to_vec()).chain(words).map(OsString::from_vec);
    match cli::parse(argv.collect(), &|_| None) {
        Ok(config) => {
            assert!(!config.controls.is_empty());
            assert!((0..=31).contains(&config.kill_signal));
        }
        Err(exit) => assert!(match exit.code {
            0 => !exit.stdout.is_empty(),
            _ => !exit.stderr.is_empty(),
        }),
    }
}
