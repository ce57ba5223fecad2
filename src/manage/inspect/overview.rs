//! What is known of an instance at this moment: from its configuration, its server's files, `/proc` and
//! systemd. Commands that show instances share it.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::{Value, json};

use super::ends::{self, End};
use super::journal::{self, Notes};
use super::past::{self, ModeChange, Past};
use super::probe::{self, ServerStatus};
use super::proc::Clock;
pub(crate) use super::state::State;
use super::units::{self, UnitStatus};
use super::{bounded, state, trouble};
use crate::event_text::signal_name;
use crate::manage::error::CommandError;
use crate::manage::limits::TAIL_CHUNK;
use crate::manage::output::{self, grouped};
use crate::manage::registry::pattern::Patterns;
use crate::manage::registry::{Instance, Registry, unit_name};

/// What is known of an instance.
#[derive(Debug)]
pub(crate) struct Overview {
    pub(crate) name: String,
    pub(crate) state: State,
    /// The configuration. None for an orphan and for a section that can't be used.
    pub(crate) instance: Option<Arc<Instance>>,
    /// The server, if there is an info file.
    pub(crate) server: Option<ServerStatus>,
    /// What systemd says of the unit.
    pub(crate) unit: Option<UnitStatus>,
    /// How children and servers ended, newest first.
    pub(crate) ends: Vec<End>,
    /// Who set the restart mode, if that is not `ON`.
    pub(crate) mode_change: Option<ModeChange>,
    /// What fails at the moment, each in a few words.
    pub(crate) trouble: Vec<String>,
    /// What the journal tells.
    pub(crate) notes: Notes,
}

impl Overview {
    /// Returns true if somebody should look at the instance.
    pub(crate) fn is_wrong(&self) -> bool {
        self.state.is_wrong() || !self.trouble.is_empty()
    }

    /// A field of the status file.
    pub(crate) fn field(&self, pointer: &str) -> Option<&Value> {
        self.server.as_ref()?.status.as_ref()?.pointer(pointer)
    }

    /// The mode of automatic restart: `ON`, `OFF` or `ONESHOT`.
    pub(crate) fn mode(&self) -> Option<&str> {
        self.field("/mode")?.as_str()
    }

    /// How many users are attached.
    pub(crate) fn users(&self) -> Option<usize> {
        let clients = self.field("/clients")?.as_array()?;
        let is_user = |client: &&Value| client.get("role").and_then(Value::as_str) == Some("user");
        Some(clients.iter().filter(is_user).count())
    }

    fn subject(&self) -> Subject {
        match &self.instance {
            Some(instance) => Subject::Configured(Arc::clone(instance)),
            None if self.state == State::Broken => Subject::Broken,
            None => Subject::Orphan,
        }
    }

    /// How long the child has been running, in seconds.
    pub(crate) fn up(&self, now: SystemTime) -> Option<u64> {
        let since = self.server.as_ref()?.child_since?;
        now.duration_since(since).ok().map(|up| up.as_secs())
    }
}

/// Why there is an instance to show.
#[derive(Debug, Clone)]
enum Subject {
    Configured(Arc<Instance>),
    /// Its section can't be used.
    Broken,
    /// A server runs, and no section is there.
    Orphan,
}

/// Everything that is known of the instances that the patterns select, by name. Problems of
/// configuration files are printed to standard error.
///
/// # Errors
/// Those of [`Registry::files`]; a pattern that matches nothing.
pub(crate) fn look(
    registry: &Registry,
    patterns: &Patterns,
) -> Result<Vec<Overview>, CommandError> {
    look_with(registry, patterns, None)
}

/// The same without asking the journal, if what that tells of the instances is known.
///
/// # Errors
/// Those of [`look`].
pub(crate) fn look_with(
    registry: &Registry,
    patterns: &Patterns,
    known: Option<BTreeMap<String, Notes>>,
) -> Result<Vec<Overview>, CommandError> {
    let subjects = subjects(registry, patterns)?;
    let names: Vec<String> = subjects.keys().cloned().collect();
    let units = {
        let (registry, names) = (registry.clone(), names.clone());
        std::thread::spawn(move || states(&registry, &names))
    };
    let notes = {
        let registry = registry.clone();
        std::thread::spawn(move || known.unwrap_or_else(|| journal::notes(&registry)))
    };
    let observed = observe(registry, subjects.clone());
    let mut units = units.join().unwrap_or_default();
    let mut notes = notes.join().unwrap_or_default();
    let found = subjects.into_iter().zip(observed).map(|((name, subject), observed)| {
        let unit = units.remove(&unit_name(&name));
        let notes = notes.remove(&name).unwrap_or_default();
        overview(registry, name, subject, observed, unit, notes)
    });
    Ok(found.collect())
}

/// Looks again at the servers of instances. What systemd has said of them before stays.
pub(crate) fn look_again(registry: &Registry, known: Vec<Overview>) -> Vec<Overview> {
    let subjects = known.iter().map(|one| (one.name.clone(), one.subject()));
    let observed = observe(registry, subjects.collect::<Vec<_>>());
    let all = known.into_iter().zip(observed);
    all.map(|(one, observed)| {
        let subject = one.subject();
        overview(registry, one.name, subject, observed, one.unit, one.notes)
    })
    .collect()
}

/// What the files of a server and `/proc` say.
#[derive(Debug, Default)]
struct Observed {
    server: Option<ServerStatus>,
    /// True if the caller may not read the run directory.
    is_hidden: bool,
    ends: Vec<End>,
    mode_change: Option<ModeChange>,
    trouble: Vec<String>,
}

/// Looks at the files of servers. `None` if a disk does not answer.
fn observe(
    registry: &Registry,
    subjects: impl IntoIterator<Item = (String, Subject)>,
) -> Vec<Option<Observed>> {
    let (registry, clock) = (registry.clone(), Clock::read());
    let at_run = |(name, subject): (String, _)| (registry.run_directory(&name), (name, subject));
    let subjects: Vec<_> = subjects.into_iter().map(at_run).collect();
    bounded::each_at(subjects, move |(name, subject)| {
        let server = match &subject {
            Subject::Configured(instance) => probe::probe(&registry, instance, clock),
            _ => probe::probe_by_name(&registry, &name, clock),
        };
        let is_hidden = server.is_none() && probe::is_hidden(&registry, &name);
        let status = server.as_ref().and_then(|server| server.status.as_ref());
        let is_on = status.is_some_and(|status| status.get("mode") == Some(&json!("ON")));
        let past = match &subject {
            // Without a status file the events tell of the past, and always who set the mode.
            Subject::Configured(instance) if !is_on => past::read(&registry, instance, TAIL_CHUNK),
            _ => Past::default(),
        };
        // Names of users are looked up here, as a directory of users may not answer.
        let ends = status.map_or(past.ends, ends::of);
        let trouble = status.map(trouble::of).unwrap_or_default();
        let mut trouble: Vec<String> = trouble.iter().map(ToString::to_string).collect();
        if let Subject::Configured(instance) = &subject
            && server.is_none()
            // Of another machine.
            && instance.host.is_none()
        {
            trouble.extend(missing_directory(&registry, instance));
        }
        Observed { server, is_hidden, ends, mode_change: past.mode_change, trouble }
    })
}

/// What follows from all that is known.
fn overview(
    registry: &Registry,
    name: String,
    subject: Subject,
    observed: Option<Observed>,
    unit: Option<UnitStatus>,
    notes: Notes,
) -> Overview {
    let is_answered = observed.is_some();
    let Observed { server, is_hidden, mut ends, mode_change, mut trouble } =
        observed.unwrap_or_default();
    if let Some(status) = server.as_ref().and_then(|server| server.status.as_ref()) {
        ends::explain_server(&mut ends, status, &notes.exits);
    }
    if notes.dropped > 0 {
        trouble.push(format!("journal dropped {} lines", grouped(notes.dropped)));
    }
    let of_unit = unit.as_ref().and_then(server_end);
    let ends = ends::joined(of_unit.into_iter().collect(), ends);
    let state = match &subject {
        Subject::Broken => State::Broken,
        Subject::Orphan => State::Orphan,
        Subject::Configured(_) if !is_answered => State::NoAnswer,
        Subject::Configured(instance) => {
            let known = state::Known { server: server.as_ref(), unit: unit.as_ref(), ends: &ends };
            known.state(registry, instance, is_hidden)
        }
    };
    let instance = match subject {
        Subject::Configured(instance) => Some(instance),
        Subject::Broken | Subject::Orphan => None,
    };
    let mode_change = mode_change.filter(|_| server.is_some());
    Overview { name, state, instance, server, unit, ends, mode_change, trouble, notes }
}

fn subjects(
    registry: &Registry,
    patterns: &Patterns,
) -> Result<BTreeMap<String, Subject>, CommandError> {
    let configured = registry.configured()?;
    configured.problems.iter().for_each(|problem| output::print_error(&problem.text));
    let mut subjects: BTreeMap<String, Subject> =
        configured.broken.into_iter().map(|name| (name, Subject::Broken)).collect();
    for (name, instance) in configured.instances {
        subjects.insert(name, Subject::Configured(Arc::new(instance)));
    }
    // A server that runs holds its run directory.
    let strangers = registry.run_names().into_iter().filter(|name| !subjects.contains_key(name));
    let strangers: Vec<String> = strangers.collect();
    let lives = {
        let registry = registry.clone();
        let at_run = |name: &String| (registry.run_directory(name), name.clone());
        let strangers: Vec<_> = strangers.iter().map(at_run).collect();
        bounded::each_at(strangers, move |name| {
            probe::probe_by_name(&registry, &name, None).is_some_and(|live| live.server.is_some())
        })
    };
    for (name, lives) in strangers.into_iter().zip(lives) {
        if lives == Some(true) {
            subjects.insert(name, Subject::Orphan);
        }
    }
    let names: Vec<&str> = subjects.keys().map(String::as_str).collect();
    if let Some(unused) = patterns.unused(&names) {
        return Err(registry.no_instance(unused));
    }
    subjects.retain(|name, _| patterns.selects(name));
    Ok(subjects)
}

/// What systemd says of the units, by their names. Nothing where there is no systemd.
fn states(registry: &Registry, names: &[String]) -> BTreeMap<String, UnitStatus> {
    if registry.root.is_some() || names.is_empty() {
        return BTreeMap::new();
    }
    let units: Vec<String> = names.iter().map(|name| unit_name(name)).collect();
    units::show_together(registry, &units).unwrap_or_else(|problem| {
        if Path::new("/run/systemd/system").exists() {
            output::print_error(&problem);
        }
        BTreeMap::new()
    })
}

/// How a server has ended that systemd calls failed.
fn server_end(unit: &UnitStatus) -> Option<End> {
    if !unit.has_failed() {
        return None;
    }
    let number = unit.get("ExecMainStatus").parse().ok();
    let what = match unit.get("Result") {
        "signal" | "core-dump" => signal_name(number.unwrap_or(0)),
        "exit-code" => format!("exit {}", number.unwrap_or(0)),
        _ => unit.failure(),
    };
    let is_signal = matches!(unit.get("Result"), "signal" | "core-dump");
    Some(End {
        what: format!("{what} (server)"),
        code: number.filter(|_| unit.get("Result") == "exit-code"),
        signal: number.filter(|_| is_signal),
        time: unit.time("ExecMainExitTimestamp"),
        ..End::of_server()
    })
}

/// What keeps systemd from starting a unit, which does not fail then: a condition does not hold.
fn missing_directory(registry: &Registry, instance: &Instance) -> Option<String> {
    let path = registry.in_root(&instance.chdir);
    let error = path.metadata().err()?;
    let is_missing = matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory);
    is_missing.then(|| CommandError::file(&path, &error).text)
}
