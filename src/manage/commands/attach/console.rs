//! The console that `attach` was told: an instance by its name, or an endpoint.

use std::fs;
use std::os::unix::fs::FileTypeExt;

use nix::unistd::Uid;
use serde::{Deserialize, Serialize};

use super::instance::{AttachedInstance, ServerIdentity};
use super::target::Target;
use crate::manage::commands::fallback;
use crate::manage::error::CommandError;
use crate::manage::inspect::probe::{self, ServerStatus};
use crate::manage::inspect::proc::Clock;
use crate::manage::inspect::users;
use crate::manage::limits::ANSWER_TIMEOUT;
use crate::manage::registry::{Registry, Scope, check_name};
use crate::sys;
use crate::sys::process::left_behind::{self, Outcome};

/// What the files say of a name.
#[derive(Debug, Serialize, Deserialize)]
enum Lookup {
    /// A server that runs.
    Running {
        endpoints: Vec<String>,
        server: ServerIdentity,
        /// The people who are attached, in words.
        clients: Vec<String>,
    },
    /// An instance without a server.
    Stopped,
    Unknown,
}

/// A console that can be connected to.
pub(super) struct Found {
    /// The endpoints, the best first.
    pub(super) targets: Vec<Target>,
    /// `None` if the console is only known by its endpoint.
    pub(super) instance: Option<AttachedInstance>,
}

impl From<Target> for Found {
    fn from(target: Target) -> Found {
        Found { targets: vec![target], instance: None }
    }
}

/// Looks for `console`. An endpoint needs no registry, an instance no
/// configuration.
///
/// # Errors
/// Neither an endpoint nor an instance that runs.
pub(super) fn find(
    registry: Result<Registry, CommandError>,
    is_default: bool,
    console: &str,
) -> Result<Found, CommandError> {
    let endpoint = Target::parse(console);
    // Names have no slashes, and no brackets.
    if let Some(target) = &endpoint
        && console.contains(['/', '@', '['])
    {
        return Ok(target.clone().into());
    }
    let registry = match (registry, &endpoint) {
        (Ok(registry), _) => registry,
        (Err(_), Some(target)) => return Ok(target.clone().into()),
        (Err(error), None) => return Err(error),
    };
    if let Some(found) = in_registry(&registry, console)? {
        return Ok(found);
    }
    if is_default
        && let Some(machine) = fallback::machine(&registry)
        && let Some(found) = in_registry(&machine, console)?
    {
        fallback::announce(console);
        return Ok(found);
    }
    endpoint.map(Found::from).ok_or_else(|| no_instance(&registry, console))
}

/// The console of an instance. `None` if there is no instance of that name.
fn in_registry(registry: &Registry, name: &str) -> Result<Option<Found>, CommandError> {
    match lookup(registry, name)? {
        Lookup::Unknown => Ok(None),
        Lookup::Stopped => Err(CommandError::new(format!(
            "{name}: does not run; manage-procs {} start {name} starts it",
            registry.scope.option()
        ))),
        Lookup::Running { endpoints, server, clients } => {
            let mut targets: Vec<Target> =
                endpoints.iter().filter_map(|endpoint| Target::parse(endpoint)).collect();
            targets.sort_by_key(|target| target.view);
            if targets.is_empty() {
                return Err(CommandError::new(format!("{name}: has no control endpoint")));
            }
            let (registry, name) = (registry.clone(), name.to_owned());
            let instance = Some(AttachedInstance { registry, name, server, clients });
            Ok(Some(Found { targets, instance }))
        }
    }
}

/// Looks into the files of an instance, in a process of its own: the files may be on a disk that
/// does not answer.
fn lookup(registry: &Registry, name: &str) -> Result<Lookup, CommandError> {
    let work = || serde_json::to_vec(&look_into_files(registry, name)).unwrap_or_default();
    let answer = match left_behind::run(Some(ANSWER_TIMEOUT), work) {
        Ok(Outcome::Done(answer)) => answer,
        Ok(Outcome::Late) => {
            let problem = "its files do not answer: a disk or a server hangs";
            return Err(CommandError::new(format!("{name}: {problem}")));
        }
        Ok(Outcome::Died(_)) => return Err(CommandError::new(format!("{name}: not looked up"))),
        Err(error) => {
            return Err(CommandError::new(format!("{name}: {}", sys::reason(&error))));
        }
    };
    Ok(serde_json::from_slice(&answer).unwrap_or(Lookup::Unknown))
}

/// A broken configuration is no obstacle: the info file has the endpoints.
fn look_into_files(registry: &Registry, name: &str) -> Lookup {
    if check_name(name).is_err() {
        return Lookup::Unknown;
    }
    let configured = registry.configured().ok();
    let instance = configured.and_then(|mut configured| configured.instances.remove(name));
    let live = match &instance {
        Some(instance) => probe::probe(registry, instance, Clock::read()),
        None => probe::probe_by_name(registry, name, None),
    };
    let runs = |live: &ServerStatus| live.server.is_some() || live.is_hidden();
    let Some(live) = live.filter(runs) else {
        return if instance.is_some() { Lookup::Stopped } else { Lookup::Unknown };
    };
    let mut endpoints = live.all_endpoints();
    endpoints.retain(|endpoint| !live.is_log(endpoint));
    // The user of the instance may write any endpoint into the info file.
    let control = registry.run_directory(name).join("control");
    if registry.scope == Scope::System
        && Uid::effective().is_root()
        && fs::symlink_metadata(&control).is_ok_and(|file| file.file_type().is_socket())
    {
        endpoints.insert(0, format!("unix:{}", control.display()));
    }
    let clients = users::clients(live.status.as_ref());
    Lookup::Running { endpoints, server: ServerIdentity::of(&live), clients }
}

/// The error for a name that is neither an instance nor an endpoint.
fn no_instance(registry: &Registry, name: &str) -> CommandError {
    let owner = match (&registry.root, registry.scope) {
        (Some(root), _) => format!("in {}", root.display()),
        (None, Scope::System) => "of this machine".to_owned(),
        (None, Scope::User) => format!("of user {}", fallback::user_name()),
    };
    let machine = Registry::open(Scope::System, None).and_then(|machine| machine.configured());
    let hint = match machine {
        Ok(machine) if registry.scope == Scope::User && machine.instances.contains_key(name) => {
            format!("; the machine has one: manage-procs --system attach {name}")
        }
        _ => String::new(),
    };
    CommandError::new(format!("no instance {name} {owner}{hint}"))
}
