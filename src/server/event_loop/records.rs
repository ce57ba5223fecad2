//! What the loop does for the records of `--events` and `--status-file`.

use crate::console::clock::Timestamps;
use crate::server::Server;
use crate::server::os::System;
use crate::server::records::EventBody;

impl<S: System> Server<S> {
    /// Records what the console did.
    pub(crate) fn record_audit_events(&mut self) {
        while let Some(entry) = self.console.poll_audit_event() {
            if let Some(records) = &mut self.records {
                records.record_audit_event(entry, self.system.unix_millis());
            }
        }
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
        let Server { records: Some(records), console, system, .. } = self else {
            return;
        };
        for (duty, result) in records.turn(console, now.mono, system.unix_millis()) {
            self.report(duty, &result, now);
        }
        self.record_audit_events();
    }
}
