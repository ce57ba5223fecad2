//! The programs that run under the servers: this executable, told what to do.
//!
//! | command | what it does |
//! |---|---|
//! | `emit N` | writes the begin line and N blocks, acknowledges |
//! | `idle` | reads lines and forgets them; the terminal echoes |
//! | `chatter N [FIRST]` | writes FIRST bytes at once, then N bytes a second, a line at a time; the terminal echoes |
//! | `lines N` | writes N lines a second |
//! | `flood` | writes as fast as it can and acknowledges each key |
//! | `hello` | at once says so |
//! | `deaf` | reads nothing, ever |
//! | `parrot` | writes what it reads, byte for byte |
//!
//! Each takes a directory first, which holds two FIFOs. `gate` holds it back (not `hello`) until
//! somebody opens it for writing; then it opens `ack`, for as long as it lives, and writes times
//! into it (8 bytes, nanoseconds since 1970): of what is to be measured, and when it has set its
//! terminal.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};

use super::Result;
use super::payload;

/// What `hello` says.
pub const HELLO: &[u8] = b"hello!";

/// A line of `chatter` and `lines`, and how long it is.
const LINE: &[u8] = b"2024-01-16 10:27:22 some record of some subsystem has some value: 123.456 within limits, status ok\n";

/// Now, in nanoseconds since 1970: a clock that two processes share.
pub fn nanos() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Does what `words` say: directory, command, arguments. Returns when the terminal is hung up.
pub fn run(words: &[String]) -> Result<()> {
    let [dir, command, arguments @ ..] = words else {
        return Err("a directory and a command".into());
    };
    let dir = Path::new(dir);
    let number = || -> Result<usize> { Ok(arguments.first().ok_or("a number")?.parse()?) };
    if command == "hello" {
        write(HELLO)?;
    } else {
        // Opening waits for the other side.
        File::open(dir.join("gate"))?;
    }
    let ack = File::options().write(true).open(dir.join("ack"))?;
    match command.as_str() {
        "emit" => emit(&ack, number()?)?,
        "chatter" => {
            let rate = number()?;
            let first = arguments.get(1).map_or(Ok(0), |first| first.parse())?;
            // It ends with the process.
            thread::spawn(move || chatter(rate.div_ceil(LINE.len()), first / LINE.len()));
        }
        "lines" => {
            let rate = number()?;
            thread::spawn(move || chatter(rate, 0));
        }
        "flood" => flood(&ack)?,
        "deaf" => wait_for_hangup(&ack)?,
        "parrot" => parrot(&ack)?,
        "hello" => acknowledge(&ack),
        "idle" => {}
        other => return Err(format!("no command {other}").into()),
    }
    forget_input();
    Ok(())
}

fn acknowledge(mut ack: &File) {
    // Whoever measures may have given up.
    let _ = ack.write_all(&nanos().to_le_bytes());
}

fn emit(ack: &File, blocks: usize) -> io::Result<()> {
    let block = payload::block();
    write(payload::BEGIN_LINE)?;
    for _ in 0..blocks {
        write(&block)?;
    }
    acknowledge(ack);
    Ok(())
}

/// `first` lines as fast as they are taken, then so many lines a second, evenly, and no more often than
/// each millisecond.
fn chatter(rate: usize, first: usize) {
    for _ in 0..first {
        if write(LINE).is_err() {
            return;
        }
    }
    let start = Instant::now();
    let mut written = 0;
    loop {
        let due = (start.elapsed().as_secs_f64() * rate as f64) as usize;
        while written < due {
            if write(LINE).is_err() {
                return;
            }
            written += 1;
        }
        thread::sleep(Duration::from_secs_f64(1.0 / rate as f64).max(Duration::from_millis(1)));
    }
}

fn flood(ack: &File) -> Result<()> {
    make_raw()?;
    acknowledge(ack);
    thread::spawn(|| {
        let block = payload::block();
        while write(&block).is_ok() {}
    });
    let mut buffer = [0; 4096];
    while let Ok(1..) = io::stdin().read(&mut buffer) {
        acknowledge(ack);
    }
    Ok(())
}

fn parrot(ack: &File) -> Result<()> {
    make_raw()?;
    acknowledge(ack);
    let mut buffer = [0; 4096];
    // Not std's reader, which would keep what does not fit in the buffer.
    while let Ok(count @ 1..) = nix::unistd::read(io::stdin(), &mut buffer) {
        write(&buffer[..count])?;
    }
    Ok(())
}

fn wait_for_hangup(ack: &File) -> Result<()> {
    make_raw()?;
    acknowledge(ack);
    let stdin = io::stdin();
    poll(&mut [PollFd::new(stdin.as_fd(), PollFlags::empty())], PollTimeout::NONE)?;
    Ok(())
}

fn make_raw() -> Result<()> {
    let mut modes = tcgetattr(io::stdin())?;
    cfmakeraw(&mut modes);
    tcsetattr(io::stdin(), SetArg::TCSANOW, &modes)?;
    Ok(())
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
