//! What the oracle records of what clients type.

use crate::console::audit::{AuditEvent, TypedContent, TypedText};
use crate::console::event::ClientId;
use crate::console::sim::oracle::Oracle;
use crate::console::sim::reached;

/// The bytes that a client has typed since what was recorded last, each with whether it is hidden, and
/// the byte before these.
#[derive(Debug, Default)]
pub struct Typed {
    line: Vec<(u8, bool)>,
    last: u8,
}

impl Oracle {
    pub fn record_typed(&mut self, id: ClientId, bytes: &[u8]) {
        if !self.settings.console.record_input {
            return;
        }
        for &byte in bytes {
            let hides = self.hides_input;
            let Typed { line, last } = self.typed.entry(id).or_default();
            let last = std::mem::replace(last, byte);
            if (last, byte) == (b'\r', b'\n') {
                reached("a line feed belonged to a line end");
                continue;
            }
            if line.last().is_some_and(|(_, hidden)| *hidden != hides) {
                reached("a line was hidden in part");
                self.record_unfinished(id, 0);
            }
            let line = &mut self.typed.get_mut(&id).unwrap().line;
            if byte == b'\r' || byte == b'\n' {
                let line = std::mem::take(line);
                self.typed_event(id, &line, hides, false);
            } else {
                if line.len() == 4096 && !hides {
                    reached("a line was recorded in pieces");
                    let begins = |(byte, _): &(u8, bool)| byte & 0xC0 != 0x80;
                    let start = line.iter().rposition(begins).unwrap_or(0);
                    let length =
                        [0xC0, 0xE0, 0xF0].iter().filter(|&&lead| line[start].0 >= lead).count();
                    let tail: Vec<u8> = line[start..].iter().map(|typed| typed.0).collect();
                    let is_cut = tail.len() <= length
                        && std::str::from_utf8(&tail)
                            .is_err_and(|error| error.error_len().is_none());
                    self.record_unfinished(id, if is_cut { tail.len() } else { 0 });
                }
                self.typed.get_mut(&id).unwrap().line.push((byte, hides));
            }
        }
    }

    /// Records all but the last `kept` bytes of what a client has typed.
    pub fn record_unfinished(&mut self, id: ClientId, kept: usize) {
        let Some(Typed { line, .. }) = self.typed.get_mut(&id) else {
            return;
        };
        let rest = line.split_off(line.len() - kept);
        let line = std::mem::replace(line, rest);
        if let Some(&(_, hidden)) = line.first() {
            self.typed_event(id, &line, hidden, true);
        }
    }

    fn typed_event(&mut self, id: ClientId, line: &[(u8, bool)], hidden: bool, unfinished: bool) {
        let content = if hidden {
            TypedContent::Hidden(line.len() as u64)
        } else {
            TypedContent::Shown(line.iter().map(|typed| typed.0).collect())
        };
        self.audit_events.push_back(AuditEvent::Typed(id, TypedText { content, unfinished }));
    }
}
