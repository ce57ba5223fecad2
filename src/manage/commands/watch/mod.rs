//! `watch`: the objects of `status --json` for a program, and then each change of them.

mod collector;
mod lines;

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use clap::ArgMatches;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{read, write};

use self::collector::Found;
use self::lines::Lines;
use super::fallback;
use crate::manage::error::{CommandError, CommandResult};
use crate::manage::inspect::collector::Collector;
use crate::manage::limits::{ATTACH_CHUNK, COLLECTOR_PATIENCE};
use crate::manage::registry::Registry;
use crate::manage::registry::pattern::Patterns;

/// `watch`. It ends when standard input has ended, or nobody reads standard output any more.
///
/// # Errors
/// A pattern that matches no instance; files that can't be read at first.
pub(crate) fn watch(
    registry: &Registry,
    matches: &ArgMatches,
    is_default: bool,
    json: bool,
) -> CommandResult {
    registry.require_live("watch")?;
    if !json {
        return Err(CommandError::usage("watch is for programs: watch --json; top is for people"));
    }
    let patterns = Patterns::from_matches(matches)?;
    let registry = fallback::registry_of(registry, &patterns, is_default)?;
    let failed = |error| CommandError::system("watch", &error);
    let collector = collector::start(registry, patterns).map_err(failed)?;
    let session = Session {
        collector,
        lines: Lines::default(),
        is_begun: false,
        asked: Instant::now(),
        failure: None,
        output: Vec::new(),
    };
    session.run()
}

/// What the reader is told when nothing new is known for long.
const NO_ANSWER: &str = "a disk or systemd does not answer: what is known is old";

/// A program that reads.
struct Session {
    collector: Collector<Found>,
    lines: Lines,
    /// True if the instances have been looked at.
    is_begun: bool,
    /// When the process that looks at the instances was asked.
    asked: Instant,
    /// Why the last look has failed.
    failure: Option<String>,
    /// The rest of the line that is being printed.
    output: Vec<u8>,
}

/// What can be done without waiting.
struct Ready {
    input: bool,
    answer: bool,
    output: bool,
    is_output_closed: bool,
}

impl Session {
    fn run(mut self) -> CommandResult {
        let no_collector =
            |error| CommandError::system("the process that looks at the instances", &error);
        loop {
            if self.collector.ask().map_err(no_collector)? {
                self.asked = Instant::now();
            }
            if self.output.is_empty() && self.is_begun {
                self.output = self.lines.next().unwrap_or_default().into_bytes();
            }
            let ready = self.wait().map_err(|error| CommandError::system("watch", &error))?;
            if ready.answer
                && let Some(found) = self.collector.take().map_err(no_collector)?
            {
                self.take(found)?;
            }
            self.lines.take_trouble(match self.asked.elapsed() >= COLLECTOR_PATIENCE {
                true => Some(NO_ANSWER.to_owned()),
                false => self.failure.clone(),
            });
            if ready.is_output_closed || (ready.input && has_ended()) {
                return Ok(0);
            }
            if ready.output && !self.print()? {
                return Ok(0);
            }
        }
    }

    fn wait(&self) -> io::Result<Ready> {
        let (input, output) = (io::stdin(), io::stdout());
        let wanted = if self.output.is_empty() { PollFlags::empty() } else { PollFlags::POLLOUT };
        let mut fds = [
            PollFd::new(input.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.collector.as_fd(), PollFlags::POLLIN),
            PollFd::new(output.as_fd(), wanted),
        ];
        let left = COLLECTOR_PATIENCE.saturating_sub(self.asked.elapsed());
        // After that it is told, and there is nothing more to do until there is an answer.
        let left = if left.is_zero() { COLLECTOR_PATIENCE } else { left };
        let limit = PollTimeout::try_from(left + Duration::from_millis(1));
        match poll(&mut fds, limit.unwrap_or(PollTimeout::MAX)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        let [input, answer, output] = fds.map(|fd| fd.revents().unwrap_or(PollFlags::empty()));
        Ok(Ready {
            input: !input.is_empty(),
            answer: !answer.is_empty(),
            output: output.contains(PollFlags::POLLOUT),
            is_output_closed: output.intersects(PollFlags::POLLERR | PollFlags::POLLNVAL),
        })
    }

    fn take(&mut self, found: Found) -> Result<(), CommandError> {
        match found {
            Found::Failed(text, code) if !self.is_begun => {
                return Err(CommandError { text, code });
            }
            Found::Failed(text, _) => self.failure = Some(text),
            Found::Same => {}
            Found::Changes { changed, removed } => {
                self.failure = None;
                self.lines.take(changed, removed);
                self.is_begun = true;
            }
        }
        Ok(())
    }

    /// Prints as much as a pipe takes without waiting. Returns false if nobody reads it.
    fn print(&mut self) -> Result<bool, CommandError> {
        let length = self.output.len().min(ATTACH_CHUNK);
        match write(io::stdout(), self.output.get(..length).unwrap_or_default()) {
            Ok(count) => {
                self.output.drain(..count);
                Ok(true)
            }
            Err(Errno::EPIPE | Errno::ECONNRESET) => Ok(false),
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(true),
            Err(error) => Err(CommandError::system("standard output", &error.into())),
        }
    }
}

/// Reads what there is on standard input, which means nothing. Returns true at its end.
fn has_ended() -> bool {
    match read(io::stdin(), &mut [0; ATTACH_CHUNK]) {
        Ok(count) => count == 0,
        Err(error) => !matches!(error, Errno::EAGAIN | Errno::EINTR),
    }
}
