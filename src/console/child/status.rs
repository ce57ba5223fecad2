//! What the child does, for those who do not read the console: as data and in one line of text.

use crate::config::RestartMode;
use crate::limits::STATUS_NAME_MAX;

/// What the child does now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChildPhase {
    /// The child runs and has this PID.
    Running(i32),
    /// No child runs, and one is started when the holdoff time is over.
    StartPending,
    /// No child runs until a user starts one.
    Stopped,
    /// No child runs, and the server exits: when the holdoff time is over, or the orphans are gone.
    ExitPending,
}

/// The state of the child and of the server, in a form that is cheap to compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// True if a child was ready once.
    pub ready: bool,
    /// True if the server exits with the child.
    pub leaving: bool,
    /// The restart mode.
    pub mode: RestartMode,
    /// What the child does.
    pub child: ChildPhase,
}

impl Status {
    /// One line of UTF-8 about the child called `name`. The line does not change with time alone.
    pub fn line(&self, name: &[u8]) -> String {
        let name: String = String::from_utf8_lossy(name)
            .chars()
            .map(|letter| if letter.is_control() { '?' } else { letter })
            .take(STATUS_NAME_MAX)
            .collect();
        let state = match (self.child, self.leaving) {
            (ChildPhase::Running(pid), true) => format!("ending, PID {pid}"),
            (ChildPhase::Running(pid), false) => {
                let running = if self.ready { "running" } else { "starting" };
                let mode = match self.mode {
                    RestartMode::On => "",
                    RestartMode::Off => ", auto restart OFF",
                    RestartMode::Oneshot => ", ONESHOT",
                };
                format!("{running}, PID {pid}{mode}")
            }
            (_, true) | (ChildPhase::ExitPending, false) => "down, server exits".to_owned(),
            (ChildPhase::StartPending, false) => "down, to be started".to_owned(),
            (ChildPhase::Stopped, false) => "down until started by hand".to_owned(),
        };
        format!("Child {name} {state}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(child: ChildPhase, mode: RestartMode, leaving: bool, ready: bool) -> String {
        Status { ready, leaving, mode, child }.line(b"ioc")
    }

    #[test]
    fn each_phase_has_a_line() {
        use RestartMode::{Off, On, Oneshot};
        let running = ChildPhase::Running(123);
        assert_eq!(line(running, On, false, true), "Child ioc running, PID 123");
        assert_eq!(line(running, On, false, false), "Child ioc starting, PID 123");
        assert_eq!(line(running, Off, false, true), "Child ioc running, PID 123, auto restart OFF");
        assert_eq!(line(running, Oneshot, false, true), "Child ioc running, PID 123, ONESHOT");
        assert_eq!(line(running, On, true, true), "Child ioc ending, PID 123");
        assert_eq!(
            line(ChildPhase::StartPending, On, false, true),
            "Child ioc down, to be started"
        );
        assert_eq!(
            line(ChildPhase::Stopped, Off, false, true),
            "Child ioc down until started by hand"
        );
        assert_eq!(
            line(ChildPhase::ExitPending, Oneshot, false, true),
            "Child ioc down, server exits"
        );
        assert_eq!(line(ChildPhase::Stopped, Off, true, true), "Child ioc down, server exits");
    }

    #[test]
    fn name_is_one_short_line_of_text() {
        let status = Status {
            ready: true,
            leaving: false,
            mode: RestartMode::On,
            child: ChildPhase::StartPending,
        };
        let line = status.line(b"a\nREADY=1\n\xff");
        assert_eq!(line, "Child a?READY=1?\u{fffd} down, to be started");
        assert!(status.line(&[b'x'; 100_000]).len() < 1000);
    }
}
