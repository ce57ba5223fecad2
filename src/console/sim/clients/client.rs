//! A client: what it sends, and the check of what it reads.

use std::collections::VecDeque;

use crate::config::{CommandChars, WindowSize};
use crate::console::event::{ClientId, ClientKind, Role};
use crate::console::sim::child::overlap::RELOAD;
use crate::console::sim::reached;
use crate::console::sim::stream::buffer::ExpectedStream;
use crate::console::sim::stream::reader::{Announcement, ReaderCheck, announcement, show};
use crate::limits::CLIENT_BUDGET;
use crate::sim_support::Random;
use crate::telnet::SUPPRESS_GO_AHEAD;

const SKIPPED: &str = " bytes skipped: this connection reads too slowly\r\n";
const IAC: u8 = 0xFF;

/// A byte on its way from a client, and what it means when it arrives.
#[derive(Debug, Clone, Copy)]
struct SentByte {
    byte: u8,
    typed: Option<u8>,
    reply: Option<[u8; 3]>,
    told: Option<WindowSize>,
}

#[derive(Debug)]
pub struct Client {
    pub id: ClientId,
    pub role: Role,
    pub kind: ClientKind,
    /// The part of the greeting that the client has not read.
    greeting: Vec<u8>,
    pub check: ReaderCheck,
    /// Where the stream ended when the client connected.
    joined: usize,
    /// Bytes that the client has read and that may be the beginning of an announcement.
    held: Vec<u8>,
    /// Where the client goes on after the announcement that was offered.
    resume: Option<usize>,
    sent: VecDeque<SentByte>,
    /// True if the client does not read.
    pub stalled: bool,
    /// How many bytes the client's kernel holds.
    pub kernel: usize,
    /// True if the client reads a byte now and then.
    pub trickles: bool,
    /// True if the client has read since the console looked.
    pub has_read: bool,
    /// When the console looked and the client had read.
    pub read_at: Option<u64>,
    /// True if the stream has passed the client.
    pub passed: bool,
    /// True if the connection is to be closed.
    pub leaving: bool,
    /// True if the client has asked for SUPPRESS-GO-AHEAD last, and not against it.
    suppress_go_ahead: bool,
    /// True if the LF or NUL of CR LF and CR NUL is to be lost, once the client has spoken telnet.
    joins_line_ends: bool,
    has_spoken: bool,
    after_cr: bool,
    /// True if the server asks for the size of the client's window.
    pub asked_for_window: bool,
    /// True if the client has agreed to that last, false if it has refused that.
    tells_window: Option<bool>,
}

/// A size, often one without columns or rows.
pub fn window_size(random: &mut Random) -> WindowSize {
    let mut cells = || random.pick(&[0, 1, 24, 80, 255, 256, 0xFFFF]);
    WindowSize { columns: cells(), rows: cells() }
}

impl Client {
    pub fn new(
        id: ClientId,
        role: Role,
        kind: ClientKind,
        greeting: Vec<u8>,
        check: ReaderCheck,
        joined: usize,
        joins_line_ends: bool,
    ) -> Client {
        Client {
            id,
            role,
            kind,
            greeting,
            check,
            joined,
            held: Vec::new(),
            resume: None,
            kernel: 0,
            trickles: false,
            has_read: false,
            read_at: None,
            passed: false,
            sent: VecDeque::new(),
            stalled: false,
            leaving: false,
            suppress_go_ahead: false,
            joins_line_ends,
            has_spoken: false,
            after_cr: false,
            asked_for_window: false,
            tells_window: None,
        }
    }

    /// Returns true if the client has everything.
    pub fn is_complete(&self, stream: &ExpectedStream) -> bool {
        self.greeting.is_empty() && self.held.is_empty() && self.check.is_complete(stream)
    }

    /// These bytes are offered to the client. Returns how many bytes they say that it missed.
    pub fn offered(&mut self, bytes: &[u8], stream: &ExpectedStream) -> Option<usize> {
        if self.may_be_skipped(stream)
            && self.held.is_empty()
            && self.resume.is_none()
            && let Announcement::Of { missing, .. } =
                announcement(bytes, self.check.line_start, SKIPPED)
        {
            self.resume = Some(stream.resume_point());
            return Some(missing);
        }
        None
    }

    /// The client has read these bytes.
    pub fn receive(&mut self, bytes: &[u8], stream: &ExpectedStream) {
        let greeting = bytes.len().min(self.greeting.len());
        let (first, rest) = bytes.split_at(greeting);
        assert_eq!(show(first), show(&self.greeting[..greeting]), "greeting");
        self.greeting.drain(..greeting);
        let joined = [&*std::mem::take(&mut self.held), rest].concat();
        let mut rest = &*joined;
        if self.may_be_skipped(stream) && !rest.is_empty() {
            match announcement(rest, self.check.line_start, SKIPPED) {
                Announcement::None => {}
                Announcement::Incomplete => {
                    reached("a client read half of an announcement");
                    self.held = joined;
                    return;
                }
                Announcement::Of { len, missing } => {
                    let expected = self.resume.take().unwrap() - self.check.offset;
                    assert_eq!(missing, expected, "skipped at {}", self.check.offset);
                    reached("a client was told that it is too slow");
                    if self.check.offset < self.joined {
                        reached("a client was too slow for the past");
                    }
                    self.check.skip(missing);
                    rest = &rest[len..];
                }
            }
        }
        self.check.receive(rest, stream);
    }

    /// Returns true if an announcement of skipped bytes may come next.
    fn may_be_skipped(&self, stream: &ExpectedStream) -> bool {
        self.greeting.is_empty() && self.check.is_between() && stream.has_passed(self.check.offset)
    }

    /// The user types.
    pub fn type_something(&mut self, random: &mut Random, commands: CommandChars, pool: &[u8]) {
        let telnet = self.kind == ClientKind::Telnet;
        match random.below(20) {
            0..2 => {
                for _ in 0..=random.below(3) {
                    let quit = Some(0x11).filter(|_| random.one_in(4));
                    self.give_command(random, commands, quit);
                }
            }
            2..6 if telnet => self.negotiate(random, 6),
            6 => {
                let count = random.length(2000);
                self.paste(random, commands, pool, count);
            }
            _ => {
                for _ in 0..=random.below(12) {
                    let byte = random.pick(b"abcdefgh 0123\r\n\0\x04\x1d\xff");
                    self.type_byte(byte, commands);
                }
            }
        }
    }

    fn give_command(&mut self, random: &mut Random, commands: CommandChars, quit: Option<u8>) {
        let CommandChars { kill, toggle, logout } = commands;
        let choices = [kill, toggle, logout, Some(RELOAD), Some(0x12), Some(0x12), quit];
        if let Some(byte) = random.pick(&choices) {
            self.put(byte, Some(byte), None);
        }
    }

    /// The client gives many commands, about as many as are obeyed one by one.
    pub fn flood_commands(&mut self, random: &mut Random, commands: CommandChars) {
        for _ in 0..random.below(40) {
            let quit = Some(0x11).filter(|_| random.one_in(100));
            self.give_command(random, commands, quit);
        }
    }

    /// The user pastes a text without commands.
    pub fn paste(
        &mut self,
        random: &mut Random,
        commands: CommandChars,
        pool: &[u8],
        count: usize,
    ) {
        let from = random.below(pool.len() - count);
        for &byte in &pool[from..from + count] {
            self.type_byte(byte, commands);
        }
    }

    fn type_byte(&mut self, byte: u8, commands: CommandChars) {
        let CommandChars { kill, toggle, logout } = commands;
        if [kill, toggle, logout, Some(0x11), Some(0x12)].contains(&Some(byte)) {
            return;
        }
        if byte == IAC && self.kind == ClientKind::Telnet {
            self.put(IAC, None, None);
        }
        self.put(byte, Some(byte), None);
    }

    /// The client sends so many telnet requests that the replies are more than it reads.
    pub fn flood_requests(&mut self, random: &mut Random) {
        while self.kind == ClientKind::Telnet && self.unread() < CLIENT_BUDGET {
            // Only requests that have to be answered.
            self.negotiate(random, 2);
        }
    }

    fn negotiate(&mut self, random: &mut Random, kinds: usize) {
        self.has_spoken = true;
        if self.asked_for_window && random.one_in(3) {
            return self.negotiate_window(random, kinds > 2);
        }
        const NOP: u8 = 0xF1;
        const SB: u8 = 0xFA;
        const SE: u8 = 0xF0;
        let [will, wont, do_, dont] = [0xFB, 0xFC, 0xFD, 0xFE];
        // Options that the server takes no part in.
        let option = random.pick(&[0, 5, 24, if self.asked_for_window { 32 } else { 31 }, 39]);
        let (bytes, reply): (&[u8], _) = match random.below(kinds) {
            _ if kinds > 2 && random.one_in(6) => {
                let on = random.one_in(2);
                let changes = std::mem::replace(&mut self.suppress_go_ahead, on) != on;
                let (request, answer) = if on { (do_, will) } else { (dont, wont) };
                (
                    &[IAC, request, SUPPRESS_GO_AHEAD],
                    changes.then_some([IAC, answer, SUPPRESS_GO_AHEAD]),
                )
            }
            0 => (&[IAC, will, option], Some([IAC, dont, option])),
            1 => (&[IAC, do_, option], Some([IAC, wont, option])),
            2 => (&[IAC, wont, option], None),
            3 => (&[IAC, dont, option], None),
            4 => (&[IAC, NOP], None),
            _ => (&[IAC, SB, option, 0x18, 0x12, IAC, IAC, b'x', IAC, SE], None),
        };
        for &byte in bytes {
            self.put(byte, None, None);
        }
        if let Some(last) = self.sent.back_mut() {
            last.reply = reply;
        }
    }

    /// The client answers to DO NAWS, changes its mind, or tells a size. Without `any`, only what
    /// has to be answered.
    fn negotiate_window(&mut self, random: &mut Random, any: bool) {
        const NAWS: u8 = 31;
        let [will, wont, do_, dont] = [0xFB, 0xFC, 0xFD, 0xFE];
        let mut told = None;
        let (bytes, reply) = match (random.below(6), any) {
            (0 | 1, true) => {
                let before = self.tells_window.replace(true);
                (vec![IAC, will, NAWS], (before == Some(false)).then_some([IAC, do_, NAWS]))
            }
            (2, true) if random.one_in(2) => {
                let before = self.tells_window.replace(false);
                (vec![IAC, wont, NAWS], (before == Some(true)).then_some([IAC, dont, NAWS]))
            }
            (3.., true) => {
                let size = window_size(random);
                let [a, b] = size.columns.to_be_bytes();
                let [c, d] = size.rows.to_be_bytes();
                // Also a size of three or five bytes.
                let content = [&[a, b, c][..], &[a, b, c, d], &[a, b, c, d], &[a, b, c, d, a]];
                let content = random.pick(&content);
                told = Some(size).filter(|_| content.len() == 4 && self.tells_window == Some(true));
                let mut bytes = vec![IAC, 0xFA, NAWS];
                crate::telnet::escape(content, &mut bytes);
                bytes.extend([IAC, 0xF0]);
                (bytes, None)
            }
            _ => (vec![IAC, do_, NAWS], Some([IAC, wont, NAWS])),
        };
        for byte in bytes {
            self.put(byte, None, None);
        }
        if let Some(last) = self.sent.back_mut() {
            (last.reply, last.told) = (reply, told);
        }
    }

    fn put(&mut self, byte: u8, mut typed: Option<u8>, reply: Option<[u8; 3]>) {
        if typed.is_some() {
            if self.after_cr && matches!(byte, b'\n' | 0) {
                reached("a line end of two bytes was one");
                typed = None;
            }
            self.after_cr = self.joins_line_ends && self.has_spoken && typed == Some(b'\r');
        }
        self.sent.push_back(SentByte { byte, typed, reply, told: None });
    }

    /// How many bytes the client has sent that the server has not read.
    pub fn unread(&self) -> usize {
        self.sent.len()
    }

    /// The server reads at most so many bytes. Returns the bytes, the typed bytes among them, and the
    /// size that they tell. The client gets replies only if the server `listens`.
    pub fn send(&mut self, count: usize, listens: bool) -> (Vec<u8>, Vec<u8>, Option<WindowSize>) {
        let sent: Vec<SentByte> = self.sent.drain(..count.min(self.sent.len())).collect();
        if listens {
            self.check.replies.extend(sent.iter().filter_map(|sent| sent.reply));
        }
        let typed = sent.iter().filter_map(|sent| sent.typed).collect();
        let told = sent.iter().rev().find_map(|sent| sent.told);
        (sent.iter().map(|sent| sent.byte).collect(), typed, told)
    }
}
