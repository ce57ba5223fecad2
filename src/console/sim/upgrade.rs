//! A console that is written down and taken up again, by which nothing may change.

use super::disk::Disk;
use super::random::Random;
use super::seen;
use super::stream::Clockwork;
use super::world::World;
use crate::config::RestartMode;
use crate::console::Console;
use crate::console::audit::AuditEvent;
use crate::console::clock::TimeFormatter;
use crate::console::event::Event;
use crate::console::snapshot::Snapshot;
use crate::limits::STAGE_MAX;

/// When a world's console is replaced.
#[derive(Debug, Clone)]
pub enum Upgrades {
    Never,
    /// In some steps. The generator is its own: the world stays that of its seed.
    Sometimes(Random),
    /// Whenever a server could.
    Always,
}

impl Upgrades {
    /// The same for neighbours, which differ in other ways.
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

impl World {
    /// Perhaps another console goes on.
    pub fn upgrade(&mut self) {
        let writes = [&self.log, &self.stdout].into_iter().flatten().any(Disk::is_busy);
        if writes
            || !self.console.effects.is_empty()
            || self.oracle.exiting
            || !self.upgrades.is_now()
        {
            return;
        }
        self.check_entries();
        let record = self.console.snapshot();
        let bytes = minicbor::to_vec(&record).unwrap();
        self.tell(|_| format!("upgrade with {} bytes", bytes.len()));
        let read: Snapshot = minicbor::decode(&bytes).unwrap();
        assert!(read == record, "{record:?} became {read:?}");
        // What the record tells counts for more than the command line.
        let mut settings = self.oracle.settings.clone();
        settings.restart.wait = !settings.restart.wait;
        settings.restart.mode = match settings.restart.mode {
            RestartMode::On => RestartMode::Off,
            RestartMode::Off => RestartMode::Oneshot,
            RestartMode::Oneshot => RestartMode::On,
        };
        settings.log_opened = !settings.log_opened;
        let next = Console::restore(settings, Box::new(Clockwork), read).unwrap();
        let last = std::mem::replace(&mut self.console, next);
        // What says how long the child waits for whom, of which the oracle knows nothing.
        for (id, client) in &self.console.clients {
            let before = &last.clients[id];
            assert_eq!((client.taken, client.backpressure), (before.taken, before.backpressure));
            assert_eq!(client.replies, before.replies.min(STAGE_MAX));
        }
        assert_eq!(self.console.stream.is_full(), last.stream.is_full());
        seen("a console was replaced");
        if self.console.input.slices().0.len() > 1 {
            seen("a console was replaced while input waited");
        }
        if matches!(self.upgrades, Upgrades::Sometimes(_)) {
            self.handle(Event::Upgraded { version: "2.9.1" });
            self.oracle.entries.push_back(AuditEvent::Upgraded);
            self.note("@@@ procServ server upgraded in place (2.9.1)\r\n");
        }
    }

    pub fn upgrade_failed(&mut self) {
        self.tell(|_| "upgrade failed".to_owned());
        self.handle(Event::UpgradeFailed("log is hung"));
        if !self.oracle.exiting {
            self.oracle.entries.push_back(AuditEvent::UpgradeFailed("log is hung".to_owned()));
        }
        self.note("@@@ procServ server not upgraded: log is hung\r\n");
    }

    fn note(&mut self, line: &str) {
        let wall = self.now().wall;
        let stamp = self.stamp.as_ref().map(|format| Clockwork.format(wall, format));
        if let Some(log) = self.log.as_mut().filter(|_| !self.oracle.exiting) {
            log.note(line.as_bytes(), &stamp.unwrap_or_default());
        }
    }
}
