//! Which sequences a terminal answers: xterm's control sequences
//! (<https://invisible-island.net/xterm/ctlseqs/ctlseqs.html>) and kitty's protocols for graphics
//! and the keyboard (<https://sw.kovidgoyal.net/kitty/protocol-extensions/>).

use super::parser::{BEL, C1_LEAD, ESC, ST};

pub(super) const ENQ: u8 = 0x05;

/// Returns true if a terminal sends something when it gets this sequence.
pub(super) fn elicits_reply(sequence: &[u8]) -> bool {
    match sequence {
        [ENQ] | [ESC, b'Z'] => true,
        [ESC, b'[', rest @ ..] => {
            Control::parse(rest).is_some_and(|control| control.elicits_reply())
        }
        [ESC, b']', rest @ ..] => osc_elicits_reply(rest),
        // DECRQSS, XTGETTCAP, XTGETXRES.
        [ESC, b'P', rest @ ..] => {
            [b"$q", b"+q", b"+Q"].iter().any(|start| rest.starts_with(*start))
        }
        // A question of kitty's graphics protocol.
        [ESC, b'_', b'G', rest @ ..] => rest.windows(3).any(|bytes| bytes == b"a=q"),
        _ => false,
    }
}

/// Returns true if a terminal answers an operating system command, of which `sequence` is what
/// follows `ESC ]`, with its end: colours, the clipboard, the font and the like are asked for by a
/// `?` in the place of a value.
fn osc_elicits_reply(sequence: &[u8]) -> bool {
    let mut fields = sequence.split(|&byte| matches!(byte, b';' | BEL | ESC | ST | C1_LEAD));
    match fields.next() {
        // Titles and links may have any text.
        Some(b"0" | b"1" | b"2" | b"8") => false,
        Some(b"60" | b"61") => true,
        _ => fields.any(|field| {
            field.starts_with(b"?") || field.ends_with(b"=?") || field.starts_with(b"Report")
        }),
    }
}

/// A control sequence: what follows `ESC [`.
pub(super) struct Control<'a> {
    /// The private marker: `<`, `=`, `>` or `?`.
    pub(super) private: Option<u8>,
    pub(super) parameters: &'a [u8],
    pub(super) intermediates: &'a [u8],
    /// The final byte.
    pub(super) last: u8,
}

impl Control<'_> {
    pub(super) fn parse(sequence: &[u8]) -> Option<Control<'_>> {
        let (&last, rest) = sequence.split_last()?;
        let (private, rest) = match rest {
            [private @ b'<'..=b'?', rest @ ..] => (Some(*private), rest),
            rest => (None, rest),
        };
        let end = rest.iter().position(|byte| !byte.is_ascii_digit() && !b";:".contains(byte));
        let (parameters, intermediates) = rest.split_at(end.unwrap_or(rest.len()));
        Some(Control { private, parameters, intermediates, last })
    }

    pub(super) fn numbers(&self) -> impl Iterator<Item = u16> {
        let fields = self.parameters.split(|byte| b";:".contains(byte));
        fields.filter_map(|field| std::str::from_utf8(field).ok()?.parse().ok())
    }

    fn elicits_reply(&self) -> bool {
        match (self.private, self.intermediates, self.last) {
            // Device attributes; status and cursor position; DECREQTPARM.
            (None | Some(b'=' | b'>'), b"", b'c')
            | (None | Some(b'?'), b"", b'n')
            | (None, b"", b'x')
            // DECRQM, DECRQPSR, DECRQTSR; DECRQDE; XTREPORTSGR, XTREPORTCOLORS, XTTITLEPOS;
            // DECRQUPSS; DECRQCRA; DECRQLP; XTVERSION; XTSMGRAPHICS, kitty's keyboard, XTQMODKEYS.
            | (_, b"$", b'p' | b'w' | b'u')
            | (_, b"\"", b'v')
            | (_, b"#", b'|' | b'R' | b'S')
            | (_, b"&", b'u')
            | (_, b"*", b'y')
            | (_, b"'", b'|')
            | (Some(b'>'), b"", b'q')
            | (Some(b'?'), b"", b'S' | b'u' | b'm') => true,
            // XTWINOPS.
            (None, b"", b't') => {
                self.numbers().next().is_some_and(|number| matches!(number, 11..=16 | 18..=21))
            }
            _ => false,
        }
    }
}
