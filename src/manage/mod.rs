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
//! | [`files`] | files that anybody may have written |
//! | [`output`] | what commands print |
//! | [`limits`] | every size and timeout |
//! | [`registry::ini`], [`registry::shlex`] | what configuration files are made of |
//! | [`mod@systemd::unit`], [`systemd::generator`] | units, and what makes them at boot |
//! | [`systemd::launcher`] | the command of a unit: becomes the server of an instance |
//! | [`systemd::systemctl`] | calls of systemctl |
//! | [`commands::add`], [`commands::remove`], [`commands::control`] | commands that change something |
//! | [`inspect`] | what of an instance lives |
//! | [`commands::list`], [`commands::logs`], [`commands::doctor`] | commands that only look |
//! | [`commands::attach`] | a person's terminal and a console |
//! | [`commands::upgrade`] | servers replaced while they run |
//! | [`commands::conserver`] | a configuration for conserver |

pub mod cli;
pub(crate) mod commands;
pub(crate) mod error;
pub(crate) mod files;
pub(crate) mod inspect;
pub(crate) mod limits;
pub(crate) mod output;
pub mod registry;
pub(crate) mod systemd;

use crate::manage::commands::add;
use crate::manage::commands::attach;
use crate::manage::commands::conserver;
use crate::manage::commands::control;
use crate::manage::commands::doctor;
use crate::manage::commands::list;
use crate::manage::commands::logs;
use crate::manage::commands::remove;
use crate::manage::commands::upgrade;
use crate::manage::systemd::generator;
use crate::manage::systemd::launcher;
use std::ffi::OsString;
use std::path::Path;

use clap::ArgMatches;
use nix::sys::stat::{Mode, umask};

use self::error::{CommandError, CommandResult};
use self::registry::{Registry, Scope};

/// Runs the command that `argv` names, or what the name of the program says: a link to it, or a
/// script that begins with `#!/usr/bin/manage-procs as`, may be called as one of procServ's other
/// helpers. The exit status: 0, 1 for a failure, 2 for a command
/// line that is none; errors are on stderr by then.
pub fn main(argv: Vec<OsString>) -> u8 {
    let name = argv.first().map(Path::new).and_then(Path::file_name).unwrap_or_default();
    let result = match name.to_str() {
        Some("procServ-launcher") => launcher::main(argv),
        Some("systemd-procserv-generator-system") => generator::main(Scope::System, &argv),
        Some("systemd-procserv-generator-user") => generator::main(Scope::User, &argv),
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
        Err(error) => {
            output::print_error(&error.text);
            error.code
        }
    }
}

fn command(matches: &ArgMatches) -> CommandResult {
    let Some((name, arguments)) = matches.subcommand() else {
        return Err(CommandError::usage("no command"));
    };
    let registry = Registry::new(matches)?;
    let json = arguments.get_flag("json");
    if registry.scope == Scope::System {
        // Launchers and generators read what is written here, whatever root keeps from others.
        umask(Mode::S_IWGRP | Mode::S_IWOTH);
    }
    match name {
        "add" => add::add(&registry, arguments, json),
        "remove" => remove::remove(&registry, arguments, json),
        "start" | "stop" | "restart" => control::units(&registry, name, arguments, json),
        "attach" => attach::command(&registry, arguments),
        "list" => list::list(&registry, arguments, json),
        "status" => list::status(&registry, arguments, json),
        "logs" => logs::logs(&registry, arguments, json),
        "upgrade" => upgrade::upgrade(&registry, arguments, json),
        "doctor" => doctor::doctor(&registry, json),
        "write-procs-cf" => conserver::write(&registry, arguments, json),
        _ => Err(CommandError::usage(format!("no such command: {name}"))),
    }
}
