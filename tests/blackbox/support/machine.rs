//! What this machine has, for the cases that need more than the program under test.

use std::fs;
use std::net::{Ipv6Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Returns true if there is a program of this name.
pub fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}

/// Returns true if the tests run with root's rights.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Returns true if there is IPv6, on loopback at least.
pub fn has_ipv6() -> bool {
    TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
}

/// Returns true if this command can be run and succeeds.
pub fn succeeds(words: &[&str]) -> bool {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// The reason for which a case with [`compiled`] is left out.
pub const NO_CC: &str = "no C compiler";

/// The library for LD_PRELOAD that `source`, a file of `tests/blackbox`, is compiled to, if there is
/// a compiler.
pub fn compiled(source: &str) -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/blackbox").join(source);
    let name = source.with_extension("so");
    let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name.file_name()?);
    // Renamed into place: another run of this test may be using it.
    let unfinished = library.with_extension(std::process::id().to_string());
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-O1"]).arg(&source).arg("-o").arg(&unfinished).arg("-ldl");
    let done = cc.output().is_ok_and(|output| output.status.success());
    (done && fs::rename(&unfinished, &library).is_ok()).then_some(library)
}
