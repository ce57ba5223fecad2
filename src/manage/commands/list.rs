//! `list` shows the configuration of instances, `status` their servers and children.

use std::time::SystemTime;

use clap::ArgMatches;
use serde_json::{Value, json};

use crate::manage::error::CommandResult;
use crate::manage::inspect::probe::{self, ServerStatus};
use crate::manage::inspect::proc::{self, Clock};
use crate::manage::output;
use crate::manage::registry::pattern::Patterns;
use crate::manage::registry::shlex;
use crate::manage::registry::{Instance, Registry, unit_name};

/// `list`.
///
/// # Errors
/// A pattern that matches no instance; files that can't be read.
pub(crate) fn list(registry: &Registry, matches: &ArgMatches, json: bool) -> CommandResult {
    let instances = registry.matching(&Patterns::from_matches(matches)?)?;
    if json {
        output::print_json(&instances.iter().map(configured).collect())?;
        return Ok(0);
    }
    let mut rows =
        vec![["NAME", "USER", "PORT", "DIRECTORY", "COMMAND"].map(str::to_owned).to_vec()];
    for instance in &instances {
        let or_dash = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
        rows.push(vec![
            instance.name.clone(),
            or_dash(&instance.user),
            or_dash(&instance.port),
            instance.chdir.display().to_string(),
            shlex::join(&instance.command),
        ]);
    }
    output::print(&output::table(&rows))?;
    Ok(0)
}

fn configured(instance: &Instance) -> Value {
    json!({
        "name": instance.name,
        "unit": unit_name(&instance.name),
        "file": instance.file,
        "command": instance.command,
        "chdir": instance.chdir,
        "user": instance.user,
        "group": instance.group,
        "port": instance.port,
        "host": instance.host,
        "environment": instance.environment,
        "env_file": instance.env_file,
        "options": instance.options,
    })
}

/// `status`. The exit status is 0 whatever the state of the instances.
///
/// # Errors
/// A pattern that matches no instance; files that can't be read.
pub(crate) fn status(registry: &Registry, matches: &ArgMatches, json: bool) -> CommandResult {
    let instances = registry.matching(&Patterns::from_matches(matches)?)?;
    let clock = Clock::read();
    let now = SystemTime::now();
    let found =
        instances.iter().map(|instance| (instance, probe::probe(registry, instance, clock)));
    if json {
        let all = found.map(|(instance, live)| state(registry, instance, live.as_ref()));
        output::print_json(&all.collect())?;
        return Ok(0);
    }
    let mut rows = vec![STATUS.map(str::to_owned).to_vec()];
    for (instance, live) in found {
        rows.push(row(registry, instance, live.as_ref(), now));
    }
    output::print(&output::table(&rows))?;
    Ok(0)
}

const STATUS: [&str; 7] = ["NAME", "STATE", "SERVER", "CHILD", "UP", "RESTARTS", "CONSOLE"];

fn row(
    registry: &Registry,
    instance: &Instance,
    live: Option<&ServerStatus>,
    now: SystemTime,
) -> Vec<String> {
    let dash = || "-".to_owned();
    let Some(live) = live else {
        let state = absent(registry, instance).to_owned();
        return vec![instance.name.clone(), state, dash(), dash(), dash(), dash(), dash()];
    };
    let pid = |process: &Option<proc::Process>| {
        process.as_ref().map_or_else(dash, |process| process.pid.to_string())
    };
    let up = live.child_since.and_then(|since| now.duration_since(since).ok());
    vec![
        instance.name.clone(),
        live.state().to_owned(),
        pid(&live.server),
        pid(&live.child),
        up.map_or_else(dash, |up| span(up.as_secs())),
        live.status
            .as_ref()
            .and_then(|status| status.get("restarts"))
            .map_or_else(dash, Value::to_string),
        if live.endpoints.is_empty() { dash() } else { live.endpoints.join(" ") },
    ]
}

fn state(registry: &Registry, instance: &Instance, live: Option<&ServerStatus>) -> Value {
    let pid = |process: Option<&proc::Process>| process.map(|process| process.pid);
    json!({
        "name": instance.name,
        "state": live.map_or_else(|| absent(registry, instance), ServerStatus::state),
        "server_pid": live.and_then(|live| pid(live.server.as_ref())),
        "server_since": live.and_then(|live| live.since).map(proc::seconds),
        "child_pid": live.and_then(|live| pid(live.child.as_ref())),
        "child_since": live.and_then(|live| live.child_since).map(proc::seconds),
        "endpoints": live.map(|live| live.endpoints.clone()).unwrap_or_default(),
        "status": live.and_then(|live| live.status.clone()),
    })
}

/// The state of an instance without an info file.
fn absent(registry: &Registry, instance: &Instance) -> &'static str {
    if probe::is_hidden(registry, instance) { "hidden" } else { "stopped" }
}

/// Formats a length of time by its two largest units.
fn span(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m{:02}s", seconds % 60),
        (0, ..) => format!("{hours}h{:02}m", minutes % 60),
        _ => format!("{days}d{:02}h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans() {
        let cases = [(0, "0s"), (61, "1m01s"), (3600, "1h00m"), (90_061, "1d01h")];
        for (seconds, text) in cases {
            assert_eq!(span(seconds), text);
        }
    }
}
