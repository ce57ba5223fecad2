//! `add`: writes the files of instances, then their units. An instance exists as soon as its file
//! does, which appears in one step.

mod request;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::ArgMatches;
use serde_json::{Value, json};

use self::request::Request;
use super::doctor::instance;
use crate::manage::error::{CommandError, CommandResult};
use crate::manage::files;
use crate::manage::output;
use crate::manage::registry::{Instance, Registry, Sources, Unusable, unit_name};
use crate::manage::systemd::{systemctl, unit};
use crate::sys::file::IfExists;

/// `add`.
///
/// # Errors
/// A name or a value that is impossible; an existing instance of this name; files that can't be
/// written.
pub(crate) fn add(registry: &Registry, matches: &ArgMatches, json: bool) -> CommandResult {
    let (force, start) = (matches.get_flag("force"), matches.get_flag("autostart"));
    if start {
        registry.require_live("--autostart")?;
    }
    let requests = match matches.get_one::<PathBuf>("from") {
        Some(path) => request::from_file(registry, path)?,
        None => vec![request::from_command_line(registry, matches)?],
    };
    // A directory that does not answer would hold up everything below.
    registry.files()?;
    for Request { name, file, .. } in &requests {
        if file.symlink_metadata().is_err() {
            continue;
        }
        if !force {
            return Err(already_exists(file));
        }
        registry.require_sole_instance(name)?;
    }
    let instances = checked(registry, &requests, force)?;

    files::make_directory(&registry.directory())?;
    let contents: Vec<_> =
        requests.iter().map(|request| (request.file.clone(), request.content.clone())).collect();
    // The files first: of two commands that add the same name, only one can create it.
    let existing = if force { IfExists::Replace } else { IfExists::Fail };
    files::write_all(&contents, existing).map_err(|error| {
        let taken = contents.iter().find(|(file, _)| error.text.starts_with(&in_use(file)));
        taken.map_or(error.clone(), |(file, _)| already_exists(file))
    })?;
    let units = unit::write(registry, &instances)?;

    let verbose = matches.get_count("verbose") > 0;
    systemctl::enable(registry, verbose, &units).map_err(|error| {
        let what = "in its file, but not enabled";
        CommandError::new(format!("{}: is {what}: {}", names(&instances), error.text))
    })?;
    if start {
        let units: Vec<String> =
            instances.iter().map(|instance| unit_name(&instance.name)).collect();
        let words = ["start"].into_iter().chain(units.iter().map(String::as_str));
        systemctl::run(registry, verbose, &words.collect::<Vec<_>>())?;
    }
    report(registry, &instances, &units, start, json)?;
    Ok(0)
}

fn report(
    registry: &Registry,
    instances: &[Instance],
    units: &[PathBuf],
    started: bool,
    json: bool,
) -> Result<(), CommandError> {
    if json {
        let one = |(instance, unit): (&Instance, &PathBuf)| {
            let file = registry.instance_file(&instance.name);
            json!({ "name": instance.name, "file": file, "unit": unit, "started": started })
        };
        let mut all: Vec<Value> = instances.iter().zip(units).map(one).collect();
        return output::print_json(&match (all.pop(), all.is_empty()) {
            (Some(only), true) => only,
            (last, _) => all.into_iter().chain(last).collect(),
        });
    }
    if started {
        return Ok(());
    }
    let names: Vec<&str> = instances.iter().map(|instance| instance.name.as_str()).collect();
    let names = names.join(" ");
    output::print(&match (&registry.root, instances) {
        (Some(_), [_]) => format!("# {names} is started when the image boots\n"),
        (Some(_), _) => format!("# {names} are started when the image boots\n"),
        (None, _) => format!("# manage-procs {} start {names}\n", registry.scope.option()),
    })
}

/// The instances that the requests make together with the files that are there.
///
/// # Errors
/// A request that makes no instance; unless `force`, what would keep an instance from starting.
fn checked(
    registry: &Registry,
    requests: &[Request],
    force: bool,
) -> Result<Vec<Instance>, CommandError> {
    let contents: BTreeMap<PathBuf, String> =
        requests.iter().map(|request| (request.file.clone(), request.content.clone())).collect();
    let sources = Sources::read_with(registry, &contents)?;
    let mut instances = Vec::new();
    for Request { name, file, has_user, .. } in requests {
        let instance = match sources.instance(name) {
            Ok(instance) => instance,
            Err(Unusable::Off) => {
                let text = format!("{name}: is switched off by a key \"instance\" of its section");
                return Err(CommandError::new(text));
            }
            Err(Unusable::Wrong(problem)) => {
                return Err(CommandError::usage(format!("{name}: {problem}")));
            }
            Err(Unusable::Absent | Unusable::Spoiled) => {
                return Err(CommandError::new(format!(
                    "{name}: a line of a section [{name}] can't be read; see doctor"
                )));
            }
        };
        if let Some(other) = instance.files.iter().find(|other| *other != file) {
            let other = other.display();
            output::print_error(&format!("{name}: is in {other}, too: the keys of both count"));
        }
        if instance.user.as_deref() == Some("root") && !has_user {
            output::print_error(&format!("{name}: runs as root, as other sections say"));
        }
        // A wrong option is a wrong command line.
        if !force
            && requests.len() == 1
            && let Err(problem) = instance.server_config(registry)
        {
            return Err(CommandError::usage(format!("{name}: {problem}")));
        }
        instances.push(instance);
    }
    instance::require_startable(registry, &instances, force)?;
    Ok(instances)
}

fn names(instances: &[Instance]) -> String {
    match instances {
        [first, _, _, ..] => format!("{} and {} more", first.name, instances.len() - 1),
        _ => instances.iter().map(|instance| instance.name.as_str()).collect::<Vec<_>>().join(", "),
    }
}

fn in_use(file: &Path) -> String {
    CommandError::file(file, &nix::errno::Errno::EEXIST.into()).text
}

fn already_exists(file: &Path) -> CommandError {
    CommandError::new(format!("Instance already exists @ {}; --force replaces it", file.display()))
}
