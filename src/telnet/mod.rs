//! The telnet codec of the server (RFC 854, contract section 4), which can stop and go on at any
//! byte. It separates the bytes of a control client into input for the child and answers for the
//! client, and escapes the bytes for clients. It does no I/O and keeps no data: of subnegotiations
//! only the length is kept, and the size of a window. The bytes of a log client are discarded, so they need no decoder.
//! [`client`] is the other side.

pub(crate) mod client;
mod option;
#[cfg(test)]
mod tests;

use minicbor::{Decode, Encode};

pub use self::option::{Agreement, OFFER, Options, Request, Verb};
pub(crate) use self::option::{ECHO, NAWS, SUPPRESS_GO_AHEAD};

/// The state of one connection's incoming telnet stream. It is plain data, so that a handover can
/// take it to another program.
#[derive(Debug, Default, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Decoder {
    /// What the next byte will mean.
    #[n(0)]
    pub state: State,
    /// What has been negotiated.
    #[n(1)]
    pub options: Options,
    /// True if the peer has sent a command, which IAC IAC is not. A peer that never did may be a
    /// program that knows nothing of telnet.
    #[cbor(n(2), default)]
    pub has_spoken: bool,
    /// True if the last byte of data was a CR of a peer that had spoken: the LF or NUL that may
    /// follow belongs to it.
    #[cbor(n(3), default)]
    pub after_cr: bool,
    /// During a subnegotiation about NAWS: the last four bytes of its content.
    #[n(4)]
    pub window: Option<[u8; 4]>,
}

impl Decoder {
    /// Makes the decoder of a connection to which [`OFFER`] is sent.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks the peer for the size of its window. Returns the bytes to send.
    pub fn ask_window_size(&mut self) -> [u8; 3] {
        self.options.window_size = Request::Asked;
        [IAC, DO, NAWS]
    }

    /// Decodes the next bytes from the peer, which may end anywhere. Appends the bytes typed to
    /// `data` and the answers to `reply`, which never grows by more than `input.len() + 2`. No
    /// input is an error: what makes no sense is skipped. `line_ends` says what becomes of CR LF and
    /// CR NUL. Returns the last size that the peer has told for its window, in columns and rows.
    pub fn decode(
        &mut self,
        mut input: &[u8],
        line_ends: LineEnds,
        data: &mut Vec<u8>,
        reply: &mut Vec<u8>,
    ) -> Option<(u16, u16)> {
        let mut told = None;
        loop {
            if self.state == State::Data {
                let run = input.iter().position(|&byte| byte == IAC);
                let (plain, rest) = input.split_at(run.unwrap_or(input.len()));
                self.take_data(plain, line_ends, data);
                input = rest;
            }
            let Some((&byte, rest)) = input.split_first() else {
                return told;
            };
            input = rest;
            self.state = match self.state {
                // Plain data has been taken above, so this byte is an IAC.
                State::Data => State::Iac,
                State::Iac => {
                    if byte == IAC {
                        self.take_data(&[IAC], line_ends, data);
                    } else {
                        self.has_spoken = true;
                    }
                    after_iac(byte)
                }
                State::Option(verb) => {
                    if let Some(answer) = self.options.receive(verb, byte) {
                        reply.extend_from_slice(&[IAC, answer as u8, byte]);
                    }
                    State::Data
                }
                // Any byte is an option here, IAC and SE too.
                State::SubOption => {
                    self.window = (byte == NAWS).then_some([0; 4]);
                    State::Sub { held: 0, mccp: byte == COMPRESS }
                }
                State::Sub { held, mccp } => match (byte, held) {
                    (IAC, _) => State::SubIac { held },
                    (WILL, 0) if mccp => State::Sub { held: 1, mccp },
                    (SE, 1) if mccp => State::Data,
                    _ => self.hold(held, byte),
                },
                State::SubIac { held } if byte == IAC => self.hold(held, byte),
                State::SubIac { held } => {
                    let window = self.window.take();
                    if byte == SE && held == 4 && self.options.window_size == Request::Agreed {
                        told = window.map(columns_and_rows).or(told);
                    }
                    after_iac(byte)
                }
            };
        }
    }

    /// Returns the state after one more byte of a subnegotiation that has `held` bytes already. One
    /// byte too many ends the subnegotiation, so that a peer that does not end it can type again.
    fn hold(&mut self, held: u16, byte: u8) -> State {
        self.window = self.window.map(|[_, b, c, d]| [b, c, d, byte]);
        if held >= SUB_MAX {
            self.window = None;
            return State::Data;
        }
        State::Sub { held: held + 1, mccp: false }
    }

    /// Appends decoded bytes to `data`. The CR of a line end is passed on at once, as nobody knows
    /// when the next byte comes.
    fn take_data(&mut self, bytes: &[u8], line_ends: LineEnds, data: &mut Vec<u8>) {
        for run in bytes.split_inclusive(|&byte| byte == CR) {
            let run = match run {
                [LF | NUL, rest @ ..] if self.after_cr && line_ends == LineEnds::Join => rest,
                run => run,
            };
            data.extend_from_slice(run);
            self.after_cr = self.has_spoken && run.ends_with(&[CR]);
        }
    }
}

/// What becomes of CR LF and CR NUL, the two ways in which a telnet peer sends Return (RFC 854).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LineEnds {
    /// Either is CR, if the peer has spoken telnet before the CR.
    #[default]
    Join,
    /// They are data as any other.
    Keep,
}

/// Returns the state after IAC and `command`. SE ends a subnegotiation, or is skipped as any
/// command that has no meaning here.
fn after_iac(command: u8) -> State {
    match command {
        WILL => State::Option(Verb::Will),
        WONT => State::Option(Verb::Wont),
        DO => State::Option(Verb::Do),
        DONT => State::Option(Verb::Dont),
        SB => State::SubOption,
        _ => State::Data,
    }
}

/// The content of a subnegotiation about NAWS: width and height (RFC 1073).
fn columns_and_rows([a, b, c, d]: [u8; 4]) -> (u16, u16) {
    (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
}

/// What the next byte from the peer means.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub enum State {
    /// A byte that was typed, or an IAC.
    #[default]
    #[n(0)]
    Data,
    /// The command after an IAC.
    #[n(1)]
    Iac,
    /// The option that this verb is about.
    #[n(2)]
    Option(#[n(0)] Verb),
    /// The option that a subnegotiation is about.
    #[n(3)]
    SubOption,
    /// Content of a subnegotiation.
    #[n(4)]
    Sub {
        /// Bytes of content so far.
        #[n(0)]
        held: u16,
        /// True if all bytes so far are the beginning of `IAC SB 85 WILL SE`.
        #[n(1)]
        mccp: bool,
    },
    /// The byte after an IAC in a subnegotiation.
    #[n(5)]
    SubIac {
        /// Bytes of content so far.
        #[n(0)]
        held: u16,
    },
}

/// Appends `bytes` to `out` as a telnet client has to get them: with every 0xFF doubled (RFC 854).
pub fn escape(bytes: &[u8], out: &mut Vec<u8>) {
    for run in bytes.split_inclusive(|&byte| byte == IAC) {
        out.extend_from_slice(run);
        if run.ends_with(&[IAC]) {
            out.push(IAC);
        }
    }
}

/// The most bytes of content, after its option, that a subnegotiation may have.
const SUB_MAX: u16 = 16384;
/// The option COMPRESS of version 1 of the MUD Client Compression Protocol (MCCP1), the only one
/// whose subnegotiation ends without an IAC.
const COMPRESS: u8 = 85;
const CR: u8 = b'\r';
const LF: u8 = b'\n';
const NUL: u8 = 0;
pub(crate) const IAC: u8 = 0xff;
pub(crate) const DONT: u8 = 0xfe;
pub(crate) const DO: u8 = 0xfd;
pub(crate) const WONT: u8 = 0xfc;
pub(crate) const WILL: u8 = 0xfb;
pub(crate) const SB: u8 = 0xfa;
pub(crate) const SE: u8 = 0xf0;
