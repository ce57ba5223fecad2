//! When what happens, with a holdoff time of 15 seconds.

use std::time::Duration;

use super::at;
use crate::config::RestartMode::{self, Off, On, Oneshot};
use crate::console::child::restart_delay::RestartDelay;
use crate::console::child::supervisor::{Action, Policy, Supervisor};
use crate::console::clock::Monotonic;
use crate::console::event::ExitStatus;
use crate::limits::START_RETRY;

fn policy() -> Policy {
    let time = Duration::from_secs(15);
    let holdoff = RestartDelay { least: time, most: time, seed: 0 };
    Policy { holdoff, grace: Duration::from_secs(5), ..Policy::default() }
}

fn supervisor(mode: RestartMode) -> Supervisor {
    Supervisor::new(mode, false, policy())
}

fn waiting(mode: RestartMode) -> Supervisor {
    Supervisor::new(mode, true, policy())
}

impl Supervisor {
    /// At this time a start is due, and the child runs.
    fn starts(&mut self, millis: u64) {
        assert_eq!(self.poll(at(millis).mono), Some(Action::Start), "at {millis}");
        self.started(100, at(millis));
        assert_eq!(self.deadline(), None);
    }

    /// Nothing is due before this time, in milliseconds; `None`: ever.
    fn waits_until(&mut self, millis: Option<u64>) {
        let expected = millis.map(|millis| at(millis).mono);
        assert_eq!(self.deadline(), expected);
        let before = expected.map_or(u64::MAX, |Monotonic(nanos)| nanos.saturating_sub(1));
        if before > 0 {
            assert_eq!(self.poll(Monotonic(before)), None);
        }
    }

    fn exits(&mut self, code: u8) {
        assert!(!self.ended(ExitStatus::Code(code), Monotonic(0)));
        assert!(self.running().is_none());
    }
}

#[test]
fn the_first_child_starts_at_once_in_every_mode() {
    for mode in [On, Off, Oneshot] {
        let mut supervisor = supervisor(mode);
        assert_eq!(supervisor.deadline(), Some(Monotonic(0)));
        supervisor.starts(77_000);
        assert_eq!(supervisor.running().unwrap().pid, 100);
        assert_eq!(supervisor.mode(), mode);
    }
}

#[test]
fn there_is_never_a_second_child() {
    let mut supervisor = supervisor(On);
    assert_eq!(supervisor.poll(at(0).mono), Some(Action::Start));
    // Asked for, not answered.
    assert_eq!(supervisor.running(), None);
    assert_eq!(supervisor.poll(at(99_000).mono), None);
    assert_eq!(supervisor.start_by_hand(at(99_000).mono), None);
    supervisor.started(100, at(0));
    assert_eq!(supervisor.poll(at(99_000).mono), None);
    assert_eq!(supervisor.start_by_hand(at(99_000).mono), None);
}

#[test]
fn a_child_that_ran_for_less_than_the_holdoff_time_is_waited_for() {
    let mut supervisor = supervisor(On);
    supervisor.starts(1_000);
    supervisor.exits(1);
    supervisor.waits_until(Some(16_000));
    supervisor.starts(16_000);
    supervisor.exits(1);
    supervisor.waits_until(Some(31_000));
}

#[test]
fn a_child_that_ran_for_the_holdoff_time_is_replaced_at_once() {
    let mut supervisor = supervisor(On);
    supervisor.starts(0);
    supervisor.exits(0);
    supervisor.starts(15_000);
    supervisor.exits(0);
    supervisor.starts(99_000);
}

#[test]
fn the_holdoff_time_runs_from_the_start_that_was_late() {
    let mut supervisor = supervisor(On);
    supervisor.starts(0);
    supervisor.exits(0);
    supervisor.starts(17_500);
    supervisor.exits(0);
    supervisor.waits_until(Some(32_500));
}

#[test]
fn mode_off_starts_nothing_again() {
    let mut supervisor = supervisor(Off);
    supervisor.starts(0);
    supervisor.exits(0);
    supervisor.waits_until(None);
    assert_eq!(supervisor.start_by_hand(at(3_000).mono), Some(Action::Start));
    supervisor.started(101, at(3_000));
    supervisor.exits(0);
    supervisor.waits_until(None);
}

#[test]
fn a_start_by_hand_does_not_wait_but_counts_for_the_holdoff() {
    let mut supervisor = supervisor(On);
    supervisor.starts(0);
    supervisor.exits(0);
    assert_eq!(supervisor.start_by_hand(at(3_000).mono), Some(Action::Start));
    supervisor.started(101, at(3_000));
    supervisor.exits(0);
    supervisor.waits_until(Some(18_000));
}

#[test]
fn wait_starts_nothing_until_told() {
    for mode in [On, Off, Oneshot] {
        let mut supervisor = waiting(mode);
        supervisor.waits_until(None);
        for _ in 0..3 {
            supervisor.toggle(true);
            supervisor.waits_until(None);
        }
        assert_eq!(supervisor.start_by_hand(at(50_000).mono), Some(Action::Start));
    }
}

#[test]
fn wait_is_over_with_the_first_start() {
    let mut supervisor = waiting(On);
    supervisor.start_by_hand(at(50_000).mono);
    supervisor.started(100, at(50_000));
    supervisor.exits(0);
    supervisor.waits_until(Some(65_000));
}

#[test]
fn oneshot_exits_when_the_holdoff_time_is_over() {
    let mut supervisor = supervisor(Oneshot);
    supervisor.starts(0);
    supervisor.exits(3);
    supervisor.waits_until(Some(15_000));
    assert_eq!(supervisor.poll(at(15_000).mono), Some(Action::Exit(3)));
}

#[test]
fn oneshot_exits_with_the_code_of_the_last_normal_end() {
    let mut supervisor = supervisor(On);
    supervisor.starts(0);
    supervisor.exits(3);
    supervisor.starts(15_000);
    assert!(!supervisor.ended(ExitStatus::Signal(11), Monotonic(0)));
    assert_eq!(supervisor.last_code(), 3);
}

#[test]
fn a_killed_child_is_code_0_if_none_ever_ended_normally() {
    let mut supervisor = supervisor(Oneshot);
    supervisor.starts(0);
    assert!(!supervisor.ended(ExitStatus::Signal(9), Monotonic(0)));
    assert_eq!(supervisor.poll(at(15_000).mono), Some(Action::Exit(0)));
}

#[test]
fn a_signal_is_a_status_if_it_is_to_be() {
    let policy = Policy { signal_status: true, ..policy() };
    let mut supervisor = Supervisor::new(On, false, policy);
    for (start, status, expected) in [
        (0, ExitStatus::Code(3), 3),
        (100_000, ExitStatus::Signal(11), 139),
        (200_000, ExitStatus::Signal(64), 192),
        (300_000, ExitStatus::Code(0), 0),
    ] {
        supervisor.starts(start);
        assert!(!supervisor.ended(status, at(start).mono));
        assert_eq!(supervisor.last_code(), expected);
    }
}

#[test]
fn the_wait_doubles_while_children_die_early() {
    let mut policy = policy();
    policy.holdoff.most = Duration::from_secs(50);
    let mut supervisor = Supervisor::new(On, false, policy);
    let mut start = 1_000_000;
    for (deaths, longest) in [(1, 15), (2, 30), (3, 50), (4, 50)] {
        supervisor.starts(start);
        assert!(!supervisor.ended(ExitStatus::Code(1), at(start + 14_999).mono));
        let next = supervisor.deadline().unwrap();
        assert_eq!(next, at(start).mono + policy.holdoff.delay(deaths));
        assert!(next <= at(start + longest * 1000).mono);
        start = next.0.div_ceil(1_000_000);
        // An upgrade in between changes nothing.
        supervisor = Supervisor::restore(supervisor.snapshot(), policy).unwrap();
        assert_eq!(supervisor.deadline(), Some(next));
    }
    // Neither a start by hand nor one that fails ends the row, or adds to it.
    assert_eq!(supervisor.start_by_hand(at(start).mono), Some(Action::Start));
    supervisor.start_failed();
    assert_eq!(supervisor.deadline(), Some(at(start).mono + policy.holdoff.delay(4)));
    supervisor.starts(start + 50_000);
    assert!(!supervisor.ended(ExitStatus::Code(1), at(start + 65_000).mono));
    // A long run does.
    supervisor.waits_until(Some(start + 65_000));
    supervisor.starts(start + 65_000);
    supervisor.exits(0);
    supervisor.waits_until(Some(start + 80_000));
}

#[test]
fn by_hand_oneshot_exits_at_once() {
    let mut supervisor = supervisor(Oneshot);
    supervisor.starts(0);
    supervisor.exits(4);
    assert_eq!(supervisor.start_by_hand(at(1_000).mono), Some(Action::Exit(4)));
}

#[test]
fn oneshot_chosen_while_a_child_runs_makes_one_more() {
    let mut supervisor = supervisor(On);
    supervisor.starts(0);
    assert_eq!([supervisor.toggle(true), supervisor.toggle(true)], [Off, Oneshot]);
    supervisor.exits(1);
    supervisor.waits_until(Some(15_000));
    supervisor.starts(15_000);
    supervisor.exits(2);
    supervisor.waits_until(Some(30_000));
    assert_eq!(supervisor.poll(at(30_000).mono), Some(Action::Exit(2)));
}

#[test]
fn oneshot_chosen_while_no_child_runs_makes_one_more() {
    let mut supervisor = supervisor(Off);
    supervisor.starts(0);
    supervisor.exits(1);
    supervisor.waits_until(None);
    assert_eq!(supervisor.toggle(true), Oneshot);
    supervisor.waits_until(Some(15_000));
    supervisor.starts(20_000);
    supervisor.exits(2);
    assert_eq!(supervisor.poll(at(35_000).mono), Some(Action::Exit(2)));
}

#[test]
fn the_toggle_goes_around_and_counts_at_once() {
    let mut supervisor = supervisor(On);
    supervisor.starts(0);
    supervisor.exits(0);
    supervisor.waits_until(Some(15_000));
    assert_eq!(supervisor.toggle(true), Off);
    supervisor.waits_until(None);
    assert_eq!(supervisor.toggle(true), Oneshot);
    assert_eq!(supervisor.toggle(true), On);
    supervisor.starts(15_000);
}

#[test]
fn leaving_oneshot_in_time_goes_on() {
    let mut supervisor = supervisor(Oneshot);
    supervisor.starts(0);
    supervisor.exits(0);
    assert_eq!(supervisor.toggle(true), On);
    supervisor.waits_until(Some(15_000));
    supervisor.starts(15_000);
}

#[test]
fn a_failed_start_is_tried_again_after_the_holdoff_time() {
    for mode in [On, Oneshot] {
        let mut supervisor = supervisor(mode);
        assert_eq!(supervisor.poll(at(1_000).mono), Some(Action::Start));
        supervisor.start_failed();
        supervisor.waits_until(Some(16_000));
        supervisor.starts(16_000);
    }
}

#[test]
fn a_failed_start_in_mode_off_is_left_to_the_user() {
    let mut supervisor = supervisor(Off);
    assert_eq!(supervisor.poll(at(0).mono), Some(Action::Start));
    supervisor.start_failed();
    supervisor.waits_until(None);
    assert_eq!(supervisor.start_by_hand(at(1_000).mono), Some(Action::Start));
}

#[test]
fn without_a_holdoff_time_children_that_end_at_once_follow_each_half_second() {
    let mut supervisor = Supervisor::new(On, false, Policy::default());
    supervisor.starts(1_000);
    supervisor.exits(0);
    supervisor.waits_until(Some(1_500));
    supervisor.starts(1_500);
    supervisor.exits(0);
    supervisor.waits_until(Some(2_000));
    // A start by hand does not wait, and the next one is again half a second later.
    assert_eq!(supervisor.start_by_hand(at(1_501).mono), Some(Action::Start));
    supervisor.started(101, at(1_501));
    supervisor.exits(0);
    supervisor.waits_until(Some(2_001));
}

#[test]
fn without_a_holdoff_time_a_child_that_ran_for_half_a_second_is_replaced_at_once() {
    let mut supervisor = Supervisor::new(On, false, Policy::default());
    supervisor.starts(1_000);
    supervisor.exits(0);
    // The child ended at 1,500 or later.
    supervisor.starts(1_500);
}

#[test]
fn without_a_holdoff_time_oneshot_exits_at_once() {
    let mut supervisor = Supervisor::new(Oneshot, false, Policy::default());
    supervisor.starts(1_000);
    supervisor.exits(3);
    assert_eq!(supervisor.poll(at(1_000).mono), Some(Action::Exit(3)));
}

#[test]
fn sigterm_gives_the_child_its_grace_and_then_kills_it() {
    let mut supervisor = supervisor(On);
    supervisor.starts(0);
    supervisor.begin_shutdown(false, at(20_000).mono);
    assert!(supervisor.is_leaving() && supervisor.in_grace());
    assert!(supervisor.running().is_some());
    supervisor.waits_until(Some(25_000));
    assert_eq!(supervisor.poll(at(25_000).mono), Some(Action::Kill));
    assert!(!supervisor.in_grace());
    supervisor.waits_until(Some(26_000));
    assert_eq!(supervisor.poll(at(26_000).mono), Some(Action::ExitWithoutChild));
}

#[test]
fn a_second_sigterm_ends_the_grace() {
    let mut supervisor = supervisor(On);
    supervisor.starts(0);
    supervisor.begin_shutdown(false, at(20_000).mono);
    supervisor.end_grace(at(21_000).mono);
    assert_eq!(supervisor.poll(at(21_000).mono), Some(Action::Kill));
    // A third one changes nothing.
    supervisor.end_grace(at(21_500).mono);
    supervisor.waits_until(Some(22_000));
}

#[test]
fn the_server_leaves_with_the_child() {
    let mut supervisor = supervisor(On);
    supervisor.starts(0);
    supervisor.begin_shutdown(true, at(20_000).mono);
    assert!(!supervisor.in_grace());
    supervisor.waits_until(Some(21_000));
    assert!(supervisor.ended(ExitStatus::Signal(9), Monotonic(0)));
}

#[test]
fn failing_starts_are_not_tried_without_pause() {
    let mut supervisor = Supervisor::new(RestartMode::On, false, Policy::default());
    let mut now = Monotonic(0);
    for _ in 0..3 {
        assert_eq!(supervisor.poll(now), Some(Action::Start));
        supervisor.start_failed();
        assert_eq!(supervisor.poll(now), None);
        let next = supervisor.deadline().expect("another try");
        assert_eq!(next, now + START_RETRY);
        now = next;
    }
}
