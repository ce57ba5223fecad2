//! How fast a client gives commands. Commands beyond [`COMMANDS_MAX`] in [`COMMAND_INTERVAL`] are held
//! until the end of that time, and are then obeyed together: each command character once, as if it
//! had been typed so many times in a row.

use minicbor::{Decode, Encode};

use crate::config::MessageStyle;
use crate::console::Console;
use crate::console::clock::{Monotonic, Timestamps};
use crate::console::event::ClientId;
use crate::console::messages;
use crate::limits::{COMMAND_INTERVAL, COMMANDS_MAX};

/// The commands of one client.
#[derive(Debug, Default, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(crate) struct CommandRate {
    /// When the first of `count` commands came.
    #[cbor(n(0), default)]
    since: Monotonic,
    /// The number of commands that were obeyed at once since then.
    #[cbor(n(1), default)]
    count: u32,
    /// The command characters that are held, and how often each was typed.
    #[cbor(n(2), default)]
    held: Vec<(u8, u64)>,
}

impl CommandRate {
    /// The client typed a command character. Returns true if it is to be obeyed at once, and holds it
    /// otherwise.
    fn admit(&mut self, byte: u8, now: Monotonic) -> bool {
        if self.held.is_empty() {
            if self.count == 0 || now >= self.since + COMMAND_INTERVAL {
                (self.since, self.count) = (now, 0);
            }
            if self.count < COMMANDS_MAX {
                self.count += 1;
                return true;
            }
        }
        match self.held.iter_mut().find(|(other, _)| *other == byte) {
            Some((_, times)) => *times = times.saturating_add(1),
            None => self.held.push((byte, 1)),
        }
        false
    }

    /// When the commands that are held are to be obeyed.
    fn deadline(&self) -> Option<Monotonic> {
        (!self.held.is_empty()).then(|| self.since + COMMAND_INTERVAL)
    }
}

impl Console {
    /// A client typed a command character. Returns true if it is to be obeyed at once, and holds it
    /// otherwise.
    pub(crate) fn admit_command(&mut self, id: ClientId, byte: u8, now: Timestamps) -> bool {
        let admitted = self.command_rates.entry(id).or_default().admit(byte, now.mono);
        self.revision += u64::from(!admitted);
        admitted
    }

    /// When commands that are held are to be obeyed.
    pub(crate) fn commands_deadline(&self) -> Option<Monotonic> {
        self.command_rates.values().filter_map(CommandRate::deadline).min()
    }

    /// Obeys the commands that have been held long enough.
    pub(crate) fn poll_held_commands(&mut self, now: Timestamps) {
        let is_due = |rate: &CommandRate| rate.deadline().is_some_and(|at| now.mono >= at);
        let due = self.command_rates.iter().filter(|(_, rate)| is_due(rate));
        let due: Vec<ClientId> = due.map(|(&id, _)| id).collect();
        for id in due {
            self.obey_held_commands(id, now);
        }
    }

    /// Obeys the commands of this client that are held. The next commands are obeyed at once again.
    /// Commands that come too late, because the server exits, are only recorded.
    pub(crate) fn obey_held_commands(&mut self, id: ClientId, now: Timestamps) {
        let mut held = self.command_rates.remove(&id).map(|rate| rate.held).unwrap_or_default();
        held.sort_unstable();
        let total = held.iter().fold(0, |total: u64, (_, times)| total.saturating_add(*times));
        if total > 1 && !self.exiting {
            self.say_line(&messages::commands_held(total), now);
        }
        let running = self.supervisor.running().is_some();
        let mut start = false;
        for (byte, times) in held {
            if self.exiting || !self.is_command(byte, running) {
                // A command for a server without a child may find that there is one by now.
                let down = !self.is_command(byte, running);
                let commands: Vec<_> = self.commands_of(byte, running && !down).collect();
                for command in commands {
                    self.record_command(id, command, times);
                }
            } else {
                start |= self.run_command(id, byte, times, running, now);
            }
        }
        if start {
            self.start_by_hand(now);
        }
    }

    /// Toggles the restart mode so many times.
    pub(crate) fn toggle(&mut self, times: u64, now: Timestamps) {
        // procServ 2.7 has no ONESHOT, so its words have none either.
        let with_oneshot = self.settings.console.style == MessageStyle::Current;
        // There are two or three modes, so six more times change nothing more.
        let mut mode = self.supervisor.mode();
        for _ in 0..times.min(6 + times % 6) {
            mode = self.supervisor.toggle(with_oneshot);
        }
        self.say(&messages::toggled(&self.settings, mode), now);
    }
}
