//! What the emitting child writes, and the check that it arrived byte for byte.

use std::sync::OnceLock;

/// Bytes of a block as the child writes it: lines of 64 with a number each.
pub const BLOCK: usize = 64 << 10;

/// The line before the first block, as it looks on the console.
const BEGIN: &[u8] = b"<<< begin >>>\r\n";

/// The line before the first block, as the child writes it.
pub const BEGIN_LINE: &[u8] = b"<<< begin >>>\n";

/// One block. No line equals another, nothing in it is a command character or 0xFF.
pub fn block() -> Vec<u8> {
    (0..BLOCK / 64)
        .flat_map(|line| format!("{line:<12} {:>50}\n", line * 7919).into_bytes())
        .collect()
}

/// One block after the terminal has made CR LF of each LF.
pub fn block_on_console() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| {
        let lines = block();
        let lines = lines.split_inclusive(|&byte| byte == b'\n');
        lines.flat_map(|line| [&line[..line.len() - 1], b"\r\n"].concat()).collect()
    })
}

/// One reader's stream: whatever comes before the begin line is skipped, then it has to be so many
/// blocks exactly.
pub struct Checker {
    /// Bytes expected after the begin line.
    total: u64,
    /// How many of them came; `None` before the begin line.
    position: Option<u64>,
    /// The end of what came before, for a begin line that comes in two pieces.
    before: Vec<u8>,
    /// The first byte that was not the expected one.
    wrong: Option<u64>,
    /// What came instead.
    instead: String,
}

impl Checker {
    /// Expects `blocks` blocks.
    pub fn new(blocks: usize) -> Checker {
        let total = (blocks * block_on_console().len()) as u64;
        Checker { total, position: None, before: Vec::new(), wrong: None, instead: String::new() }
    }

    /// Takes what came.
    pub fn feed(&mut self, bytes: &[u8]) {
        match self.position {
            Some(position) => self.compare(position, bytes),
            None => {
                self.before.extend_from_slice(bytes);
                match self.before.windows(BEGIN.len()).position(|window| window == BEGIN) {
                    Some(at) => {
                        let rest = self.before.split_off(at + BEGIN.len());
                        self.compare(0, &rest);
                    }
                    None => {
                        let keep = self.before.len().saturating_sub(BEGIN.len());
                        self.before.drain(..keep);
                    }
                }
            }
        }
    }

    fn compare(&mut self, mut position: u64, mut bytes: &[u8]) {
        let expected = block_on_console();
        while !bytes.is_empty() && position < self.total {
            let at = (position % expected.len() as u64) as usize;
            let count = bytes.len().min(expected.len() - at);
            if bytes[..count] != expected[at..at + count] && self.wrong.is_none() {
                let differs = |(a, b): (&u8, &u8)| a != b;
                let first = bytes.iter().zip(&expected[at..]).position(differs).unwrap_or(0);
                self.wrong = Some(position + first as u64);
                let text = String::from_utf8_lossy(&bytes[first..bytes.len().min(first + 90)]);
                self.instead = text.trim().lines().next().unwrap_or_default().to_owned();
            }
            position += count as u64;
            bytes = &bytes[count..];
        }
        self.position = Some(position);
    }

    /// Whether as much came as was expected.
    pub fn is_complete(&self) -> bool {
        self.position == Some(self.total)
    }

    /// An error once it can't be right any more.
    pub fn verdict(&self) -> Result<(), String> {
        match self.wrong {
            Some(at) => Err(format!("WRONG; at byte {at}: {:?}", self.instead)),
            None => Ok(()),
        }
    }
}
