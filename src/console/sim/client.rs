//! A client: what it sends, and whether it gets what it has to.

use std::collections::VecDeque;

use super::random::Random;
use super::seen;
use super::stream::{Follower, Gap, Stream, gap, show};
use crate::config::CommandChars;
use crate::console::event::{ClientId, ClientKind, Role};
use crate::limits::CLIENT_BUDGET;

const WORDS: &str = " bytes skipped: this connection reads too slowly\r\n";
const IAC: u8 = 0xFF;

/// A byte on its way from a client, and what it means when it arrives.
#[derive(Debug, Clone, Copy)]
struct Wire {
    byte: u8,
    typed: Option<u8>,
    answer: Option<[u8; 3]>,
}

#[derive(Debug)]
pub struct Client {
    pub id: ClientId,
    pub role: Role,
    pub medium: ClientKind,
    /// What it has to get before anything else.
    greeting: Vec<u8>,
    pub follower: Follower,
    /// Where the stream ended when it came.
    joined: usize,
    /// Received, and perhaps the beginning of an announcement.
    held: Vec<u8>,
    /// Where the stream ended when an announcement was offered.
    passed_at: Option<usize>,
    wire: VecDeque<Wire>,
    /// It does not read.
    pub stalled: bool,
    /// The console wants it closed.
    pub leaving: bool,
}

impl Client {
    pub fn new(
        id: ClientId,
        role: Role,
        medium: ClientKind,
        greeting: Vec<u8>,
        follower: Follower,
        joined: usize,
    ) -> Client {
        Client {
            id,
            role,
            medium,
            greeting,
            follower,
            joined,
            held: Vec::new(),
            passed_at: None,
            wire: VecDeque::new(),
            stalled: false,
            leaving: false,
        }
    }

    /// Whether it has all it has to get.
    pub fn is_complete(&self, stream: &Stream) -> bool {
        self.greeting.is_empty() && self.held.is_empty() && self.follower.is_complete(stream)
    }

    /// These bytes are offered to it. How much they say that it missed.
    pub fn offered(&mut self, bytes: &[u8], stream: &Stream) -> Option<usize> {
        if self.may_be_told(stream)
            && self.held.is_empty()
            && self.passed_at.is_none()
            && let Gap::Of { missing, .. } = gap(bytes, self.follower.line_start, WORDS)
        {
            self.passed_at = Some(stream.head());
            return Some(missing);
        }
        None
    }

    /// It has read these bytes.
    pub fn get(&mut self, bytes: &[u8], stream: &Stream) {
        let greeting = bytes.len().min(self.greeting.len());
        let (first, rest) = bytes.split_at(greeting);
        assert_eq!(show(first), show(&self.greeting[..greeting]), "greeting");
        self.greeting.drain(..greeting);
        let joined = [&*std::mem::take(&mut self.held), rest].concat();
        let mut rest = &*joined;
        if self.may_be_told(stream) && !rest.is_empty() {
            match gap(rest, self.follower.line_start, WORDS) {
                Gap::None => {}
                Gap::Perhaps => {
                    seen("a client read half of an announcement");
                    self.held = joined;
                    return;
                }
                Gap::Of { len, missing } => {
                    let head = self.passed_at.take().unwrap();
                    let expected = stream.resume(head) - self.follower.place;
                    assert_eq!(missing, expected, "skipped at {}", self.follower.place);
                    seen("a client was told that it is too slow");
                    if self.follower.place < self.joined {
                        seen("a client was too slow for the past");
                    }
                    if stream.bytes[head - stream.held() / 2 - 1] == b'\n' {
                        seen("the middle of the history began a line");
                    }
                    self.follower.skip(missing);
                    rest = &rest[len..];
                }
            }
        }
        self.follower.get(rest, stream);
    }

    /// Whether it may have to be told now that it is too slow.
    fn may_be_told(&self, stream: &Stream) -> bool {
        self.greeting.is_empty()
            && self.follower.is_between()
            && stream.has_passed(self.follower.place)
    }

    /// Its user types.
    pub fn type_something(&mut self, random: &mut Random, commands: CommandChars, pool: &[u8]) {
        let telnet = self.medium == ClientKind::Telnet;
        match random.below(20) {
            0..2 => {
                let CommandChars { kill, toggle, logout } = commands;
                for _ in 0..=random.below(3) {
                    let quit = Some(0x11).filter(|_| random.one_in(4));
                    let reload = Some(super::pair::RELOAD);
                    let choices = [kill, toggle, logout, reload, Some(0x12), Some(0x12), quit];
                    if let Some(byte) = random.pick(&choices) {
                        self.put(byte, Some(byte), None);
                    }
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

    /// Its user pastes a text without commands.
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
        if byte == IAC && self.medium == ClientKind::Telnet {
            self.put(IAC, None, None);
        }
        self.put(byte, Some(byte), None);
    }

    /// It asks for so much that the answers are more than it reads.
    pub fn ask_a_lot(&mut self, random: &mut Random) {
        while self.medium == ClientKind::Telnet && self.unread() < CLIENT_BUDGET {
            // All of it has to be answered.
            self.negotiate(random, 2);
        }
    }

    fn negotiate(&mut self, random: &mut Random, kinds: usize) {
        const NOP: u8 = 0xF1;
        const SB: u8 = 0xFA;
        const SE: u8 = 0xF0;
        let [will, wont, do_, dont] = [0xFB, 0xFC, 0xFD, 0xFE];
        // Options that the server takes no part in.
        let option = random.pick(&[0, 3, 5, 24, 31, 39]);
        let (bytes, answer): (&[u8], _) = match random.below(kinds) {
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
        if let Some(last) = self.wire.back_mut() {
            last.answer = answer;
        }
    }

    fn put(&mut self, byte: u8, typed: Option<u8>, answer: Option<[u8; 3]>) {
        self.wire.push_back(Wire { byte, typed, answer });
    }

    /// How much it has sent that nobody read.
    pub fn unread(&self) -> usize {
        self.wire.len()
    }

    /// One read of so many bytes: the bytes, and what they mean to a server that `listens`.
    pub fn send(&mut self, count: usize, listens: bool) -> (Vec<u8>, Vec<u8>) {
        let sent: Vec<Wire> = self.wire.drain(..count.min(self.wire.len())).collect();
        if listens {
            self.follower.answers.extend(sent.iter().filter_map(|wire| wire.answer));
        }
        let typed = sent.iter().filter_map(|wire| wire.typed).collect();
        (sent.iter().map(|wire| wire.byte).collect(), typed)
    }
}
