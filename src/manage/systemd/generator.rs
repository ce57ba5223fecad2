//! The generators, which systemd runs at boot and at each reload (systemd.generator(7)): they
//! make units of instances that were written into a file by hand. Such units can be started, but are
//! not started at boot, as with procServ's own generators: only `add` and `enable` do that.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::unit;
use crate::manage::error::{CommandError, CommandResult};
use crate::manage::output;
use crate::manage::registry::{Registry, Scope, unit_name};

/// A generator: `argv` names up to three directories, the first for units. A problem of one
/// instance is printed to standard error, which is the kernel's log or the journal, and the others
/// get their units. The exit status is 1 if a unit could not be written.
///
/// # Errors
/// A missing argument; configuration files that can't be listed.
pub(crate) fn main(scope: Scope, argv: &[OsString]) -> CommandResult {
    let Some(directory) = argv.get(1).map(PathBuf::from) else {
        return Err(CommandError::usage(
            "a generator is run by systemd, with a directory to write to",
        ));
    };
    let registry = Registry::open(scope, None)?.patient();
    let launcher = unit::launcher(&registry)?;
    let mut failed = false;
    for instance in registry.instances()?.values() {
        let path = directory.join(unit_name(&instance.name));
        let text = unit::text(scope, instance, &launcher, Some(&instance.file));
        if let Err(error) = write(&path, &text) {
            output::print_error(&CommandError::file(&path, &error).text);
            failed = true;
        }
    }
    Ok(u8::from(failed))
}

/// The scope of a generator that has the same name for both: the name of its directory tells.
pub(crate) fn scope(argv: &[OsString]) -> Scope {
    let program = argv.first().map(Path::new).and_then(Path::parent);
    match program.is_some_and(|directory| directory.ends_with("user-generators")) {
        true => Scope::User,
        false => Scope::System,
    }
}

/// Writes a unit. It is not synced: the directory is in memory, and is empty at each run.
fn write(path: &Path, text: &str) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = File::options().write(true).create_new(true).mode(0o644).open(path);
    file?.write_all(text.as_bytes())
}
