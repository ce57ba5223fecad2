//! A child that writes numbered lines as fast as it can and keeps all that it reads, and those who
//! check a stream of its lines while it comes: nothing of it is stored.

use crate::support::{number_after, show, uninterrupted};
use nix::sys::termios::{self, LocalFlags, SetArg};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

/// What makes this executable the child: `flood`, in its scratch directory.
pub(crate) const FLOOD: &str = "flood";

/// Bytes of a line as they come from its terminal.
const LINE: u64 = 65;

/// Line `number`, with its end. Blocks of lines that telnet has to escape alternate with others, for
/// which the server takes another path.
fn line(number: u64) -> Vec<u8> {
    let mut line = format!("{number:<63}\r\n").into_bytes();
    if (number / 4096).is_multiple_of(4) {
        line[62] = 0xff;
    }
    line
}

/// Says READY, waits for the file `go`, writes lines until there is the file `end`, says END. What
/// it reads meanwhile goes into the file `kept`.
pub(crate) fn flood() -> ExitCode {
    let mut stdin = std::io::stdin();
    let mut modes = termios::tcgetattr(&stdin).unwrap();
    let output = modes.output_flags;
    termios::cfmakeraw(&mut modes);
    modes.output_flags = output;
    modes.local_flags.remove(LocalFlags::ECHO);
    termios::tcsetattr(&stdin, SetArg::TCSANOW, &modes).unwrap();
    fs::write("starts", format!("{}\n", std::process::id())).unwrap();
    let mut kept = File::create("kept").unwrap();
    thread::spawn(move || std::io::copy(&mut stdin, &mut kept));
    let mut stdout = File::from(nix::unistd::dup(std::io::stdout()).unwrap());
    stdout.write_all(b"READY\n").unwrap();
    while !Path::new("go").exists() {
        thread::sleep(Duration::from_millis(2));
    }
    let mut number = 0;
    while !Path::new("end").exists() {
        let lines = (number..number + 512).flat_map(line).filter(|byte| *byte != b'\r');
        stdout.write_all(&lines.collect::<Vec<_>>()).unwrap();
        number += 512;
    }
    stdout.write_all(b"END\n").unwrap();
    loop {
        thread::park();
    }
}

/// Checks the child's lines one after the other.
#[derive(Default)]
pub(super) struct Follower {
    /// The line that is next, and how much of it was there already.
    next: u64,
    seen: usize,
    /// What came of a line that is not whole.
    rest: Vec<u8>,
    /// Bytes that were announced as skipped.
    pub(super) skipped: u64,
    /// Lines between the child's that are the server's.
    pub(super) notices: usize,
    /// Whether all of it came.
    pub(super) ended: bool,
}

impl Follower {
    /// What came next. Between the child's lines `notice` may be.
    pub(super) fn feed(&mut self, bytes: &[u8], notice: &[u8]) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.rest.extend_from_slice(part);
            if part.ends_with(b"\n") {
                let whole = std::mem::take(&mut self.rest);
                self.take(&whole, notice);
            }
        }
    }

    /// How much there was of the child's output, skipped parts included.
    pub(super) fn position(&self) -> u64 {
        self.next * LINE + self.seen as u64
    }

    fn take(&mut self, whole: &[u8], notice: &[u8]) {
        let expected = line(self.next);
        let left = &expected[self.seen..];
        let skips = b" bytes skipped: this connection reads too slowly\r\n";
        if whole == left {
            (self.next, self.seen) = (self.next + 1, 0);
        } else if whole == notice {
            self.notices += 1;
        } else if whole.starts_with(b"@@@ ") && whole.ends_with(skips) {
            self.skip(u64::try_from(number_after(whole, "@@@ ")).unwrap());
        } else if whole == b"\r\n" && self.seen == 0 && self.notices > 0 {
            // The notice came before this line's end, and got a line end for itself.
        } else if whole == b"END\r\n" && self.seen == 0 {
            self.ended = true;
        } else if let Some(part) = whole.strip_suffix(b"\r\n").filter(|part| left.starts_with(part))
        {
            // Ended for a notice.
            self.seen += part.len();
        } else {
            panic!("line {}, {} bytes of it seen, then:\n{}", self.next, self.seen, show(whole));
        }
    }

    /// It goes on at the start of a line.
    fn skip(&mut self, count: u64) {
        self.skipped += count;
        // A line end that was the server's own looks like the line's.
        let position = self.position();
        let ends = [position, position.saturating_sub(2)].map(|begin| begin + count);
        let end = ends.into_iter().find(|end| end.is_multiple_of(LINE));
        let end = end.unwrap_or_else(|| panic!("{count} skipped at {position}: no line start"));
        (self.next, self.seen) = (end / LINE, 0);
    }
}

/// Takes telnet's escapes out of a stream that has no other telnet in it.
#[derive(Default)]
pub(super) struct Unescape {
    half: bool,
}

impl Unescape {
    pub(super) fn apply(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut plain = Vec::with_capacity(bytes.len());
        for &byte in bytes {
            assert!(!self.half || byte == 0xff, "telnet in mid-stream: {byte:#x}");
            self.half = !self.half && byte == 0xff;
            if !self.half {
                plain.push(byte);
            }
        }
        plain
    }
}

/// Checks all that comes, up to the end of the child's output.
pub(super) fn follow(mut stream: impl Read) -> Follower {
    let (mut follower, mut unescape) = (Follower::default(), Unescape::default());
    let mut buffer = vec![0; 65536];
    while !follower.ended {
        let count = uninterrupted(|| stream.read(&mut buffer)).expect("output in time");
        assert!(count > 0, "the connection ended");
        follower.feed(&unescape.apply(&buffer[..count]), b"");
    }
    follower
}
