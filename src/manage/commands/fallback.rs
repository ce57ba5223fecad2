//! Instances of the machine for an ordinary user who has none of that name.

use clap::ArgMatches;
use nix::unistd::{Uid, User};

use crate::manage::error::CommandError;
use crate::manage::output;
use crate::manage::registry::pattern::Patterns;
use crate::manage::registry::{Instance, Registry, Scope};

/// The instances that a command shows, and the registry that they are in.
///
/// # Errors
/// Those of [`Registry::matching`].
pub(crate) fn matching(
    registry: &Registry,
    matches: &ArgMatches,
    is_default: bool,
) -> Result<(Registry, Vec<Instance>), CommandError> {
    let patterns = Patterns::from_matches(matches)?;
    let registry = registry_of(registry, &patterns, is_default)?;
    let instances = registry.matching(&patterns)?;
    Ok((registry, instances))
}

/// The registry that a command is about: the machine's, if the user has none of the instances and the
/// machine has.
///
/// # Errors
/// Those of [`Registry::configured`].
pub(crate) fn registry_of(
    registry: &Registry,
    patterns: &Patterns,
    is_default: bool,
) -> Result<Registry, CommandError> {
    if is_default && let Some(machine) = machine(registry) {
        let own = registry.configured()?.instances;
        let has = |registry: &Registry| {
            registry
                .configured()
                .is_ok_and(|found| found.instances.keys().any(|name| patterns.selects(name)))
        };
        if !own.keys().any(|name| patterns.selects(name)) && has(&machine) {
            announce(&patterns.texts().join(" "));
            return Ok(machine);
        }
    }
    Ok(registry.clone())
}

/// The registry of the machine, if `registry` is that of a user.
pub(crate) fn machine(registry: &Registry) -> Option<Registry> {
    (registry.scope == Scope::User).then(|| Registry::open(Scope::System, None).ok())?
}

/// Says whose instances follow.
pub(crate) fn announce(names: &str) {
    let what = if names.is_empty() { "instances".to_owned() } else { format!("instance {names}") };
    output::print_error(&format!(
        "user {} has no {what}: --system is assumed, the machine's",
        user_name()
    ));
}

/// The name of the calling user, or the user's number.
pub(crate) fn user_name() -> String {
    let user = User::from_uid(Uid::current()).ok().flatten();
    user.map_or_else(|| Uid::current().to_string(), |user| user.name)
}
