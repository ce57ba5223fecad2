//! The telnet codec of a client (RFC 854), which can stop and go on at any byte. The server may
//! echo; all other options but one are declined.

use crate::telnet::{DO, DONT, ECHO, IAC, SB, SE, SUPPRESS_GO_AHEAD, WILL, WONT};

/// The state of a connection's stream from the server.
#[derive(Debug, Default)]
pub(crate) struct ClientDecoder {
    state: State,
    /// True if the option of the server is on, so that a repeated offer is not answered again: two
    /// programs that answer each answer would never stop (RFC 1143).
    echo: bool,
    suppress_go_ahead: bool,
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
            // The client has no option on, so there is none to stop.
            (DO, _) => Some(WONT),
            _ => None,
        }
    }
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
