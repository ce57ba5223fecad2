//! Two children beside each other (`--overlap`): what the server does about the old one.

use crate::console::clock::Now;
use crate::console::event::Event;
use crate::server::Server;
use crate::server::os::System;

impl<S: System> Server<S> {
    /// SIGUSR2.
    pub(crate) fn restart(&mut self, now: Now) {
        if !self.console.overlaps() {
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
            && self.console.tells_of_reload()
            && !manager.is_reloading()
        {
            manager.reload(self.system.now().mono);
        }
    }

    pub(crate) fn spawn_beside(&mut self, now: Now) {
        // It may have been asked for on the console.
        self.say_reloading();
        self.spawn(true, now);
    }
}
