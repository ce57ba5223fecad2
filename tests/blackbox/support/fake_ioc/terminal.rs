//! What the stand-in writes to its terminal, and how it reads from it.

use super::scratch;
use nix::sys::termios::{self, LocalFlags, SetArg};
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::thread;
use std::time::Duration;

pub(super) fn print(bytes: &[u8]) {
    let mut stdout = std::io::stdout().lock();
    // The terminal may have been hung up; then there is nobody to tell.
    let _ = stdout.write_all(bytes).and_then(|()| stdout.flush());
}

pub(super) fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match (byte, if byte == b'\\' { rest.next() } else { None }) {
            (_, Some(b'n')) => b'\n',
            (_, Some(b'r')) => b'\r',
            (_, Some(b'x')) => {
                let digits: String = rest.by_ref().take(2).map(char::from).collect();
                u8::from_str_radix(&digits, 16).expect("two hex digits")
            }
            (_, Some(other)) => other,
            (byte, None) => byte,
        });
    }
    bytes
}

pub(super) fn emit(count: usize) {
    let lines = (0..count.div_ceil(64)).flat_map(|n| format!("{n:<63}\n").into_bytes());
    let bytes: Vec<u8> = lines.take(count).collect();
    print(&bytes);
}

pub(super) fn emit_until(end: &Path) {
    let mut lines = (0..).map(|n| format!("{n:<63}\n"));
    while !end.exists() {
        print(lines.by_ref().take(16).collect::<String>().as_bytes());
        thread::sleep(Duration::from_millis(1));
    }
    print(b"END\n");
}

pub(super) fn copy(mut convert: impl FnMut(&[u8]) -> Vec<u8>) {
    let mut buffer = [0; 4096];
    let mut stdin = std::io::stdin().lock();
    while let Ok(count @ 1..) = stdin.read(&mut buffer) {
        print(&convert(&buffer[..count]));
    }
}

pub(super) fn keep_slowly(name: &str) {
    const MB: usize = 1_000_000;
    let mut file = File::create(scratch().join(name)).expect("a file of the stand-in");
    let mut kept = 0;
    copy(|bytes| {
        thread::sleep(Duration::from_millis(1));
        file.write_all(bytes).expect("a file of the stand-in");
        let whole = kept / MB;
        kept += bytes.len();
        if kept / MB > whole { format!("{} MB\n", kept / MB).into_bytes() } else { Vec::new() }
    });
}

pub(super) fn hex(bytes: &[u8]) -> Vec<u8> {
    let shown = bytes.iter().map(|byte| match byte {
        b'\n' => "0a \n".to_owned(),
        other => format!("{other:02x} "),
    });
    shown.collect::<String>().into_bytes()
}

pub(super) fn raw() {
    let stdin = std::io::stdin();
    let mut modes = termios::tcgetattr(&stdin).expect("tcgetattr");
    let output = modes.output_flags;
    termios::cfmakeraw(&mut modes);
    modes.output_flags = output;
    modes.local_flags.remove(LocalFlags::ECHO);
    termios::tcsetattr(&stdin, SetArg::TCSANOW, &modes).expect("tcsetattr");
}
