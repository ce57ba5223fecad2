//! A console that is restored from its snapshot, which must not change anything.

use super::reached;
use super::settings::SecondsFormatter;
use super::simulation::Simulation;
use super::stream::sink::SinkFile;
use crate::config::RestartMode;
use crate::console::Console;
use crate::console::audit::AuditEvent;
use crate::console::clock::TimeFormatter;
use crate::console::event::Event;
use crate::console::snapshot::Snapshot;
use crate::limits::STAGE_MAX;
use crate::sim_support::Random;

/// When a simulation's console is replaced.
#[derive(Debug, Clone)]
pub enum Upgrades {
    Never,
    /// In some steps. These random numbers are separate, so that the rest of the simulation stays the
    /// same.
    Sometimes(Random),
    /// Whenever the console may be replaced.
    Always,
}

impl Upgrades {
    /// The same for neighbouring seeds, which differ in other ways.
    pub fn of(seed: u64) -> Upgrades {
        match seed / 32 % 4 {
            0 => Upgrades::Never,
            1 | 2 => Upgrades::Sometimes(Random::new(!seed)),
            _ => Upgrades::Always,
        }
    }

    fn is_now(&mut self) -> bool {
        match self {
            Upgrades::Never => false,
            Upgrades::Sometimes(random) => random.one_in(12),
            Upgrades::Always => true,
        }
    }
}

impl Simulation {
    /// Replaces the console by one that is restored from its snapshot, if it is time to.
    pub fn upgrade(&mut self) {
        let writes = [&self.log, &self.stdout].into_iter().flatten().any(SinkFile::is_busy);
        if writes
            || !self.console.effects.is_empty()
            || self.oracle.exiting
            || !self.upgrades.is_now()
        {
            return;
        }
        self.check_audit_events();
        let snapshot = self.console.snapshot();
        let bytes = minicbor::to_vec(&snapshot).unwrap();
        self.trace(|_| format!("upgrade with {} bytes", bytes.len()));
        let read: Snapshot = minicbor::decode(&bytes).unwrap();
        assert!(read == snapshot, "{snapshot:?} became {read:?}");
        // The snapshot counts for more than the command line.
        let mut settings = self.oracle.settings.clone();
        settings.restart.wait = !settings.restart.wait;
        settings.restart.mode = match settings.restart.mode {
            RestartMode::On => RestartMode::Off,
            RestartMode::Off => RestartMode::Oneshot,
            RestartMode::Oneshot => RestartMode::On,
        };
        settings.log_opened = !settings.log_opened;
        let next = Console::restore(settings, Box::new(SecondsFormatter), read).unwrap();
        let last = std::mem::replace(&mut self.console, next);
        // The oracle does not know how long the child waits for which client.
        for (id, client) in &self.console.clients {
            let before = &last.clients[id];
            assert_eq!((client.taken, client.backpressure), (before.taken, before.backpressure));
            assert_eq!(client.progress, before.progress);
            assert_eq!(client.replies, before.replies.min(STAGE_MAX));
        }
        assert_eq!(self.console.stream.is_full(), last.stream.is_full());
        assert_eq!(self.console.stream.is_extended(), last.stream.is_extended());
        reached("a console was replaced");
        if self.oracle.typists.values().any(|(_, _, held)| !held.is_empty()) {
            reached("a console was replaced while commands were held");
        }
        if self.console.input.slices().0.len() > 1 {
            reached("a console was replaced while input waited");
        }
        if matches!(self.upgrades, Upgrades::Sometimes(_)) {
            self.handle(Event::Upgraded { version: "2.9.1" });
            self.oracle.audit_events.push_back(AuditEvent::Upgraded);
            self.say_to_log("@@@ procServ server upgraded in place (2.9.1)\r\n");
        }
    }

    pub fn upgrade_failed(&mut self) {
        self.trace(|_| "upgrade failed".to_owned());
        self.handle(Event::UpgradeFailed("log is hung"));
        if !self.oracle.exiting {
            self.oracle.audit_events.push_back(AuditEvent::UpgradeFailed("log is hung".to_owned()));
        }
        self.say_to_log("@@@ procServ server not upgraded: log is hung\r\n");
    }

    fn say_to_log(&mut self, line: &str) {
        let wall = self.now().wall;
        let stamp = self.stamp.as_ref().map(|format| SecondsFormatter.format(wall, format));
        if let Some(log) = self.log.as_mut().filter(|_| !self.oracle.exiting) {
            log.append_private(line.as_bytes(), &stamp.unwrap_or_default());
        }
    }
}
