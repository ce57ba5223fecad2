//! `enable` and `disable`: whether instances are started at boot.

use clap::ArgMatches;
use serde_json::json;

use crate::manage::error::{CommandError, CommandResult};
use crate::manage::output;
use crate::manage::registry::pattern::Patterns;
use crate::manage::registry::{Instance, Registry, unit_name};
use crate::manage::systemd::systemctl;
use crate::manage::systemd::unit::{self, UnitState};

/// `enable`: has instances started at boot. An instance that was written into a file by hand gets a
/// unit in `procServ.d`, because systemd can't enable the units of a generator.
///
/// # Errors
/// A pattern that matches no instance; files that can't be written; those of systemctl.
pub(crate) fn enable(registry: &Registry, matches: &ArgMatches, json: bool) -> CommandResult {
    let instances = registry.matching(&Patterns::from_matches(matches)?)?;
    let is_ours = |instance: &&Instance| {
        let text = crate::manage::files::read_text(&registry.unit_file(&instance.name));
        text.map_or(true, |text| unit::is_ours(&text))
            || matches!(unit::state(registry, instance), UnitState::Missing | UnitState::Old)
    };
    unit::write(registry, instances.iter().filter(is_ours))?;
    let units: Vec<_> =
        instances.iter().map(|instance| registry.unit_file(&instance.name)).collect();
    systemctl::enable(registry, matches.get_count("verbose") > 0, &units)?;
    report(&instances, true, json)
}

/// `disable`: has instances not started at boot. What runs goes on, and can be started by hand.
///
/// # Errors
/// A pattern that matches no instance; those of systemctl.
pub(crate) fn disable(registry: &Registry, matches: &ArgMatches, json: bool) -> CommandResult {
    let verbose = matches.get_count("verbose") > 0;
    let instances = registry.matching(&Patterns::from_matches(matches)?)?;
    let is_linked = |instance: &&Instance| registry.unit_link(&instance.name).is_symlink();
    let linked = instances.iter().filter(is_linked).map(|instance| instance.name.as_str());
    let linked: Vec<&str> = linked.collect();
    if !linked.is_empty() {
        // systemctl does not disable a unit that it can't read.
        systemctl::refresh(registry, verbose, &instances)?;
        systemctl::disable(registry, verbose, &linked)?;
        if registry.root.is_none() {
            systemctl::run(registry, verbose, &["daemon-reload"])?;
        }
    }
    let masked = linked.iter().find(|name| registry.unit_link(name).is_symlink());
    if let Some(name) = masked {
        let unit = unit_name(name);
        return Err(CommandError::new(format!("{name}: {unit} is still linked; is it masked?")));
    }
    report(&instances, false, json)
}

fn report(instances: &[Instance], enabled: bool, json: bool) -> CommandResult {
    if json {
        let one = |instance: &Instance| json!({ "name": instance.name, "enabled": enabled });
        output::print_json(&instances.iter().map(one).collect())?;
    }
    Ok(0)
}
