//! The programs that run under the servers: this executable, told what to do.
//!
//! | command | what it does |
//! |---|---|
//! | `emit N` | at the gate writes the begin line and N blocks, acknowledges |
//! | `idle` | reads lines and forgets them; the terminal echoes |
//!
//! Each takes a directory first, which holds two FIFOs: `gate` holds it back until somebody opens
//! it for writing, into `ack` it writes the time (8 bytes, nanoseconds since 1970) of what is to be
//! measured.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use super::Result;
use super::payload;

/// What a write takes at once: more than any terminal does.
const WRITE: usize = payload::BLOCK;

/// Now, in nanoseconds since 1970: a clock that two processes share.
pub fn nanos() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Does what `words` say: directory, command, arguments.
pub fn run(words: &[String]) -> Result<()> {
    let [dir, command, arguments @ ..] = words else {
        return Err("a directory and a command".into());
    };
    let dir = Path::new(dir);
    let number = || -> Result<usize> { Ok(arguments.first().ok_or("a number")?.parse()?) };
    match command.as_str() {
        "emit" => emit(dir, number()?),
        "idle" => {}
        other => return Err(format!("no command {other}").into()),
    }
    forget_input();
    Ok(())
}

/// Opens the acknowledgement FIFO, which somebody has open for reading.
fn open_ack(dir: &Path) -> io::Result<File> {
    File::options().write(true).open(dir.join("ack"))
}

fn acknowledge(mut ack: &File) {
    // Whoever measures may have given up.
    let _ = ack.write_all(&nanos().to_le_bytes());
}

fn emit(dir: &Path, blocks: usize) {
    let Ok(ack) = open_ack(dir) else { return };
    let block = payload::block();
    // Opening waits for the other side.
    if File::open(dir.join("gate")).is_err() {
        return;
    }
    let _ = write(payload::BEGIN_LINE);
    for _ in 0..blocks {
        for part in block.chunks(WRITE) {
            if write(part).is_err() {
                return;
            }
        }
    }
    acknowledge(&ack);
}

/// To the terminal at once. Standard output of std would cut it at line ends.
fn write(bytes: &[u8]) -> io::Result<()> {
    let mut rest = bytes;
    while !rest.is_empty() {
        match nix::unistd::write(io::stdout(), rest) {
            Ok(count) => rest = &rest[count..],
            Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

/// Until the terminal is hung up.
fn forget_input() {
    let mut buffer = [0; 4096];
    while let Ok(1..) = io::stdin().read(&mut buffer) {}
}
