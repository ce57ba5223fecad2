//! Option negotiation: which options this server takes part in, and what it answers (contract
//! section 4, RFC 1143). Knows nothing of bytes split over reads; that is the decoder's part.

use minicbor::{Decode, Encode};

use super::{DO, DONT, IAC, WILL, WONT};

/// What the server sends right after its greeting: IAC WILL ECHO, IAC DO LINEMODE.
pub const OFFER: [u8; 6] = [IAC, WILL, ECHO, IAC, DO, LINEMODE];

/// Both options of one connection. Starts as after [`OFFER`] has been sent.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Options {
    /// ECHO on our side: DO and DONT from the peer speak of it.
    #[n(0)]
    pub echo: Agreement,
    /// LINEMODE on the peer's side: WILL and WONT from the peer speak of it.
    #[n(1)]
    pub linemode: Agreement,
}

impl Options {
    /// Takes in a command of the peer; what comes back must be answered, with the same option.
    pub(super) fn receive(&mut self, verb: Verb, option: u8) -> Option<Verb> {
        match (verb, option) {
            (Verb::Do, ECHO) => self.echo.accept().then_some(Verb::Will),
            (Verb::Dont, ECHO) => self.echo.refuse().then_some(Verb::Wont),
            (Verb::Will, LINEMODE) => self.linemode.accept().then_some(Verb::Do),
            (Verb::Wont, LINEMODE) => self.linemode.refuse().then_some(Verb::Dont),
            // All else stays off, ECHO on the peer's side and LINEMODE on ours included: asking for
            // it is refused each time, giving it up changes nothing.
            (Verb::Do, _) => Some(Verb::Wont),
            (Verb::Will, _) => Some(Verb::Dont),
            (Verb::Dont | Verb::Wont, _) => None,
        }
    }
}

/// Where the two sides stand on one option. After its offer the server only ever follows the peer,
/// so three of RFC 1143's six states are enough.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Agreement {
    /// We have offered or asked; the peer has not answered (WANTYES).
    #[default]
    #[n(0)]
    Offered,
    /// Agreed (YES).
    #[n(1)]
    On,
    /// Refused, or dropped later (NO).
    #[n(2)]
    Off,
}

impl Agreement {
    /// The peer is for it. True if that was its own idea, so that we have to agree; else it answers
    /// our offer or repeats itself.
    fn accept(&mut self) -> bool {
        std::mem::replace(self, Agreement::On) == Agreement::Off
    }

    /// The peer is against it. True if it was on, so that we have to confirm.
    fn refuse(&mut self) -> bool {
        std::mem::replace(self, Agreement::Off) == Agreement::On
    }
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

pub(crate) const ECHO: u8 = 1;
const LINEMODE: u8 = 34;
