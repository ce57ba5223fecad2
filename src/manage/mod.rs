//! `manage-procs`: manages the servers of a machine or of a user. Each server is an *instance*: a
//! section of a configuration file, of which a unit of systemd is made. This module knows only what
//! every program can know of a server: info files, status files, `/proc` and the interface for
//! programs. It connects to a console only to `attach` and to `send`.
//!
//! | module | what it is |
//! |---|---|
//! | [`cli`] | the definition of commands and options |
//! | [`error`] | why a command failed |
//! | [`registry`] | the paths that belong to instances |
//! | [`registry::configuration`], [`registry::instance`] | what all configuration files together say |
//! | [`registry::edit`] | changes of configuration files |
//! | [`registry::pattern`] | patterns of names |
//! | [`registry::sysroot`] | paths below `--root` |
//! | [`bounded`] | work that may never end, such as reading a disk that hangs |
//! | [`files`] | reading files that other users may have put in place |
//! | [`output`] | what commands print |
//! | [`limits`] | every size and timeout |
//! | [`registry::ini`], [`registry::shlex`] | the notation of configuration files |
//! | [`mod@systemd::unit`], [`systemd::generator`] | units, and the generators that make them at boot |
//! | [`systemd::launcher`] | the command of a unit, which executes the server |
//! | [`systemd::systemctl`] | calls of systemctl |
//! | [`mod@commands::add`], [`commands::remove`], [`commands::edit`], [`commands::enable`], [`commands::control`] | commands that change something |
//! | [`inspect`] | the running servers and their children |
//! | [`timestamp`] | times as users write them |
//! | [`commands::list`], [`commands::status`], [`commands::why`], [`commands::events`], [`commands::logs`], [`commands::metrics`], [`commands::doctor`] | commands that change nothing |
//! | [`mod@commands::top`] | shows the table of `status` and goes on showing it |
//! | [`mod@commands::watch`] | prints the objects of `status --json`, and each change of them |
//! | [`commands::attach`] | connects the user's terminal with a console |
//! | [`commands::attach::send`], [`commands::control::request`] | types a line; sets the restart mode, kills the child |
//! | [`commands::control::upgrade`] | replaces the program of running servers |
//! | [`commands::complete`] | names of instances, for shells |
//! | [`commands::conserver`] | writes a configuration for conserver |

pub(crate) mod bounded;
pub mod cli;
pub(crate) mod commands;
pub(crate) mod error;
pub(crate) mod files;
pub(crate) mod inspect;
pub(crate) mod limits;
pub(crate) mod output;
pub mod registry;
pub(crate) mod systemd;
pub(crate) mod timestamp;

use std::ffi::OsString;
use std::path::Path;

use clap::ArgMatches;
use nix::sys::stat::{Mode, umask};

use self::commands::{
    add, attach, complete, conserver, control, doctor, edit, enable, events, list, logs, metrics,
    pager, remove, status, top, watch, why,
};
use self::error::{CommandError, CommandResult};
use self::registry::{Registry, Scope};
use self::systemd::{generator, launcher};
use crate::sys::process::left_behind::{self, Outcome};

/// Runs the command that `argv` names and returns the exit status: 0, 1 after a failure, 2 for a
/// wrong command line. Errors have been printed then. A link to this program, or a script that
/// begins with `#!/usr/bin/manage-procs as`, may have the name of another helper of procServ, and
/// does its work.
pub fn main(argv: Vec<OsString>) -> u8 {
    let name = argv.first().map(Path::new).and_then(Path::file_name).unwrap_or_default();
    let result = match name.to_str() {
        Some("procServ-launcher") => launcher::main(argv),
        Some("systemd-procserv-generator-system") => generator::main(Scope::System, &argv),
        Some("systemd-procserv-generator-user") => generator::main(Scope::User, &argv),
        Some("systemd-procserv-generator") => generator::main(generator::scope(&argv), &argv),
        _ if argv.get(1).is_some_and(|word| word == "as") => {
            return main(argv.into_iter().skip(2).collect());
        }
        _ if argv.get(1).is_some_and(|word| word == "launcher") => {
            launcher::main(argv.into_iter().skip(1).collect())
        }
        // Not in the definition, of which the completions are made, too.
        _ if argv.get(1).is_some_and(|word| word == "complete") => {
            complete::complete(argv.get(2..).unwrap_or_default())
        }
        _ => match cli::definition().try_get_matches_from(argv) {
            Ok(matches) => command(&matches),
            Err(error) => {
                // An error in printing does not change the exit status.
                let _ = error.print();
                return u8::try_from(error.exit_code()).unwrap_or(2);
            }
        },
    };
    exit_status(result)
}

/// The exit status of a command. An error is printed.
fn exit_status(result: CommandResult) -> u8 {
    match result {
        Ok(code) => code,
        Err(error) => {
            output::print_error(&error.text);
            error.code
        }
    }
}

/// Runs a command that looks at files and processes of instances. A disk that does not answer may
/// keep the process of the command from ending, and this process does not wait for that.
fn left_behind(command: impl Fn() -> CommandResult) -> CommandResult {
    match left_behind::run(None, || vec![exit_status(command())]) {
        Ok(Outcome::Done(code)) => Ok(code.first().copied().unwrap_or(1)),
        Ok(Outcome::Died(signal)) => {
            if let Some(signal) = signal {
                let _ = nix::sys::signal::raise(signal);
            }
            Ok(1)
        }
        Ok(Outcome::Late) | Err(_) => command(),
    }
}

fn command(matches: &ArgMatches) -> CommandResult {
    let Some((name, arguments)) = matches.subcommand() else {
        output::print(&cli::definition().render_help().to_string())?;
        return Ok(1);
    };
    // `status` and others show an ordinary user the machine's instances, too.
    let is_default = !matches.get_flag("user");
    if name == "attach" {
        return attach::command(Registry::new(matches), arguments, is_default);
    }
    let registry = Registry::new(matches)?;
    let json = arguments.get_flag("json");
    if registry.scope == Scope::System {
        // Launchers and generators have to read the files that root writes.
        umask(Mode::S_IWGRP | Mode::S_IWOTH);
    }
    // The process that waits for the pager is this one: the interrupt key must not end it.
    let pager = match name {
        "events" | "logs" if !arguments.get_flag("follow") => pager::start(),
        _ => None,
    };
    let run = || match name {
        "add" => add::add(&registry, arguments, json),
        "remove" => remove::remove(&registry, arguments, json),
        "set" => edit::set(&registry, arguments, json),
        "edit" => edit::edit(&registry, arguments, json),
        "enable" => enable::enable(&registry, arguments, json),
        "disable" => enable::disable(&registry, arguments, json),
        "start" | "stop" | "restart" => control::units(&registry, name, arguments, json),
        "list" => list::list(&registry, arguments, is_default, json),
        "status" => status::status(&registry, arguments, is_default, json),
        "top" => top::top(&registry, arguments, is_default, json),
        "watch" => watch::watch(&registry, arguments, is_default, json),
        "why" => why::why(&registry, arguments, is_default, json),
        "events" => events::events(&registry, arguments, is_default, json),
        "logs" => logs::logs(&registry, arguments, pager.is_some(), json),
        "metrics" => metrics::metrics(&registry, arguments, is_default, json),
        "mode" => control::request::mode(&registry, arguments, is_default, json),
        "kill" => control::request::kill(&registry, arguments, is_default, json),
        "send" => attach::send::send(&registry, arguments, is_default),
        "upgrade" => control::upgrade::upgrade(&registry, arguments, json),
        "doctor" => doctor::doctor(&registry, json),
        "write-procs-cf" => conserver::write(&registry, arguments, json),
        _ => Err(CommandError::usage(format!("no such command: {name}"))),
    };
    match name {
        // An editor may live on at the interrupt key, and its parent then, too.
        "edit" => run(),
        // The process that the user's shell started is the one to stop and to end with a sane terminal.
        "top" => run(),
        // A process of its own looks at the instances.
        "watch" => run(),
        _ => left_behind(run),
    }
}
