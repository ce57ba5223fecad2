//! procServ's command line, parsed. Everything about it was compared with procServ 2.7.0, except where
//! its own answer is a defect.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};

use procserv_ng::cli::{self, EarlyExit};
use procserv_ng::config::Config;

pub(crate) const USAGE: &str = "\
Usage: ps [options] -P <endpoint>... <command args ...>    (-h for help)
       ps [options] <endpoint> <command args ...>
";

pub(crate) fn run_with(words: &[&OsStr], env: &[(&str, &str)]) -> Result<Config, EarlyExit> {
    let env: HashMap<_, _> = env.iter().copied().collect();
    let argv = std::iter::once(OsStr::new("ps")).chain(words.iter().copied());
    cli::parse(argv.map(OsStr::to_os_string).collect(), &|name| env.get(name).map(OsString::from))
}

pub(crate) fn run(words: &[&str]) -> Result<Config, EarlyExit> {
    run_with(&words.iter().map(OsStr::new).collect::<Vec<_>>(), &[])
}

/// The configuration of `options` before an endpoint and a command.
pub(crate) fn config(options: &[&str]) -> Config {
    run(&[options, &["2000", "cmd"]].concat()).unwrap()
}

pub(crate) fn warnings(options: &[&str]) -> Vec<String> {
    let lines = config(options).warnings;
    lines.into_iter().map(|line| String::from_utf8(line).unwrap()).collect()
}

/// Asserts the usage on stdout, exit 1, and these lines, each after `ps: `, on stderr.
#[track_caller]
pub(crate) fn refused(words: &[&str], lines: &[&str]) {
    let exit = run(words).unwrap_err();
    let stderr: String = lines.iter().map(|line| format!("ps: {line}\n")).collect();
    assert_eq!(String::from_utf8(exit.stderr).unwrap(), stderr, "{words:?}");
    assert_eq!(String::from_utf8(exit.stdout).unwrap(), USAGE, "{words:?}");
    assert_eq!(exit.code, 1, "{words:?}");
}

/// procServ's long options, in its order.
pub(crate) fn long_options() -> Vec<(String, bool)> {
    cli::definition()
        .get_arguments()
        .filter(|arg| arg.get_help_heading().is_none())
        .map(|arg| (arg.get_long().unwrap().to_string(), arg.get_action().takes_values()))
        .collect()
}
