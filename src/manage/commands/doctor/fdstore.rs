//! Units of servers that are to be outlived by what they have (`--fdstore`, `fdstore = yes`), and that
//! do not let it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::finding::Finding;
use crate::manage::inspect::units::{self, UnitStatus};
use crate::manage::registry::{Instance, Registry, Scope, unit_name};
use crate::manage::systemd::unit::STORE_SIZE;

/// The least that a store has room for: a server's memory, its child and the terminal of the child, an
/// endpoint and a client.
const STORE_LEAST: u64 = 5;

/// The findings about the units of instances, and about all others that execute a server with the
/// option.
pub(super) fn units(
    registry: &Registry,
    instances: &BTreeMap<String, Arc<Instance>>,
) -> Vec<Finding> {
    if registry.root.is_some() {
        return Vec::new();
    }
    let names = instances.values().filter(|instance| instance.fdstore).map(|it| &it.name);
    let ours: BTreeMap<String, &String> = names.map(|name| (unit_name(name), name)).collect();
    // That systemd does not answer is a finding of its own.
    let units = units::show_services(registry, ours.keys()).unwrap_or_default();
    let mut found = Vec::new();
    for (unit, status) in &units {
        let name = ours.get(unit);
        let has_option = status.get("ExecStart").split_whitespace().any(|it| it == "--fdstore");
        if name.is_some() || has_option {
            found.extend(unmet(registry, name.map_or(unit, |name| name), unit, status));
        }
    }
    found
}

/// What a server with the option needs of its unit, and does not have.
fn unmet(registry: &Registry, subject: &str, unit: &str, status: &UnitStatus) -> Vec<Finding> {
    let mut found = Vec::new();
    let systemctl = match registry.scope {
        Scope::System => "systemctl",
        Scope::User => "systemctl --user",
    };
    let mut find = |setting: &str, wanted: &str, why: &str| {
        let value = status.get(setting);
        found.push(Finding::new(
            subject,
            format!("{unit} has {setting}={value}: {why}"),
            format!(
                "{setting}={wanted} ({systemctl} edit {unit}), then {systemctl} restart {unit}"
            ),
        ));
    };
    // An older systemd does not tell some of these.
    let number = |setting| status.get(setting).parse::<u64>().ok();
    if let Some(most) = number("FileDescriptorStoreMax") {
        let wanted = STORE_SIZE.to_string();
        if most < STORE_LEAST {
            let why = "child and connections do not outlive a server that is killed";
            find("FileDescriptorStoreMax", &wanted, why);
        } else if number("NFileDescriptorStore").is_some_and(|count| count >= most) {
            let why =
                "it is full, and clients that come now do not outlive a server that is killed";
            find("FileDescriptorStoreMax", &(most.saturating_mul(2)).to_string(), why);
        }
    }
    if !matches!(status.get("KillMode"), "" | "process" | "none") {
        find("KillMode", "process", "systemd kills the child of a server that was killed");
    }
    if !status.get("RuntimeDirectory").is_empty() && status.get("RuntimeDirectoryPreserve") == "no"
    {
        let why = "the sockets and files of a server that was killed are removed";
        find("RuntimeDirectoryPreserve", "restart", why);
    }
    found
}
