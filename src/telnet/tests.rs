//! Every rule of contract section 4 that concerns the decoder, in every chunking.

use super::{Agreement, Decoder, LineEnds, OFFER, State, escape};
use proptest::prelude::*;

type Case = (&'static [u8], &'static [u8], &'static [u8]);

/// What the peer sends, what of it is data, what is answered. Short enough for every chunking.
const CASES: &[Case] = &[
    // Options the server takes no part in are refused, each time.
    (b"\xff\xfb\x03\xff\xfb\x03", b"", b"\xff\xfe\x03\xff\xfe\x03"),
    (b"\xff\xfd\x05\xff\xfd\x05", b"", b"\xff\xfc\x05\xff\xfc\x05"),
    // SUPPRESS-GO-AHEAD is never offered; each change that a client asks for is confirmed, once.
    (b"\xff\xfd\x03\xff\xfd\x03", b"", b"\xff\xfb\x03"),
    (b"\xff\xfd\x03\xff\xfe\x03\xff\xfe\x03", b"", b"\xff\xfb\x03\xff\xfc\x03"),
    (b"\xff\xfe\x03\xff\xfd\x03", b"", b"\xff\xfb\x03"),
    (b"\xff\xfd\x03\xff\xfb\x03\xff\xfc\x03", b"", b"\xff\xfb\x03\xff\xfe\x03"),
    // WILL ECHO and DO LINEMODE are such others: wrong side.
    (b"\xff\xfb\x01\xff\xfb\x01", b"", b"\xff\xfe\x01\xff\xfe\x01"),
    (b"\xff\xfd\x22\xff\xfd\x22", b"", b"\xff\xfc\x22\xff\xfc\x22"),
    (b"\xff\xfc\x01\xff\xfe\x22", b"", b""),
    // WONT and DONT of unknown options: silence.
    (b"\xff\xfc\x03\xff\xfe\x03", b"", b""),
    // Any byte is an option, and is answered as it came.
    (b"\xff\xfb\xffa\xff\xfd\xf0b", b"ab", b"\xff\xfe\xff\xff\xfc\xf0"),
    (b"\xff\xfb\0\xff\xfd\xfa", b"", b"\xff\xfe\0\xff\xfc\xfa"),
    // The answers to the offer get no answer; a repeat changes nothing.
    (b"\xff\xfd\x01\xff\xfb\x22", b"", b""),
    (b"\xff\xfe\x01\xff\xfc\x22", b"", b""),
    (b"\xff\xfd\x01\xff\xfd\x01\xff\xfd\x01", b"", b""),
    (b"\xff\xfe\x01\xff\xfe\x01", b"", b""),
    (b"\xff\xfb\x22\xff\xfb\x22", b"", b""),
    (b"\xff\xfc\x22\xff\xfc\x22", b"", b""),
    // Once agreed, dropping it is confirmed, once.
    (b"\xff\xfd\x01\xff\xfe\x01\xff\xfe\x01", b"", b"\xff\xfc\x01"),
    (b"\xff\xfb\x22\xff\xfc\x22\xff\xfc\x22", b"", b"\xff\xfe\x22"),
    // Once refused or dropped, a later wish is agreed to, once.
    (b"\xff\xfe\x01\xff\xfd\x01\xff\xfd\x01", b"", b"\xff\xfb\x01"),
    (b"\xff\xfc\x22\xff\xfb\x22\xff\xfb\x22", b"", b"\xff\xfd\x22"),
    (
        b"\xff\xfd\x01\xff\xfe\x01\xff\xfd\x01\xff\xfe\x01",
        b"",
        b"\xff\xfc\x01\xff\xfb\x01\xff\xfc\x01",
    ),
    // IAC IAC is one data byte; a command swallows only itself.
    (b"a\xff\xffb", b"a\xffb", b""),
    (b"\xff\xff\xfb\x03", b"\xff\xfb\x03", b""),
    (b"a\xff\xf1b\xffcd\xff\xf0e", b"abde", b""),
    // Line ends are data until the peer has sent a command, and NUL is the business of the ignore
    // list.
    (b"a\r\0b\r\nc\n\0", b"a\r\0b\r\nc\n\0", b""),
    (b"\xff\xff\r\na", b"\xff\r\na", b""),
    (b"\r\n\xff\xf1\r\n\r\0a", b"\r\n\r\ra", b""),
    // A line end is of the kind that its CR is, and one byte at most belongs to a CR.
    (b"\r\xff\xf1\na", b"\r\na", b""),
    (b"\xff\xf1\r\xff\xf1\na", b"\ra", b""),
    (b"\xff\xf1\r\xff\xfa\x18\n\xff\xf0\n\n", b"\r\n", b""),
    (b"\xff\xf1\r\r\n\n\r\0\0", b"\r\r\n\r\0", b""),
    (b"\xff\xf1\r\xff\xff\n\0\rb\n", b"\r\xff\n\0\rb\n", b""),
    // Subnegotiations are consumed; command characters in them are not commands.
    (b"a\xff\xfa\x18\x18\x14\x11\xff\xf0b", b"ab", b""),
    (b"\xff\xfa\x18\xff\xf0a", b"a", b""),
    (b"\xff\xfa\x18\xf0a\xff\xf0b", b"b", b""),
    // IAC IAC in one is its data, so the SE after it is too.
    (b"\xff\xfa\x18a\xff\xff\xf0b\xff\xf0c", b"c", b""),
    // Its option is any byte, IAC and SE too.
    (b"\xff\xfa\xff\xf0a\xff\xf0b", b"b", b""),
    (b"\xff\xfa\xff\xff\xf0a", b"a", b""),
    (b"\xff\xfa\xf0a\xff\xf0b", b"b", b""),
    // IAC and anything but SE ends it and is taken as that command.
    (b"\xff\xfa\x18a\xff\xf1b", b"b", b""),
    (b"\xff\xfa\x18a\xffbc", b"c", b""),
    (b"\xff\xfa\x18a\xff\xfb\x03b", b"b", b"\xff\xfe\x03"),
    (b"\xff\xfa\x18\xff\xfe\x01\xff\xfd\x01b", b"b", b"\xff\xfb\x01"),
    (b"\xff\xfa\x18a\xff\xfa\x18c\xff\xf0b", b"b", b""),
    // Old MCCP is complete as it stands, and only exactly so.
    (b"\xff\xfa\x55\xfb\xf0a", b"a", b""),
    (b"\xff\xfa\x55\xfb\xff\xf0a", b"a", b""),
    (b"\xff\xfa\x55\xfba\xf0b\xff\xf0c", b"c", b""),
    (b"\xff\xfa\x55a\xfb\xf0b\xff\xf0c", b"c", b""),
    (b"\xff\xfa\x55\xf0a\xff\xf0b", b"b", b""),
    (b"\xff\xfa\x55\xff\xff\xfb\xf0\xff\xf0b", b"b", b""),
    (b"\xff\xfa\x56\xfb\xf0b\xff\xf0c", b"c", b""),
];

/// Decodes the chunks on one fresh connection.
fn decode<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> (Decoder, Vec<u8>, Vec<u8>) {
    let (mut decoder, mut data, mut reply) = (Decoder::new(), Vec::new(), Vec::new());
    for chunk in chunks {
        let before = reply.len();
        decoder.decode(chunk, LineEnds::Join, &mut data, &mut reply);
        assert!(reply.len() - before <= chunk.len() + 2);
    }
    (decoder, data, reply)
}

#[test]
fn cases_in_every_chunking() {
    for &(input, data, reply) in CASES {
        for cuts in 0_u32..1 << (input.len() - 1) {
            // Bit n of `cuts` set: a read ends after byte n.
            let mut n = 0;
            let chunks = input.split_inclusive(|_| {
                n += 1;
                cuts >> (n - 1) & 1 == 1
            });
            let (decoder, got_data, got_reply) = decode(chunks);
            assert_eq!((&*got_data, &*got_reply), (data, reply), "{input:x?}");
            assert_eq!(decoder.state, State::Data, "{input:x?}");
        }
    }
}

#[test]
fn line_ends_may_be_kept() {
    let (mut data, mut reply) = (Vec::new(), Vec::new());
    let input = b"\xff\xf1a\r\0b\r\nc\n\0\r";
    Decoder::new().decode(input, LineEnds::Keep, &mut data, &mut reply);
    assert_eq!((&*data, &*reply), (&b"a\r\0b\r\nc\n\0\r"[..], &b""[..]));
}

/// The rule for line ends, on data that is already decoded.
fn joined(data: &[u8]) -> Vec<u8> {
    let mut joined = Vec::new();
    let mut after_cr = false;
    for &byte in data {
        if !(after_cr && matches!(byte, b'\n' | 0)) {
            joined.push(byte);
        }
        after_cr = byte == b'\r';
    }
    joined
}

#[test]
fn every_other_command_is_swallowed() {
    for command in (0..0xfa).chain([0xff]) {
        let (_, data, reply) = decode([&[b'a', 0xff, command, b'b'][..]]);
        let expected: &[u8] = if command == 0xff { b"a\xffb" } else { b"ab" };
        assert_eq!((&*data, &*reply), (expected, &b""[..]), "{command:x}");
    }
}

#[test]
fn a_subnegotiation_holds_16384_bytes() {
    // Content, what follows it, data, reply.
    type Long = (usize, &'static [u8], &'static [u8], &'static [u8]);
    let cases: &[Long] = &[
        (16384, b"\xff\xf0abc", b"abc", b""),
        (16384, b"\xff\xfb\x03abc", b"abc", b"\xff\xfe\x03"),
        // The next byte is dropped and gives it up: what follows is input, commands included.
        (16384, b"x\xff\xf0abc", b"abc", b""),
        (16384, b"xyz\xff\xfb\x03abc", b"yzabc", b"\xff\xfe\x03"),
        // IAC IAC counts as one.
        (16384, b"\xff\xffab\xff\xf0c", b"abc", b""),
        (16383, b"\xff\xffab\xff\xf0c", b"bc", b""),
        (16382, b"\xff\xffab\xff\xf0c", b"c", b""),
    ];
    for &(content, rest, data, reply) in cases {
        let mut input = b"\xff\xfa\x18".to_vec();
        input.resize(3 + content, b'x');
        input.extend_from_slice(rest);
        for size in [1, 2, 4096, input.len()] {
            let (_, got_data, got_reply) = decode(input.chunks(size));
            assert_eq!((&*got_data, &*got_reply), (data, reply), "{content} {rest:x?}");
        }
    }
    let mut pairs = b"\xff\xfa\x18".to_vec();
    pairs.resize(3 + 2 * 16384, 0xff);
    pairs.extend_from_slice(b"\xff\xf0c");
    assert_eq!(decode([&*pairs]).1, b"c");
}

#[test]
fn the_offer_is_what_the_decoder_starts_from() {
    assert_eq!(OFFER, *b"\xff\xfb\x01\xff\xfd\x22");
    let (decoder, ..) = decode([&b""[..]]);
    assert_eq!(decoder.options.echo, Agreement::Offered);
    assert_eq!(decoder.options.linemode, Agreement::Offered);
    let (decoder, ..) = decode([&b"\xff\xfd\x01\xff\xfc\x22"[..]]);
    assert_eq!(decoder.options.echo, Agreement::On);
    assert_eq!(decoder.options.linemode, Agreement::Off);
}

type WindowCase = (&'static [u8], &'static [u8], &'static [(u16, u16)]);

/// What a peer that is asked for its window sends, what is answered, and the sizes that it tells.
const WINDOWS: &[WindowCase] = &[
    // The answer to the question gets none; changes of mind are confirmed, once.
    (b"\xff\xfb\x1f\xff\xfb\x1f", b"", &[]),
    (b"\xff\xfc\x1f\xff\xfb\x1f\xff\xfb\x1f", b"\xff\xfd\x1f", &[]),
    (b"\xff\xfb\x1f\xff\xfc\x1f\xff\xfc\x1f", b"\xff\xfe\x1f", &[]),
    // The server has no window of its own.
    (b"\xff\xfd\x1f\xff\xfe\x1f", b"\xff\xfc\x1f", &[]),
    (b"\xff\xfb\x1f\xff\xfa\x1f\0\x50\0\x18\xff\xf0", b"", &[(80, 24)]),
    (
        b"\xff\xfb\x1f\xff\xfa\x1f\x01\0\0\x18\xff\xf0\xff\xfa\x1f\0\0\0\0\xff\xf0",
        b"",
        &[(256, 24), (0, 0)],
    ),
    (b"\xff\xfb\x1f\xff\xfa\x1f\xff\xff\xff\xff\0\xff\xff\xff\xf0", b"", &[(0xffff, 0xff)]),
    // Other lengths are no size, and neither is what another command ends.
    (b"\xff\xfb\x1f\xff\xfa\x1f\0\x50\0\xff\xf0", b"", &[]),
    (b"\xff\xfb\x1f\xff\xfa\x1f\0\x50\0\x18\0\xff\xf0", b"", &[]),
    (b"\xff\xfb\x1f\xff\xfa\x1f\0\x50\0\x18\xff\xf1", b"", &[]),
    (b"\xff\xfb\x1f\xff\xfa\x18\0\x50\0\x18\xff\xf0", b"", &[]),
    // Who has not agreed tells nothing.
    (b"\xff\xfa\x1f\0\x50\0\x18\xff\xf0", b"", &[]),
    (b"\xff\xfc\x1f\xff\xfa\x1f\0\x50\0\x18\xff\xf0", b"", &[]),
];

#[test]
fn windows_are_told() {
    for &(input, answer, sizes) in WINDOWS {
        let mut decoder = Decoder::new();
        assert_eq!(decoder.ask_window_size(), *b"\xff\xfd\x1f");
        let (mut data, mut reply, mut told) = (Vec::new(), Vec::new(), Vec::new());
        for byte in input {
            let size = decoder.decode(&[*byte], LineEnds::Join, &mut data, &mut reply);
            told.extend(size);
        }
        assert_eq!((&*reply, &*told), (answer, sizes), "{}", input.escape_ascii());
        assert!(data.is_empty() && decoder.window.is_none());
        let mut decoder = Decoder::new();
        decoder.ask_window_size();
        let last = decoder.decode(input, LineEnds::Join, &mut data, &mut reply);
        assert_eq!(last, sizes.last().copied());
    }
}

#[test]
fn nobody_is_asked_for_a_window_unless_that_is_wanted() {
    let mut decoder = Decoder::new();
    let input = b"\xff\xfb\x1f\xff\xfa\x1f\0\x50\0\x18\xff\xf0";
    let (mut data, mut reply) = (Vec::new(), Vec::new());
    assert_eq!(decoder.decode(input, LineEnds::Join, &mut data, &mut reply), None);
    assert_eq!(reply, b"\xff\xfe\x1f");
}

#[test]
fn an_idle_decoder_is_small() {
    assert!(size_of::<Decoder>() <= 16);
}

#[test]
fn escaping_doubles_only_iac() {
    let mut out = b"before ".to_vec();
    escape(b"a\xff\xffb\r\n\0\xfe\xff", &mut out);
    assert_eq!(out, b"before a\xff\xff\xff\xffb\r\n\0\xfe\xff\xff");
    out.clear();
    escape(b"", &mut out);
    assert_eq!(out, b"");
}

/// Bytes of which most mean something to the decoder.
fn telnet_bytes() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        4 => Just(0xff),
        4 => prop::sample::select(&[0xfa, 0xfb, 0xfc, 0xfd, 0xfe, 0xf0][..]),
        3 => prop::sample::select(&[0x01, 0x22, 0x55][..]),
        3 => prop::sample::select(&b"\r\n\0"[..]),
        2 => any::<u8>(),
    ];
    prop::collection::vec(byte, 0..200)
}

proptest! {
    #[test]
    fn chunking_changes_nothing(
        input in telnet_bytes(),
        sizes in prop::collection::vec(0_usize..9, 1..30),
    ) {
        let mut rest = &*input;
        let mut chunks = Vec::new();
        for size in sizes {
            let (chunk, tail) = rest.split_at(size.min(rest.len()));
            chunks.push(chunk);
            rest = tail;
        }
        chunks.push(rest);
        prop_assert_eq!(decode(chunks), decode([&*input]));
        prop_assert_eq!(decode(input.chunks(1)), decode([&*input]));
    }

    #[test]
    fn any_state_takes_any_bytes(
        held in any::<u16>(),
        mccp in any::<bool>(),
        inside_iac in any::<bool>(),
        input in telnet_bytes(),
    ) {
        // Also the states that only a damaged snapshot could hold.
        let mut decoder = Decoder::new();
        decoder.state = if inside_iac { State::SubIac { held } } else { State::Sub { held, mccp } };
        let (mut data, mut reply) = (Vec::new(), Vec::new());
        decoder.decode(&input, LineEnds::Join, &mut data, &mut reply);
        prop_assert!(data.len() <= input.len());
        prop_assert!(reply.len() <= input.len() + 2);
    }

    #[test]
    fn line_ends_are_joined_in_decoded_data(input in telnet_bytes()) {
        let spoken = [b"\xff\xf1", &*input].concat();
        let (mut kept, mut reply) = (Vec::new(), Vec::new());
        Decoder::new().decode(&spoken, LineEnds::Keep, &mut kept, &mut reply);
        prop_assert_eq!(decode(spoken.chunks(1)).1, joined(&kept));
    }

    #[test]
    fn what_is_escaped_is_decoded(bytes in prop_oneof![
        telnet_bytes(),
        prop::collection::vec(any::<u8>(), 0..300),
    ]) {
        let mut wire = Vec::new();
        escape(&bytes, &mut wire);
        let (decoder, data, reply) = decode([&*wire]);
        prop_assert_eq!(data, bytes);
        prop_assert!(reply.is_empty());
        prop_assert_eq!(decoder, Decoder::new());
    }
}
