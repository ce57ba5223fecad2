//! The telnet decoder: however its input is cut, it gives the same; what it answers is bounded;
//! what is escaped comes back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use procserv::telnet::{Decoder, escape};

fuzz_target!(|input: (Vec<u8>, Vec<u8>)| {
    let (bytes, cuts) = input;
    let (mut data, mut reply) = (Vec::new(), Vec::new());
    let mut whole = Decoder::new();
    whole.decode(&bytes, &mut data, &mut reply);
    assert!(data.len() <= bytes.len() && reply.len() <= bytes.len() + 2);

    let (mut cut_data, mut cut_reply) = (Vec::new(), Vec::new());
    let mut decoder = Decoder::new();
    let mut rest = bytes.as_slice();
    for cut in cuts {
        let (head, tail) = rest.split_at(usize::from(cut).min(rest.len()));
        decoder.decode(head, &mut cut_data, &mut cut_reply);
        rest = tail;
    }
    decoder.decode(rest, &mut cut_data, &mut cut_reply);
    assert_eq!((data, reply, whole), (cut_data, cut_reply, decoder));

    let (mut wire, mut back) = (Vec::new(), Vec::new());
    escape(&bytes, &mut wire);
    Decoder::new().decode(&wire, &mut back, &mut Vec::new());
    assert_eq!(back, bytes);
});
