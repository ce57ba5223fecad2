//! The command of a unit, which executes the server of an instance.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::manage::error::{CommandError, CommandResult};
use crate::manage::registry::{Registry, Scope};

/// `procServ-launcher [--system|--user] NAME`.
///
/// # Errors
/// Always, if the function returns.
pub(crate) fn main(argv: Vec<OsString>) -> CommandResult {
    let words: Vec<String> =
        argv.into_iter().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["--user", name] => launch(Scope::User, name),
        ["--system", name] => launch(Scope::System, name),
        [name] if !name.starts_with('-') => launch(Scope::System, name),
        _ => Err(CommandError::usage("usage: procServ-launcher [--system|--user] NAME")),
    }
}

/// Executes the server of the instance `name` in the place of this program.
///
/// # Errors
/// Always, if the function returns.
pub(crate) fn launch(scope: Scope, name: &str) -> CommandResult {
    let registry = Registry::open(scope, None)?;
    let instances = registry.instances()?;
    let Some(instance) = instances.get(name) else {
        return Err(CommandError::new(format!("no usable instance {name}")));
    };
    let program = server();
    // systemd separates the directories in RUNTIME_DIRECTORY by colons, and a name may have colons.
    let arguments = instance.server_arguments(&registry);
    let error = Command::new(&program).args(arguments).exec();
    Err(CommandError::file(&program, &error))
}

/// The path of the server: beside this program, or else by PATH.
fn server() -> PathBuf {
    let beside = std::env::current_exe().map(|path| path.with_file_name("procServ"));
    beside
        .ok()
        .filter(|path| path.exists())
        .or_else(|| on_path("procServ"))
        .unwrap_or("procServ".into())
}

/// Looks a program up in PATH. The path is absolute: at an upgrade the server executes the program
/// that is installed there.
fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(name)).find(|file| is_program(file))
}

/// Returns true if `path` is a file with an execute permission.
pub(crate) fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}
