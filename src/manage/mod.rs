//! `manage-procs`: many servers of a machine, each an *instance*: a section of a configuration
//! file, and a unit of systemd that is made of it. Knows nothing of a server's inside: it reads what
//! servers write for everybody (info files, status files) and what `/proc` says, and connects to a
//! console only to `attach`.
//!
//! | module | what it is |
//! |---|---|
//! | [`cli`] | the definition of commands and options |
//! | [`error`] | why a command failed |
//! | [`registry`] | where things are, and the instances that are configured there |
//! | [`registry::pattern`] | names as a command line describes them |
//! | [`registry::sysroot`] | paths below `--root` |
//! | [`files`] | files that are there whole or not at all |
//! | [`registry::ini`], [`registry::shlex`] | what configuration files are made of |
//! | [`mod@systemd::unit`] | units, and the generators |
//! | [`systemd::launcher`] | the command of a unit: becomes the server of an instance |
//! | [`commands::edit`], [`commands::control`] | commands that change something |
//! | [`inspect`] | what of an instance lives |
//! | [`commands::list`], [`commands::logs`], [`commands::doctor`] | commands that only look |
//! | [`commands::attach`] | a person's terminal and a console |
//! | [`commands::upgrade`] | servers replaced while they run |
//! | [`commands::conserver`] | a configuration for conserver |

pub mod cli;
pub mod commands;
pub mod error;
pub mod files;
pub mod inspect;
pub mod registry;
pub mod systemd;

use crate::manage::commands::attach;
use crate::manage::commands::conserver;
use crate::manage::commands::control;
use crate::manage::commands::doctor;
use crate::manage::commands::edit;
use crate::manage::commands::list;
use crate::manage::commands::logs;
use crate::manage::commands::upgrade;
use crate::manage::systemd::launcher;
use crate::manage::systemd::unit;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;

use clap::ArgMatches;
use nix::sys::stat::{Mode, umask};
use serde_json::Value;

use self::error::{CommandError, CommandResult};
use self::registry::{Registry, Scope};
use crate::limits::COLUMN_MAX;

/// Runs the command that `argv` names, or what the name of the program says: a link to it, or a
/// script that begins with `#!/usr/bin/manage-procs as`, may be called as one of procServ's other
/// helpers. The exit status: 0, 1 for a failure, 2 for a command
/// line that is none; errors are on stderr by then.
pub fn main(argv: Vec<OsString>) -> u8 {
    let name = argv.first().map(Path::new).and_then(Path::file_name).unwrap_or_default();
    let result = match name.to_str() {
        Some("procServ-launcher") => launcher::main(argv),
        Some("systemd-procserv-generator-system") => unit::generate(Scope::System, &argv),
        Some("systemd-procserv-generator-user") => unit::generate(Scope::User, &argv),
        _ if argv.get(1).is_some_and(|word| word == "as") => {
            return main(argv.into_iter().skip(2).collect());
        }
        _ if argv.get(1).is_some_and(|word| word == "launcher") => {
            launcher::main(argv.into_iter().skip(1).collect())
        }
        _ => match cli::definition().try_get_matches_from(argv) {
            Ok(matches) => command(&matches),
            Err(error) => {
                // A closed stdout changes nothing about the exit status.
                let _ = error.print();
                return u8::try_from(error.exit_code()).unwrap_or(2);
            }
        },
    };
    match result {
        Ok(code) => code,
        Err(failure) => {
            print_error(&failure.text);
            failure.code
        }
    }
}

fn command(matches: &ArgMatches) -> CommandResult {
    let Some((name, given)) = matches.subcommand() else {
        return Err(CommandError::usage("no command"));
    };
    let site = Registry::new(matches)?;
    let json = given.get_flag("json");
    if site.scope == Scope::System {
        // Launchers and generators read what is written here, whatever root keeps from others.
        umask(Mode::S_IWGRP | Mode::S_IWOTH);
    }
    match name {
        "add" => edit::add(&site, given, json),
        "remove" => edit::remove(&site, given, json),
        "start" | "stop" | "restart" => control::units(&site, name, given, json),
        "attach" => attach::command(&site, given),
        "list" => list::list(&site, given, json),
        "status" => list::status(&site, given, json),
        "logs" => logs::logs(&site, given, json),
        "upgrade" => upgrade::upgrade(&site, given, json),
        "doctor" => doctor::doctor(&site, json),
        "write-procs-cf" => conserver::write(&site, given, json),
        _ => Err(CommandError::usage(format!("no such command: {name}"))),
    }
}

/// Says something on stderr. Whoever reads it may leave.
fn print_error(text: &str) {
    let _ = writeln!(io::stderr(), "manage-procs: {text}");
}

/// Writes a text to stdout. Whoever reads it may leave.
fn print(text: &str) -> Result<(), CommandError> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(CommandError::system("standard output", &error))
        }
        _ => Ok(()),
    }
}

fn print_json(value: &Value) -> Result<(), CommandError> {
    print(&format!("{value:#}\n"))
}

/// What would end a line or move a cursor, as escapes: not all that is shown is ours.
fn escape_control(text: &str) -> String {
    let letter = |letter: char| match letter.is_control() {
        true => letter.escape_default().collect(),
        false => letter.to_string(),
    };
    text.chars().map(letter).collect()
}

/// Rows as columns, the first row being their names.
fn table(rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| escape_control(cell)).collect()).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell: &String| cell.chars().count())
            .max()
    };
    let widths: Vec<usize> =
        (0..columns).map(|column| width(column).unwrap_or(0).min(COLUMN_MAX)).collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(&format!("{cell:width$}  "));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
