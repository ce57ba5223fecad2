//! Two children beside each other (`--overlap`): what the server does about the old one.

use crate::console::clock::Timestamps;
use crate::console::event::Event;
use crate::server::Server;
use crate::server::os::System;

impl<S: System> Server<S> {
    /// SIGUSR2.
    pub(crate) fn restart(&mut self, now: Timestamps) {
        if !self.console.has_overlap() {
            self.diagnose("SIGUSR2: ignored without --overlap");
            return;
        }
        self.diagnose("SIGUSR2: another child beside the one there is");
        self.say_reloading();
        self.console.handle(Event::Reload, now);
    }

    /// The service manager is told, unless it waits for a text of the child's.
    fn say_reloading(&mut self) {
        if let Some(manager) = &mut self.manager
            && self.console.reports_reload()
            && !manager.is_reloading()
        {
            manager.reload(self.system.now().mono);
        }
    }

    pub(crate) fn spawn_beside(&mut self, now: Timestamps) {
        // It may have been asked for on the console.
        self.say_reloading();
        self.spawn(true, now);
    }
}
