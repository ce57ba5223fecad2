//! `metrics`: the numbers of all instances for Prometheus.

mod exposition;
mod families;

use std::path::PathBuf;

use clap::ArgMatches;
use nix::sys::stat::{Mode, umask};

use super::fallback;
use crate::manage::error::{CommandError, CommandResult};
use crate::manage::inspect::overview;
use crate::manage::output;
use crate::manage::registry::Registry;
use crate::manage::registry::pattern::Patterns;
use crate::sys::file::{IfExists, replace_atomically};

/// `metrics`. It is about all instances: samples that two files have are lost without a word.
///
/// # Errors
/// Configuration files that can't be read; a file that can't be written.
pub(crate) fn metrics(
    registry: &Registry,
    matches: &ArgMatches,
    is_default: bool,
    json: bool,
) -> CommandResult {
    if json {
        return Err(CommandError::usage(
            "--json: metrics has Prometheus' format; status --json has the same and more",
        ));
    }
    let all = Patterns::parse::<&str>(&[])?;
    let registry = fallback::registry_of(registry, &all, is_default)?;
    let text = families::text(&overview::look(&registry, &all)?);
    let Some(file) = matches.get_one::<PathBuf>("textfile") else {
        output::print(&text)?;
        return Ok(0);
    };
    let file = match registry.root {
        Some(_) => registry.in_root(file),
        None => file.clone(),
    };
    // node_exporter is another user.
    umask(Mode::S_IWGRP | Mode::S_IWOTH);
    replace_atomically(&file, text.as_bytes(), 0o644, IfExists::Replace)
        .map_err(|error| CommandError::file(&file, &error))?;
    Ok(0)
}
