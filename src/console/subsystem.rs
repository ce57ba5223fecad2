//! The subsystems that may fail while the console goes on. A failure is said once on the console,
//! and not again before the subsystem has recovered. As long as it lasts, it is kept for those who
//! connect and for the status file.

use std::collections::BTreeMap;

use minicbor::{Decode, Encode};

use super::audit::AuditEvent;
use super::clock::{Timestamps, UnixTime};
use super::event::{Sink, Subsystem};
use super::{Console, messages};

/// A failure that lasts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// When it began.
    pub since: UnixTime,
    /// The reason in strerror(3)'s words.
    pub reason: String,
}

/// The subsystems that fail.
pub(crate) type Troubles = BTreeMap<Subsystem, Trouble>;

/// A set of subsystems as bits. Programs that know no [`TroubleSnapshot`] read it.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct SubsystemSet(#[n(0)] u8);

/// A failure as plain data.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct TroubleSnapshot {
    /// The subsystem's number. A program passes over a number that it does not know.
    #[n(0)]
    number: u8,
    #[n(1)]
    since: UnixTime,
    #[cbor(n(2), default)]
    reason: String,
}

/// Every subsystem with its number in snapshots. The numbers up to 7 are bits of a
/// [`SubsystemSet`].
const NUMBERS: [(u8, Subsystem); 10] = [
    (0, Subsystem::Rotation),
    (1, Subsystem::Syslog),
    (2, Subsystem::Events),
    (3, Subsystem::Status),
    (4, Subsystem::Log),
    (5, Subsystem::History),
    (6, Subsystem::Sync),
    (7, Subsystem::EventsRotation),
    (8, Subsystem::Start),
    (9, Subsystem::Journal),
];

/// Returns the failures as plain data.
pub(super) fn snapshot(troubles: &Troubles) -> (SubsystemSet, Vec<TroubleSnapshot>) {
    let all = NUMBERS.iter().filter_map(|(number, subsystem)| {
        let Trouble { since, reason } = troubles.get(subsystem)?.clone();
        Some(TroubleSnapshot { number: *number, since, reason })
    });
    let all: Vec<TroubleSnapshot> = all.collect();
    let bit = |trouble: &TroubleSnapshot| 1_u8.checked_shl(trouble.number.into());
    (SubsystemSet(all.iter().filter_map(bit).fold(0, |set, bit| set | bit)), all)
}

/// Returns the failures of a snapshot. Of one that an older program has handed over, only the
/// subsystem is known.
pub(super) fn restore(set: SubsystemSet, all: Vec<TroubleSnapshot>) -> Troubles {
    let known = |number| NUMBERS.iter().find(|(its, _)| *its == number).map(|(_, known)| *known);
    let in_set =
        |number: &u8| 1_u8.checked_shl((*number).into()).is_some_and(|bit| set.0 & bit > 0);
    let bare = (0..8).filter(in_set).map(|number| TroubleSnapshot {
        number,
        since: UnixTime::from_secs(0),
        reason: String::new(),
    });
    let entry = |TroubleSnapshot { number, since, reason }| {
        Some((known(number)?, Trouble { since, reason }))
    };
    bare.chain(all).filter_map(entry).collect()
}

impl Console {
    /// The server has already written this failure to standard error. It is a trouble only if no
    /// older log stays in use.
    pub(super) fn log_open_failed(&mut self, reason: &str, now: Timestamps) {
        self.log_begin = None;
        let reason = format!("could not be opened: {reason}");
        self.audit_events.push_back(AuditEvent::LogOpenFailed(reason.clone()));
        if self.has_log() && !self.sinks.contains_key(&Sink::Log) {
            self.add_trouble(Subsystem::Log, &reason, now);
        }
    }

    pub(super) fn subsystem_failed(&mut self, subsystem: Subsystem, reason: &str, now: Timestamps) {
        if self.add_trouble(subsystem, reason, now) {
            self.audit_events.push_back(AuditEvent::Failed(subsystem, reason.to_owned()));
            self.say_line(&messages::subsystem_failed(&self.settings, subsystem, reason), now);
        }
    }

    pub(super) fn subsystem_recovered(&mut self, subsystem: Subsystem) {
        if self.troubles.remove(&subsystem).is_some() {
            let lost = self.lost_since_trouble(subsystem).unwrap_or_default();
            self.audit_events.push_back(AuditEvent::Recovered(subsystem, lost));
        }
        if let Some(reader) = sink_of(subsystem).and_then(|sink| self.sinks.get_mut(&sink)) {
            reader.settle();
        }
    }

    /// Adds a failure. Returns true if the subsystem worked before.
    pub(super) fn add_trouble(
        &mut self,
        subsystem: Subsystem,
        reason: &str,
        now: Timestamps,
    ) -> bool {
        let is_new = !self.troubles.contains_key(&subsystem);
        let fresh = || Trouble { since: now.wall, reason: String::new() };
        reason.clone_into(&mut self.troubles.entry(subsystem).or_insert_with(fresh).reason);
        is_new
    }

    /// The failures that last, each with the number of bytes that its log or syslog lacks because
    /// of it.
    pub fn troubles(&self) -> impl Iterator<Item = (Subsystem, &Trouble, Option<u64>)> {
        self.troubles
            .iter()
            .map(|(&subsystem, trouble)| (subsystem, trouble, self.lost_since_trouble(subsystem)))
    }

    /// Returns how many bytes the log or syslog lacks since it worked last.
    fn lost_since_trouble(&self, subsystem: Subsystem) -> Option<u64> {
        Some(self.sinks.get(&sink_of(subsystem)?)?.lost_since_settled())
    }

    /// The line of the console about a failure, as stderr has it: without `@@@` and line end.
    pub(crate) fn failure_text(&self, subsystem: Subsystem, reason: &str) -> Vec<u8> {
        let line = messages::subsystem_failed(&self.settings, subsystem, reason);
        line.strip_prefix(b"@@@ ").unwrap_or(&line).trim_ascii_end().to_vec()
    }

    /// What stderr has about the end of a failure.
    pub(crate) fn recovery_text(&self, subsystem: Subsystem, lost: u64) -> Vec<u8> {
        messages::subsystem_recovered(&self.settings, subsystem, lost)
    }

    /// Reports whether there is memory for the last bytes of the stream.
    pub(super) fn report_memory(&mut self, now: Timestamps) {
        if self.stream.is_short_of_memory() {
            // The text of ENOMEM.
            self.subsystem_failed(Subsystem::History, "Cannot allocate memory", now);
        } else {
            self.subsystem_recovered(Subsystem::History);
        }
    }

    /// The log was opened, or can be written again.
    pub(super) fn log_opened(&mut self, now: Timestamps) {
        if !self.sinks.contains_key(&Sink::Log) && !self.settings.log_opened && self.has_log() {
            // The server has reported this failure at its start.
            self.add_trouble(Subsystem::Log, "", now);
        }
        self.subsystem_recovered(Subsystem::Log);
        self.open_log();
    }

    pub(super) fn accept_failed(&mut self, endpoint: &str, reason: &str, now: Timestamps) {
        let event = AuditEvent::AcceptFailed(endpoint.to_owned(), reason.to_owned());
        self.audit_events.push_back(event);
        self.say_line(&messages::accept_failed(endpoint, reason), now);
    }
}

/// The sink that loses bytes while a subsystem fails.
fn sink_of(subsystem: Subsystem) -> Option<Sink> {
    match subsystem {
        Subsystem::Log => Some(Sink::Log),
        Subsystem::Syslog => Some(Sink::Syslog),
        _ => None,
    }
}
