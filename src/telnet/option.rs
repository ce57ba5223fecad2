//! Option negotiation: the options that the server takes part in, and its answers (contract section
//! 4, RFC 1143). The decoder finds the commands in the bytes.

use minicbor::{Decode, Encode};

use super::{DO, DONT, IAC, WILL, WONT};

/// The commands that the server sends after its greeting: IAC WILL ECHO, IAC DO LINEMODE.
pub const OFFER: [u8; 6] = [IAC, WILL, ECHO, IAC, DO, LINEMODE];

/// The state of the options of a connection. The default is that [`OFFER`] has been sent.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Options {
    /// ECHO of the server, which DO and DONT from the peer are about.
    #[n(0)]
    pub echo: Agreement,
    /// LINEMODE of the peer, which WILL and WONT from the peer are about.
    #[n(1)]
    pub linemode: Agreement,
    /// True if SUPPRESS-GO-AHEAD of the server is on. The server never offers the option: only a
    /// peer that sends DO gets WILL, and WONT for a later DONT. With ECHO of the server, that is a
    /// client's sign to send each character as it is typed (RFC 858, RFC 1143).
    #[cbor(n(2), default)]
    pub suppress_go_ahead: bool,
    /// NAWS of the peer, the size of its window (RFC 1073).
    #[cbor(n(3), default)]
    pub window_size: Request,
}

impl Options {
    /// Handles a command of the peer. Returns the command to answer with, about the same option.
    pub(super) fn receive(&mut self, verb: Verb, option: u8) -> Option<Verb> {
        match (verb, option) {
            (Verb::Do, ECHO) => self.echo.accept().then_some(Verb::Will),
            (Verb::Dont, ECHO) => self.echo.refuse().then_some(Verb::Wont),
            (Verb::Will, LINEMODE) => self.linemode.accept().then_some(Verb::Do),
            (Verb::Wont, LINEMODE) => self.linemode.refuse().then_some(Verb::Dont),
            (Verb::Will, NAWS) if self.window_size != Request::Never => {
                let before = std::mem::replace(&mut self.window_size, Request::Agreed);
                (before == Request::Refused).then_some(Verb::Do)
            }
            (Verb::Wont, NAWS) if self.window_size != Request::Never => {
                let before = std::mem::replace(&mut self.window_size, Request::Refused);
                (before == Request::Agreed).then_some(Verb::Dont)
            }
            (Verb::Do, SUPPRESS_GO_AHEAD) => {
                (!std::mem::replace(&mut self.suppress_go_ahead, true)).then_some(Verb::Will)
            }
            (Verb::Dont, SUPPRESS_GO_AHEAD) => {
                std::mem::replace(&mut self.suppress_go_ahead, false).then_some(Verb::Wont)
            }
            // All other options stay off, also ECHO and SUPPRESS-GO-AHEAD of the peer and LINEMODE
            // of the server: a request is refused each time, and giving one up changes nothing.
            (Verb::Do, _) => Some(Verb::Wont),
            (Verb::Will, _) => Some(Verb::Dont),
            (Verb::Dont | Verb::Wont, _) => None,
        }
    }
}

/// The state of one option. After its offer the server only follows the peer, so three of the six
/// states of RFC 1143 are enough.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Agreement {
    /// The server has offered or asked, and the peer has not answered (WANTYES).
    #[default]
    #[n(0)]
    Offered,
    /// Both sides have agreed (YES).
    #[n(1)]
    On,
    /// The peer has refused, or given the option up later (NO).
    #[n(2)]
    Off,
}

impl Agreement {
    /// The peer wants the option. Returns true if that is a request, which the server has to agree
    /// to; else it is the answer to the offer, or a repetition.
    fn accept(&mut self) -> bool {
        std::mem::replace(self, Agreement::On) == Agreement::Off
    }

    /// The peer refuses the option. Returns true if the option was on, so that the server has to
    /// confirm.
    fn refuse(&mut self) -> bool {
        std::mem::replace(self, Agreement::Off) == Agreement::On
    }
}

/// The state of an option for which the server asks some peers.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Request {
    /// The server does not ask, and refuses the option.
    #[default]
    #[n(0)]
    Never,
    /// The server has asked, and the peer has not answered.
    #[n(1)]
    Asked,
    /// Both sides have agreed.
    #[n(2)]
    Agreed,
    /// The peer has refused, or given the option up later.
    #[n(3)]
    Refused,
}

/// The four commands that are followed by an option; each is its own byte on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
#[repr(u8)]
pub enum Verb {
    /// The sender wants to, or agrees to, use the option itself.
    #[n(0)]
    Will = WILL,
    /// The sender will not, or no longer, use the option.
    #[n(1)]
    Wont = WONT,
    /// The sender wants the other side to use the option, or agrees to it.
    #[n(2)]
    Do = DO,
    /// The sender wants the other side not to use the option, or confirms that.
    #[n(3)]
    Dont = DONT,
}

/// RFC 857.
pub(crate) const ECHO: u8 = 1;
/// RFC 858.
pub(crate) const SUPPRESS_GO_AHEAD: u8 = 3;
/// RFC 1073.
pub(crate) const NAWS: u8 = 31;
/// RFC 1184.
const LINEMODE: u8 = 34;
