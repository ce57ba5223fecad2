//! The telnet codec of a client (RFC 854), which can stop and go on at any byte. The server may
//! echo, and may ask for the size of the window; all other options but one are declined.

use crate::telnet::{DO, DONT, ECHO, IAC, NAWS, SB, SE, SUPPRESS_GO_AHEAD, WILL, WONT, escape};

/// The state of a connection's stream from the server.
#[derive(Debug, Default)]
pub(crate) struct ClientDecoder {
    state: State,
    /// True if the option of the server is on, so that a repeated offer is not answered again: two
    /// programs that answer each answer would never stop (RFC 1143).
    echo: bool,
    suppress_go_ahead: bool,
    /// The size of the window, in columns and rows. `None` if there is no window that the server is to
    /// know.
    window: Option<(u16, u16)>,
    /// True if the server has asked for the size, and not against it.
    tells_window: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Data,
    Command,
    Option(u8),
    Sub,
    SubCommand,
}

impl ClientDecoder {
    /// The window has this size, in columns and rows. Appends what is to be sent to `answer`: nothing
    /// if the server knows the size already, or does not ask.
    pub(crate) fn set_window(&mut self, size: (u16, u16), answer: &mut Vec<u8>) {
        if self.window.replace(size) != Some(size) && self.tells_window {
            tell_window(size, answer);
        }
    }

    /// Separates bytes from the server into data for the terminal and answers for the server.
    pub(crate) fn decode(&mut self, input: &[u8], data: &mut Vec<u8>, answer: &mut Vec<u8>) {
        for &byte in input {
            self.state = match self.state {
                State::Data if byte == IAC => State::Command,
                State::Data => {
                    data.push(byte);
                    State::Data
                }
                State::Command => match byte {
                    IAC => {
                        data.push(IAC);
                        State::Data
                    }
                    WILL | WONT | DO | DONT => State::Option(byte),
                    SB => State::Sub,
                    _ => State::Data,
                },
                State::Option(verb) => {
                    if let Some(reply) = self.negotiate(verb, byte) {
                        answer.extend([IAC, reply, byte]);
                    }
                    if let (WILL_TELL, Some(size)) = ((verb, byte), self.window)
                        && !std::mem::replace(&mut self.tells_window, true)
                    {
                        tell_window(size, answer);
                    }
                    State::Data
                }
                State::Sub if byte == IAC => State::SubCommand,
                State::SubCommand if byte == SE => State::Data,
                State::Sub | State::SubCommand => State::Sub,
            };
        }
    }

    fn negotiate(&mut self, verb: u8, option: u8) -> Option<u8> {
        let on = match option {
            ECHO => Some(&mut self.echo),
            SUPPRESS_GO_AHEAD => Some(&mut self.suppress_go_ahead),
            _ => None,
        };
        match (verb, on) {
            (WILL, Some(on)) => (!std::mem::replace(on, true)).then_some(DO),
            (WONT, Some(on)) => std::mem::replace(on, false).then_some(DONT),
            (WILL, None) => Some(DONT),
            (DO, _) if option == NAWS && self.window.is_some() => {
                (!self.tells_window).then_some(WILL)
            }
            (DONT, _) if option == NAWS => {
                std::mem::replace(&mut self.tells_window, false).then_some(WONT)
            }
            // The client has no option on, so there is none to stop.
            (DO, _) => Some(WONT),
            _ => None,
        }
    }
}

/// The request of the server that has the client tell the size of its window.
const WILL_TELL: (u8, u8) = (DO, NAWS);

/// Appends the size of a window (RFC 1073).
fn tell_window((columns, rows): (u16, u16), out: &mut Vec<u8>) {
    let ([a, b], [c, d]) = (columns.to_be_bytes(), rows.to_be_bytes());
    out.extend([IAC, SB, NAWS]);
    escape(&[a, b, c, d], out);
    out.extend([IAC, SE]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decoded(chunks: &[&[u8]]) -> (Vec<u8>, Vec<u8>) {
        let (mut codec, mut data, mut answer) = (ClientDecoder::default(), Vec::new(), Vec::new());
        for chunk in chunks {
            codec.decode(chunk, &mut data, &mut answer);
        }
        (data, answer)
    }

    #[test]
    fn the_servers_offer() {
        let (data, answer) = decoded(&[b"a", &crate::telnet::OFFER, b"b\xff\xffc"]);
        assert_eq!(data, b"ab\xffc");
        assert_eq!(answer, [IAC, DO, ECHO, IAC, WONT, 34]);
    }

    #[test]
    fn nothing_is_answered_twice() {
        let (_, answer) =
            decoded(&[&[IAC, WILL, ECHO, IAC, WILL, ECHO, IAC, DONT, 5, IAC, WONT, 5]]);
        assert_eq!(answer, [IAC, DO, ECHO]);
    }

    #[test]
    fn the_window_is_told_to_who_asks() {
        let mut codec = ClientDecoder::default();
        let told = |codec: &mut ClientDecoder, sent: &[u8]| {
            let (mut data, mut answer) = (Vec::new(), Vec::new());
            codec.decode(sent, &mut data, &mut answer);
            answer
        };
        // Without a window, as any option.
        assert_eq!(told(&mut codec, &[IAC, DO, NAWS]), [IAC, WONT, NAWS]);
        let resized = |codec: &mut ClientDecoder, size| {
            let mut answer = Vec::new();
            codec.set_window(size, &mut answer);
            answer
        };
        assert_eq!(resized(&mut codec, (80, 24)), b"");
        assert_eq!(told(&mut codec, &[IAC, DONT, NAWS]), b"");
        let size = b"\xff\xfb\x1f\xff\xfa\x1f\0\x50\0\x18\xff\xf0";
        assert_eq!(told(&mut codec, &[IAC, DO, NAWS, IAC, DO, NAWS]), size);
        assert_eq!(resized(&mut codec, (80, 24)), b"");
        assert_eq!(resized(&mut codec, (255, 0)), b"\xff\xfa\x1f\0\xff\xff\0\0\xff\xf0");
        assert_eq!(told(&mut codec, &[IAC, DONT, NAWS, IAC, DONT, NAWS]), [IAC, WONT, NAWS]);
        assert_eq!(resized(&mut codec, (81, 24)), b"");
    }

    #[test]
    fn subnegotiations_are_swallowed() {
        let (data, answer) = decoded(&[&[b'a', IAC, SB, 24, 1, IAC, IAC, b'x', IAC, SE, b'b']]);
        assert_eq!((data, answer), (b"ab".to_vec(), Vec::new()));
    }

    proptest! {
        #[test]
        fn chunks_make_no_difference(
            bytes in prop::collection::vec(prop_oneof![any::<u8>(), 0xf0u8..=0xff], 0..64),
            cut in 0usize..64,
        ) {
            let cut = cut.min(bytes.len());
            prop_assert_eq!(decoded(&[&bytes[..cut], &bytes[cut..]]), decoded(&[&bytes]));
        }

        #[test]
        fn what_is_escaped_arrives(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let mut sent = Vec::new();
            crate::telnet::escape(&bytes, &mut sent);
            prop_assert_eq!(decoded(&[&sent]), (bytes, Vec::new()));
        }
    }
}
