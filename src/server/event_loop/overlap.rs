//! Two children beside each other (`--overlap`): what the server does about the old one.

use crate::console::clock::Timestamps;
use crate::console::event::Event;
use crate::server::Server;
use crate::server::os::System;

impl<S: System> Server<S> {
    /// SIGUSR2.
    pub(crate) fn restart(&mut self, now: Timestamps) {
        if !self.console.has_overlap() {
            self.debug_line("SIGUSR2: ignored without --overlap");
            return;
        }
        self.debug_line("SIGUSR2: another child beside the one there is");
        self.report_reloading();
        self.console.handle(Event::Reload, now);
    }

    /// The service manager is told, unless it waits for a text of the child's.
    fn report_reloading(&mut self) {
        if let Some(manager) = &mut self.service
            && self.console.reports_reload()
            && !manager.is_reloading()
        {
            manager.reload(self.system.now().mono);
        }
    }

    pub(crate) fn spawn_replacement(&mut self, now: Timestamps) {
        // It may have been asked for on the console.
        self.report_reloading();
        self.spawn(true, now);
    }
}
