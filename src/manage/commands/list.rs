//! `list` shows the configuration of instances, `status` their servers and children.

use std::sync::Arc;
use std::time::SystemTime;

use clap::ArgMatches;
use serde_json::{Value, json};

use super::fallback;
use crate::manage::error::CommandResult;
use crate::manage::inspect::bounded;
use crate::manage::inspect::probe::{self, ServerStatus};
use crate::manage::inspect::proc::{self, Clock};
use crate::manage::output;
use crate::manage::registry::shlex;
use crate::manage::registry::{Instance, Registry, unit_name};

/// `list`.
///
/// # Errors
/// A pattern that matches no instance; files that can't be read.
pub(crate) fn list(
    registry: &Registry,
    matches: &ArgMatches,
    is_default: bool,
    json: bool,
) -> CommandResult {
    let (_, instances) = fallback::matching(registry, matches, is_default)?;
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
        "events": instance.events,
        "fdstore": instance.fdstore,
    })
}

/// `status`. The exit status is 0 whatever the state of the instances.
///
/// # Errors
/// A pattern that matches no instance; files that can't be read.
pub(crate) fn status(
    registry: &Registry,
    matches: &ArgMatches,
    is_default: bool,
    json: bool,
) -> CommandResult {
    let (registry, mut instances) = fallback::matching(registry, matches, is_default)?;
    if matches.get_flag("plain") && !json {
        instances.sort_by_key(|instance| instance.place);
    }
    let clock = Clock::read();
    let now = SystemTime::now();
    let instances: Vec<Arc<Instance>> = instances.into_iter().map(Arc::new).collect();
    let looks = bounded::each(instances.clone(), move |instance| {
        match probe::probe(&registry, &instance, clock) {
            Some(live) => State::Known(Box::new(live)),
            None if probe::is_hidden(&registry, &instance) => State::Absent("hidden"),
            None => State::Absent("stopped"),
        }
    });
    let found = instances.iter().zip(looks);
    let found = found.map(|(instance, look)| (&instance.name, look.unwrap_or(NO_ANSWER)));
    if json {
        output::print_json(&found.map(|(name, state)| state.json(name)).collect())?;
    } else if matches.get_flag("plain") {
        let lines: Vec<String> = found.map(|(name, state)| state.plain(name)).collect();
        output::print(&lines.concat())?;
    } else {
        let mut rows = vec![STATUS.map(str::to_owned).to_vec()];
        rows.extend(found.map(|(name, state)| state.row(name, now)));
        output::print(&output::table(&rows))?;
    }
    Ok(0)
}

const STATUS: [&str; 7] = ["NAME", "STATE", "SERVER", "CHILD", "UP", "RESTARTS", "CONSOLE"];

/// What can be told of an instance.
enum State {
    /// There is an info file.
    Known(Box<ServerStatus>),
    /// There is none; the state in one word.
    Absent(&'static str),
}

/// The files of an instance, or its processes, are not to be read in time.
const NO_ANSWER: State = State::Absent("no_answer");

impl State {
    fn word(&self) -> &str {
        match self {
            State::Known(live) => live.state(),
            State::Absent(word) => word,
        }
    }

    fn live(&self) -> Option<&ServerStatus> {
        match self {
            State::Known(live) => Some(live),
            State::Absent(_) => None,
        }
    }

    fn row(&self, name: &str, now: SystemTime) -> Vec<String> {
        let dash = || "-".to_owned();
        let live = self.live();
        let pid = |process: Option<&proc::Process>| {
            process.map_or_else(dash, |process| process.pid.to_string())
        };
        let since = live.and_then(|live| live.child_since);
        let up = since.and_then(|since| now.duration_since(since).ok());
        let restarts = live.and_then(|live| live.status.as_ref()?.get("restarts"));
        let endpoints = live.map(|live| live.endpoints.join(" "));
        vec![
            name.to_owned(),
            self.word().to_owned(),
            pid(live.and_then(|live| live.server.as_ref())),
            pid(live.and_then(|live| live.child.as_ref())),
            up.map_or_else(dash, |up| span(up.as_secs())),
            restarts.map_or_else(dash, Value::to_string),
            endpoints.filter(|endpoints| !endpoints.is_empty()).unwrap_or_else(dash),
        ]
    }

    /// The line of procServ's helper, for scripts that read it (its contract, chapter 5).
    fn plain(&self, name: &str) -> String {
        let live = match self {
            State::Known(live) if live.server.is_some() || live.state() == "hidden" => live,
            State::Known(_) => return format!("{name} Dead\n"),
            State::Absent(_) => return format!("{name} Stopped\n"),
        };
        let endpoint = |text: &String| {
            let bare = text.strip_prefix("tcp:").or_else(|| text.strip_prefix("unix:"));
            output::escape_control(bare.unwrap_or(text))
        };
        // The info file has the other order.
        let endpoints: Vec<String> = live.endpoints.iter().rev().map(endpoint).collect();
        format!("{name} Running\t{}\n", endpoints.join(" "))
    }

    fn json(&self, name: &str) -> Value {
        let live = self.live();
        let pid = |process: Option<&proc::Process>| process.map(|process| process.pid);
        json!({
            "name": name,
            "state": self.word(),
            "server_pid": live.and_then(|live| pid(live.server.as_ref())),
            "server_since": live.and_then(|live| live.since).map(proc::seconds),
            "child_pid": live.and_then(|live| pid(live.child.as_ref())),
            "child_since": live.and_then(|live| live.child_since).map(proc::seconds),
            "endpoints": live.map(|live| live.endpoints.clone()).unwrap_or_default(),
            "status": live.and_then(|live| live.status.clone()),
        })
    }
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
