//! The checks with real programs, `tests/real/*.sh`, each a test. They need root's rights, programs
//! that few machines have, and minutes: ignored unless `PROCSERV_REAL` is set, as `.ci/run` does.

// Clippy's allowances for tests look for `#[test]`, which a harness of our own doesn't have.
#![allow(clippy::unwrap_used)]

use libtest_mimic::{Arguments, Failed, Trial};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::{env, fs};

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // They wait most of the time, but what they wait for has time limits.
    arguments.test_threads = arguments.test_threads.or(Some(2));
    let wanted = env::var_os("PROCSERV_REAL").is_some();
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real");
    let mut scripts: Vec<PathBuf> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    scripts.retain(|path| path.extension().is_some_and(|extension| extension == "sh"));
    scripts.retain(|path| !path.ends_with("lib.sh"));
    scripts.sort();
    let trials = scripts.into_iter().map(|script| trial(script, wanted)).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial(script: PathBuf, wanted: bool) -> Trial {
    let name = script.file_stem().unwrap().to_string_lossy().into_owned();
    if wanted {
        return Trial::test(name, move || run(&script));
    }
    Trial::test(name, || Ok(())).with_kind("no PROCSERV_REAL").with_ignored_flag(true)
}

/// Any exit status but 0 is a failure, 77 (something that is needed is missing) too.
fn run(script: &Path) -> Result<(), Failed> {
    // A shell that is told to end ends what it started.
    let mut command = Command::new("timeout");
    command.args(["--kill-after", "10", "300"]).arg(script).stdin(Stdio::null());
    if env::var_os("PROCSERV_BIN").is_none() {
        command.env("PROCSERV_BIN", env!("CARGO_BIN_EXE_procServ"));
    }
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    let text = [output.stdout, output.stderr].concat();
    Err(format!("{}\n{}", output.status, String::from_utf8_lossy(&text)).into())
}
