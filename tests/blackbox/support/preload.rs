//! Libraries for LD_PRELOAD, above all `preload.c`, which makes system calls of a server under test slow,
//! wrong or failing.

use super::{ServerBuilder, TestEnv};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// What is missing if [`is_available`] is false, or [`compiled`] returns nothing.
pub(crate) const NO_CC: &str = "no C compiler";

/// Returns true if the library can be compiled here.
pub(crate) fn is_available() -> bool {
    library().is_some()
}

/// A server with the library. The files that control the library are in the scratch directory:
/// `clock`, `syncs`, `read-error` and `failed-reads`.
pub(crate) fn preloaded(env: &TestEnv) -> ServerBuilder {
    let mut setup = env.server();
    for (variable, name) in [
        ("TEST_CLOCK", "clock"),
        ("TEST_SYNCS", "syncs"),
        ("TEST_READ_ERROR", "read-error"),
        ("TEST_FAILED_READS", "failed-reads"),
    ] {
        let path = setup.path(name);
        setup = setup.env(variable, path);
    }
    setup.env("LD_PRELOAD", library().expect("a C compiler"))
}

fn library() -> Option<&'static Path> {
    static LIBRARY: OnceLock<Option<PathBuf>> = OnceLock::new();
    LIBRARY.get_or_init(|| compiled("support/preload.c")).as_deref()
}

/// The library for LD_PRELOAD that `source`, a file of `tests/blackbox`, is compiled to, if there is
/// a compiler.
pub(crate) fn compiled(source: &str) -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/blackbox").join(source);
    let name = source.with_extension("so");
    let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name.file_name()?);
    // Renamed into place: another run of this test may be using it.
    let unfinished = library.with_extension(std::process::id().to_string());
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-O1"]).arg(&source).arg("-o").arg(&unfinished).arg("-ldl");
    let compiled = cc.output().is_ok_and(|output| output.status.success());
    (compiled && fs::rename(&unfinished, &library).is_ok()).then_some(library)
}
