//! What the server does for its records.

use crate::console::clock::Timestamps;
use crate::server::Server;
use crate::server::os::System;
use crate::server::records::What;

impl<S: System> Server<S> {
    /// Notes what the console did.
    pub(crate) fn note_entries(&mut self) {
        while let Some(entry) = self.console.poll_audit_event() {
            if let Some(records) = &mut self.records {
                records.note(entry, self.system.millis());
            }
        }
    }

    /// Notes what the server did, or what was done to it.
    pub(crate) fn record(&mut self, what: &What) {
        self.note_entries();
        if let Some(records) = &mut self.records {
            records.write(what, self.system.millis());
        }
    }

    /// The part of a turn that the records have.
    pub(crate) fn keep_records(&mut self, now: Timestamps) {
        self.note_entries();
        if self.exit.is_some() {
            // What is left goes with the last job, which removes the status file.
            return;
        }
        let Server { records: Some(records), console, system, .. } = self else {
            return;
        };
        for (duty, result) in records.turn(console, now.mono, system.millis()) {
            self.report(duty, &result, now);
        }
        self.note_entries();
    }
}
