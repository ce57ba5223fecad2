//! What the loop does for the records of `--events` and `--status-file`.

use crate::console::audit::AuditEvent;
use crate::console::clock::Timestamps;
use crate::server::Server;
use crate::server::os::System;
use crate::server::records::EventBody;

impl<S: System> Server<S> {
    /// Records what the console did.
    pub(crate) fn record_audit_events(&mut self) {
        while let Some(entry) = self.console.poll_audit_event() {
            self.report_on_stderr(&entry);
            if let Some(records) = &mut self.records {
                records.record_audit_event(entry, self.system.unix_millis());
            }
        }
    }

    /// Says on stderr, which a service manager keeps, that something fails or works again.
    fn report_on_stderr(&mut self, entry: &AuditEvent) {
        let line = match entry {
            AuditEvent::Failed(subsystem, reason) => self.console.failure_text(*subsystem, reason),
            AuditEvent::Recovered(subsystem, lost) => self.console.recovery_text(*subsystem, *lost),
            AuditEvent::SpawnFailed(reason) => {
                format!("child could not be started: {reason}").into_bytes()
            }
            _ => return,
        };
        self.system.log_stderr(&line);
    }

    /// Records what the server did, or what was done to it.
    pub(crate) fn record(&mut self, what: &EventBody) {
        self.record_audit_events();
        if let Some(records) = &mut self.records {
            records.record(what, self.system.unix_millis());
        }
    }

    /// The records' part of a turn.
    pub(crate) fn write_records(&mut self, now: Timestamps) {
        self.record_audit_events();
        if self.exit.is_some() {
            // The rest goes with the last job, which removes the status file.
            return;
        }
        loop {
            let Server { records: Some(records), console, system, .. } = self else {
                return;
            };
            let changes = records.turn(console, now.mono, system.unix_millis());
            if changes.is_empty() {
                return;
            }
            for (duty, result) in changes {
                self.report(duty, &result, now);
            }
            // The changes are part of the records, too.
            self.record_audit_events();
        }
    }
}
