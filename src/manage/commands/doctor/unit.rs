//! What is wrong with the unit of an instance, or what systemd makes of the unit.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use nix::unistd::Uid;

use super::finding::{Finding, Look, suggested_command};
use crate::manage::files;
use crate::manage::inspect::journal::{self, Notes};
use crate::manage::inspect::units::{self, UnitStatus};
use crate::manage::output::grouped;
use crate::manage::registry::{Instance, Registry, Scope, unit_name};
use crate::manage::systemd::unit::{self, UnitState};

/// The look at the unit file of an instance.
pub(super) fn look(registry: &Arc<Registry>, instance: &Arc<Instance>) -> Look {
    let (registry, instance) = (Arc::clone(registry), Arc::clone(instance));
    let path = registry.unit_file(&instance.name);
    Look::new(instance.name.clone(), path.display(), move || unit_file(&registry, &instance))
}

fn unit_file(registry: &Registry, instance: &Instance) -> Vec<Finding> {
    let name = &instance.name;
    let path = registry.unit_file(name);
    let text = files::read_text(&path).unwrap_or_default();
    let path = path.display();
    let source = instance.file.display();
    let restart = suggested_command(registry, "restart", name);
    let find = |problem: String, advice: String| vec![Finding::new(name, problem, advice)];
    let found = match unit::state(registry, instance) {
        UnitState::Good => Vec::new(),
        UnitState::Unread => find(
            format!("systemd has not read what {source} says"),
            match registry.scope {
                Scope::System => format!("{restart}, or systemctl daemon-reload"),
                Scope::User => format!("{restart}, or systemctl --user daemon-reload"),
            },
        ),
        UnitState::Missing => find(
            format!("{path} is not there, or systemd has no link to it"),
            format!("{restart} writes it"),
        ),
        UnitState::Old => {
            find(format!("{path} is not what {source} says"), format!("{restart} writes it anew"))
        }
        UnitState::Foreign => find(
            format!("{path} is not what {source} says"),
            "change the one or the other, or remove the unit and restart the instance".to_owned(),
        ),
    };
    if found.is_empty() { launcher(registry, name, &text) } else { found }
}

/// What is wrong with the program that a unit executes.
fn launcher(registry: &Registry, name: &str, unit: &str) -> Vec<Finding> {
    let program = unit.lines().find_map(|line| line.strip_prefix("ExecStart="));
    let Some(program) = program.and_then(|line| line.split(' ').next()) else {
        return Vec::new();
    };
    let path = Path::new(program.trim_matches('"'));
    if path.is_absolute() && registry.in_root(path).exists() {
        return Vec::new();
    }
    let unit = registry.unit_file(name);
    vec![Finding::new(
        name,
        format!("{}: its launcher {program} is not there", unit.display()),
        format!("remove the unit; {} writes it", suggested_command(registry, "restart", name)),
    )]
}

/// What systemd says of the units of all instances.
pub(super) fn states(registry: &Registry, names: &[&String]) -> Vec<Finding> {
    if names.is_empty() || registry.root.is_some() {
        return Vec::new();
    }
    let units: Vec<String> = names.iter().map(|name| unit_name(name)).collect();
    let states = match units::show(registry, &units) {
        Ok(states) => states,
        // Somebody may keep a configuration where there is no systemd.
        Err(_) if !Path::new("/run/systemd/system").exists() => BTreeMap::new(),
        Err(problem) => {
            let advice = "see systemctl status, and journalctl -b -u init.scope";
            return vec![Finding::new("systemd", problem, advice)];
        }
    };
    let found =
        names.iter().filter_map(|name| state(registry, name, states.get(&unit_name(name))?));
    found.collect()
}

/// Instances that write more than the journal takes from them.
pub(super) fn dropped(
    registry: &Registry,
    instances: &BTreeMap<String, Arc<Instance>>,
) -> Vec<Finding> {
    let notes = journal::notes(registry).into_iter();
    let dropped =
        notes.filter(|(name, notes)| notes.dropped > 0 && instances.contains_key(name.as_str()));
    let find = |(name, notes): (String, Notes)| {
        // journald counts the lines of all units of a user together.
        let unit = match registry.scope {
            Scope::System => unit_name(&name),
            Scope::User => format!("user@{}.service", Uid::current()),
        };
        Finding::new(
            &name,
            format!(
                "the journal has dropped {} lines of its output within 24 hours",
                grouped(notes.dropped)
            ),
            format!(
                "a larger LogRateLimitBurst= (systemctl edit {unit}), or a log file of its own \
                 (options = --logfile FILE)"
            ),
        )
    };
    dropped.map(find).collect()
}

fn state(registry: &Registry, name: &str, state: &UnitStatus) -> Option<Finding> {
    let unit = unit_name(name);
    let logs = suggested_command(registry, "logs -n 20", name);
    match state.get("LoadState") {
        "masked" => {
            let advice = format!("systemctl unmask {unit}");
            return Some(Finding::new(name, "its unit is masked", advice));
        }
        word @ ("bad-setting" | "error") => {
            let advice = format!("systemctl status {unit} has the reason");
            return Some(Finding::new(
                name,
                format!("systemd can't load its unit: {word}"),
                advice,
            ));
        }
        _ => {}
    }
    if state.restarts_itself() || state.get("Result") == "start-limit-hit" {
        let problem = format!(
            "its server ends soon after each start, {} times so far: {}",
            state.get("NRestarts"),
            state.failure()
        );
        return Some(Finding::new(name, problem, format!("{logs} has its last words")));
    }
    state.has_failed().then(|| {
        let problem = format!("its unit has failed: {}", state.failure());
        Finding::new(name, problem, format!("{logs} says more"))
    })
}

/// Links to units of instances that lead nowhere: they hide the units that the generator makes.
pub(super) fn links(registry: &Arc<Registry>) -> Look {
    let registry = Arc::clone(registry);
    let directory = registry.unit_link("x");
    let directory = directory.parent().unwrap_or(&directory).to_owned();
    Look::new("systemd", directory.display().to_string(), move || {
        let entries = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten();
        let is_wants = |path: &Path| {
            let extension = path.extension().and_then(|extension| extension.to_str());
            matches!(extension, Some("wants" | "requires"))
        };
        let below = entries(&directory).map(|entry| entry.path()).filter(|path| is_wants(path));
        let reload = match registry.scope {
            Scope::System => "systemctl daemon-reload",
            Scope::User => "systemctl --user daemon-reload",
        };
        let mut found = Vec::new();
        for directory in std::iter::once(directory.clone()).chain(below) {
            for entry in entries(&directory) {
                let file = entry.file_name().to_string_lossy().into_owned();
                let name =
                    file.strip_prefix("procserv-").and_then(|it| it.strip_suffix(".service"));
                let path = entry.path();
                if let Some(name) = name
                    && let Ok(target) = fs::read_link(&path)
                    && !registry.in_root(&registry.in_image(&directory).join(&target)).exists()
                {
                    found.push(Finding::new(
                        name,
                        format!(
                            "{} is a link to {}, which is not there",
                            path.display(),
                            target.display()
                        ),
                        format!("rm {} && {reload}", path.display()),
                    ));
                }
            }
        }
        found
    })
}
