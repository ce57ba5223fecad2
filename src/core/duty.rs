//! What goes wrong beside the console: said to everybody once, until it works again.

use super::clock::Now;
use super::event::Duty;
use super::journal::Entry;
use super::{Console, notice};

impl Console {
    pub(super) fn log_failed(&mut self, reason: &str, now: Now) {
        if self.log_trouble_told {
            return;
        }
        self.log_trouble_told = true;
        self.journal.push_back(Entry::Failed(Duty::Log, reason.to_owned()));
        if let Some((file, _)) = &self.settings.log {
            let text = notice::log_failed(file, reason);
            self.say_line(&text, now);
        }
    }

    /// Told on standard error, and never on the console.
    pub(super) fn log_not_opened(&mut self, reason: &str) {
        let reason = format!("could not be opened: {reason}");
        self.journal.push_back(Entry::Failed(Duty::Log, reason));
    }

    pub(super) fn failed(&mut self, duty: Duty, reason: &str, now: Now) {
        let text = match duty {
            Duty::Log => return self.log_failed(reason, now),
            Duty::Rotation => notice::not_rotated(self.log_name(), reason),
            Duty::Syslog => notice::syslog_failed(reason),
            Duty::Events => notice::events_failed(reason),
            Duty::Status => notice::status_failed(reason),
        };
        if self.troubles & bit(duty) == 0 {
            self.troubles |= bit(duty);
            self.journal.push_back(Entry::Failed(duty, reason.to_owned()));
            self.say_line(&text, now);
        }
    }

    pub(super) fn works(&mut self, duty: Duty) {
        if self.troubles & bit(duty) != 0 {
            self.troubles &= !bit(duty);
            self.journal.push_back(Entry::Works(duty));
        }
    }

    fn log_name(&self) -> &[u8] {
        self.settings.log.as_ref().map_or(b"", |(name, _)| name)
    }
}

/// The numbers are part of the record.
fn bit(duty: Duty) -> u8 {
    match duty {
        Duty::Log => 0,
        Duty::Rotation => 1,
        Duty::Syslog => 2,
        Duty::Events => 4,
        Duty::Status => 8,
    }
}
