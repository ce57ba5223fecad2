//! The command of a unit, which executes the server of an instance.

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::{Arg, ArgAction};

use crate::manage::error::{CommandError, CommandResult};
use crate::manage::files;
use crate::manage::output;
use crate::manage::registry::{Instance, Registry, Scope, Sources, Unusable};

/// `procServ-launcher [-h] [--user] [--system] [-d]... NAME`.
///
/// # Errors
/// Always, if the function returns, except after `--help` and for a wrong command line, which have
/// been answered.
pub(crate) fn main(argv: Vec<OsString>) -> CommandResult {
    let matches = match definition().try_get_matches_from(argv) {
        Ok(matches) => matches,
        Err(error) => {
            // An error in printing does not change the exit status.
            let _ = error.print();
            return Ok(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let scope = Scope::from_matches(&matches, None);
    let name = matches.get_one::<String>("name").map(String::as_str).unwrap_or_default();
    launch(scope, name, matches.get_count("debug"))
}

fn definition() -> clap::Command {
    let flag = |long, help| Arg::new(long).long(long).action(ArgAction::SetTrue).help(help);
    clap::Command::new("procServ-launcher")
        .about("Become the server of an instance")
        .infer_long_args(true)
        .args_override_self(true)
        .args([
            flag("user", "An instance of the calling user (default, unless root)")
                .overrides_with("system"),
            flag("system", "An instance of the machine (default for root)").overrides_with("user"),
            Arg::new("debug")
                .short('d')
                .long("debug")
                .action(ArgAction::Count)
                .help("Print what is executed; twice: procServ --debug"),
            Arg::new("name").required(true).help("The instance's name"),
        ])
}

/// Executes the server of the instance `name` in the place of this program.
///
/// # Errors
/// Always, if the function returns.
fn launch(scope: Scope, name: &str, debug: u8) -> CommandResult {
    let registry = Registry::open(scope, None)?.patient();
    let sources = Sources::read(&registry)?;
    let mut instance = match sources.instance(name) {
        Ok(instance) => instance,
        Err(reason) => {
            // The section may be in a file that the instance's user may not read.
            sources.denied().for_each(|problem| {
                say(problem);
            });
            return Ok(refuse(name, &reason));
        }
    };
    if instance.command.is_empty() {
        return Ok(say(&format!("instance '{name}' missing command=")));
    }
    std::env::set_current_dir(&instance.chdir)
        .map_err(|error| CommandError::file(&instance.chdir, &error))?;
    instance.events = instance.events && has_logs_directory(&registry, name);
    let program = server();
    let mut command = Command::new(&program);
    command.args(arguments(&registry, &instance, debug > 1));
    for variable in ["PROCSERV_NAME", "IOCNAME"] {
        if std::env::var_os(variable).is_none() {
            command.env(variable, name);
        }
    }
    if debug > 0 {
        say(&format!("in {}: {command:?}", instance.chdir.display()));
    }
    Err(CommandError::file(&program, &command.exec()))
}

/// Says why there is no such instance. The texts are those of procServ's launcher.
fn refuse(name: &str, reason: &Unusable) -> u8 {
    say(&match reason {
        Unusable::Absent => format!("Instance '{name}' not found"),
        Unusable::Off => format!("'{name}' not an instance"),
        Unusable::Spoiled => format!("'{name}': a line of its section can't be read"),
        Unusable::Wrong(problem) => format!("'{name}': {problem}"),
    })
}

/// Prints a line to standard error and returns the exit status of a failure.
fn say(text: &str) -> u8 {
    // The reader may have ended.
    let _ = writeln!(io::stderr(), "{}", output::escape_control(text));
    1
}

/// Returns true if there is a directory for the events file. That of the machine's instances is made by
/// systemd, and units that an older version of this program has written do not ask for it.
fn has_logs_directory(registry: &Registry, name: &str) -> bool {
    let directory = registry.logs_directory(name);
    if registry.scope == Scope::User
        && let Err(error) = files::make_directory(&directory)
    {
        say(&format!("no events are recorded: {}", error.text));
    }
    directory.is_dir()
}

/// The command line of the server. `--debug` comes before the words of the file, which end in the
/// child's command line.
fn arguments(registry: &Registry, instance: &Instance, debug: bool) -> Vec<String> {
    let mut arguments = instance.server_arguments(registry);
    if debug {
        let words = instance.options.len() + instance.command.len();
        arguments.insert(arguments.len().saturating_sub(words), "--debug".to_owned());
    }
    arguments
}

/// The path of the server: by PATH, or else beside this program.
fn server() -> PathBuf {
    let beside = || std::env::current_exe().map(|path| path.with_file_name("procServ"));
    on_path("procServ")
        .or_else(|| beside().ok().filter(|path| path.exists()))
        .unwrap_or("procServ".into())
}

/// Looks a program up in PATH. The path is absolute: at an upgrade the server executes the program
/// that is installed there.
fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join(name))
        .find(|file| is_program(file))
}

/// Returns true if `path` is a file with an execute permission.
pub(crate) fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}
