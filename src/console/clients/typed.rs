//! What clients type to the child, line by line, for the events file (`--record-input`).

use minicbor::{Decode, Encode};

use crate::console::Console;
use crate::console::audit::{AuditEvent, TypedContent, TypedText};
use crate::console::event::ClientId;
use crate::limits::TYPED_MAX;

/// The line that a client is typing.
#[derive(Debug, Default, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(crate) struct TypedLine {
    /// What has been typed of it, unless it is hidden.
    #[cbor(n(0), default, with = "minicbor::bytes")]
    text: Vec<u8>,
    /// How many bytes of it are hidden. If there are any, `text` is empty.
    #[cbor(n(1), default)]
    hidden: u64,
    /// True if the last byte was a CR. An LF after that belongs to the same line end.
    #[cbor(n(2), default)]
    after_cr: bool,
}

impl TypedLine {
    /// Adds a byte, which the child's terminal shows unless it `hides` what is typed. Returns what there
    /// is to record now.
    fn push(&mut self, byte: u8, hides: bool) -> [Option<TypedText>; 2] {
        let after_cr = std::mem::replace(&mut self.after_cr, byte == b'\r');
        if after_cr && byte == b'\n' {
            return [None, None];
        }
        let has_changed = if hides { !self.text.is_empty() } else { self.hidden > 0 };
        let before = has_changed.then(|| self.take(true));
        if matches!(byte, b'\r' | b'\n') {
            let content =
                if hides { TypedContent::Hidden(self.hidden) } else { self.take(false).content };
            self.hidden = 0;
            return [before, Some(TypedText { content, unfinished: false })];
        }
        if hides {
            self.hidden += 1;
            return [before, None];
        }
        let piece = (self.text.len() >= TYPED_MAX).then(|| self.take_piece());
        self.text.push(byte);
        [before.or(piece), None]
    }

    /// What has been typed of the line, if anything.
    fn take_rest(&mut self) -> Option<TypedText> {
        (self.hidden > 0 || !self.text.is_empty()).then(|| self.take(true))
    }

    fn take(&mut self, unfinished: bool) -> TypedText {
        let content = match std::mem::take(&mut self.hidden) {
            0 => TypedContent::Shown(std::mem::take(&mut self.text)),
            count => TypedContent::Hidden(count),
        };
        TypedText { content, unfinished }
    }

    /// What has been typed of the line, except the first bytes of a character that is not complete.
    fn take_piece(&mut self) -> TypedText {
        let is_incomplete = |&count: &usize| {
            let tail = self.text.len().checked_sub(count).and_then(|at| self.text.get(at..));
            let error = tail.and_then(|tail| std::str::from_utf8(tail).err());
            error.is_some_and(|error| error.valid_up_to() == 0 && error.error_len().is_none())
        };
        let kept = (1..=3).find(is_incomplete).unwrap_or(0);
        let rest = self.text.split_off(self.text.len() - kept);
        let piece = self.take(true);
        self.text = rest;
        piece
    }
}

impl Console {
    /// Returns true if what is typed to the child is recorded.
    pub fn records_input(&self) -> bool {
        self.settings.console.record_input
    }

    /// Takes note that the terminal of the child that gets the input hides what is typed from now on, or
    /// no longer.
    pub(crate) fn set_input_hidden(&mut self, hides: bool) {
        self.hides_input = hides;
    }

    /// Queues what a client has typed for the child, except the ignored bytes. Returns how many bytes that
    /// are.
    pub(crate) fn type_to_child(&mut self, id: ClientId, typed: &[u8]) -> usize {
        let Console { settings, input, clients, audit_events, hides_input, .. } = self;
        let ignore = &settings.console.ignore;
        let kept = || typed.iter().copied().filter(|&byte| !ignore.contains(byte));
        input.push(id, kept());
        if settings.console.record_input
            && let Some(client) = clients.get_mut(&id)
        {
            let texts = kept().flat_map(|byte| client.typed.push(byte, *hides_input)).flatten();
            audit_events.extend(texts.map(|text| AuditEvent::Typed(id, text)));
        }
        kept().count()
    }

    /// Records the unfinished line of a client that leaves.
    pub(crate) fn record_rest(&mut self, id: ClientId, mut typed: TypedLine) {
        self.audit_events.extend(typed.take_rest().map(|text| AuditEvent::Typed(id, text)));
    }
}
