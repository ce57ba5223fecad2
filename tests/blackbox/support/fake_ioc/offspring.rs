//! The steps of the stand-in child that make more processes.

use std::env;
use std::ffi::OsString;
use std::process::Command;
use std::vec::IntoIter;

/// A child does the steps up to `;`.
pub(super) fn background(steps: &mut IntoIter<OsString>) {
    start(&[], until_semicolon(steps));
}

/// A daemon does them.
pub(super) fn daemonize(steps: &mut IntoIter<OsString>) {
    start(&["setsid", "background"], until_semicolon(steps).chain([";".into()]));
}

fn until_semicolon(steps: &mut IntoIter<OsString>) -> impl Iterator<Item = OsString> {
    steps.by_ref().take_while(|word| word != ";")
}

#[expect(clippy::zombie_processes, reason = "the child is meant to outlive this process")]
fn start(first: &[&str], rest: impl Iterator<Item = OsString>) {
    let mut command = Command::new(env::current_exe().expect("my own path"));
    command.args(["fake-ioc", "unrecorded"]).args(first).args(rest);
    command.spawn().expect("a child of my own");
}
