//! The generators, which systemd runs at boot and at each reload (systemd.generator(7)): they
//! make units of instances that were written into a file by hand.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::unit;
use crate::manage::error::{CommandError, CommandResult};
use crate::manage::files;
use crate::manage::registry::{Registry, Scope, unit_name};
use crate::sys::file::{self, IfExists};

/// A generator: `argv` names up to three directories, the first for units. A problem of one
/// instance is printed to standard error, which is the kernel's log or the journal.
///
/// # Errors
/// A missing argument; a unit that can't be written.
pub(crate) fn main(scope: Scope, argv: &[OsString]) -> CommandResult {
    let Some(directory) = argv.get(1).map(PathBuf::from) else {
        return Err(CommandError::usage(
            "a generator is run by systemd, with a directory to write to",
        ));
    };
    let registry = Registry::open(scope, None)?;
    let launcher = unit::launcher(&registry)?;
    let wants = directory.join(format!("{}.wants", scope.boot_target()));
    for instance in registry.instances()?.values() {
        let name = unit_name(&instance.name);
        write_generated(
            &directory,
            &wants,
            &name,
            &unit::text(scope, instance, &launcher, Some(&instance.file)),
        )
        .map_err(|error| CommandError::file(&directory.join(&name), &error))?;
    }
    Ok(0)
}

fn write_generated(directory: &Path, wants: &Path, unit: &str, text: &str) -> io::Result<()> {
    file::replace_atomically(&directory.join(unit), text.as_bytes(), 0o644, IfExists::Replace)?;
    fs::create_dir_all(wants)?;
    let link = wants.join(unit);
    files::remove(&link)?;
    symlink(Path::new("..").join(unit), link)
}
