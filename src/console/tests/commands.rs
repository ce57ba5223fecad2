//! What clients type: commands, the ignore list, input for the child.

use super::{at, console, settings, text};
use crate::config::{ByteSet, CommandChars, RestartMode};
use crate::console::event::ClientKind::{Pipe, Telnet, Terminal};
use crate::console::event::Role::{Logger, User};
use crate::console::event::{ChildSlot, ClientId, ClientKind, Effect, Event, ExitStatus, Role};
use crate::console::{Console, Settings};

const A: ClientId = ClientId(1);
const B: ClientId = ClientId(2);

/// A console with functions for what tests do with it.
struct TestConsole(Console);

impl TestConsole {
    /// A console without a child. Client A, a terminal, has read its greeting.
    fn down(settings: Settings) -> TestConsole {
        let mut console = TestConsole(console(settings.with(|s| s.restart.wait = true)));
        console.joins(A, User, Terminal);
        console
    }

    /// The same with a running child.
    fn up(settings: Settings) -> TestConsole {
        let mut console = TestConsole::down(settings);
        assert_eq!(console.types(A, b"\x12"), [Effect::Spawn]);
        console.0.handle(Event::Spawned(100), at(0));
        console.reads(A);
        console
    }

    fn joins(&mut self, id: ClientId, role: Role, kind: ClientKind) {
        self.0.handle(Event::Joined { id, role, kind }, at(0));
        self.reads(id);
    }

    fn types(&mut self, id: ClientId, bytes: &[u8]) -> Vec<Effect> {
        self.0.handle(Event::Input { id, bytes }, at(0));
        std::iter::from_fn(|| self.0.poll_effect()).collect()
    }

    fn reads(&mut self, id: ClientId) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            let (first, second) = self.0.output(id);
            let bytes = [first, second].concat();
            if bytes.is_empty() {
                return all;
            }
            self.0.written(id, bytes.len());
            all.extend(bytes);
        }
    }

    fn child_reads(&mut self) -> Vec<u8> {
        let (first, second) = self.0.child_input();
        let bytes = [first, second].concat();
        self.0.child_input_written(bytes.len());
        bytes
    }
}

fn with_commands(kill: Option<u8>, toggle: Option<u8>, logout: Option<u8>) -> Settings {
    settings().with(|s| s.console.commands = CommandChars { kill, toggle, logout })
}

const KILLED: &str = "\r\n@@@ Got a kill command\r\n";
const OFF: &str = "\r\n@@@ Toggled auto restart mode to OFF\r\n";

#[test]
fn input_reaches_the_child_without_the_ignored_characters() {
    let mut console = TestConsole::up(settings());
    assert_eq!(
        console.types(A, b"a\0b\x18\x14c\x12\x11\xFF\n"),
        [Effect::Signal(ChildSlot::Current, 9)]
    );
    assert_eq!(console.child_reads(), b"abc\x12\x11\xFF\n");
    assert_eq!(text(&console.reads(A)), format!("{KILLED}{OFF}"));
}

#[test]
fn without_an_ignore_list_every_byte_passes() {
    let everything: Vec<u8> = (0..=255).collect();
    let commands = CommandChars { kill: None, toggle: None, logout: None };
    let mut console = TestConsole::up(settings().with(|s| {
        s.console.commands = commands;
        s.console.ignore = ByteSet::EMPTY;
    }));
    assert_eq!(console.types(A, &everything), []);
    assert_eq!(console.child_reads(), everything);
}

#[test]
fn only_the_child_gets_input() {
    let mut console = TestConsole::up(settings());
    console.joins(B, User, Terminal);
    console.types(A, b"secret\n");
    assert_eq!((console.reads(A), console.reads(B)), (vec![], vec![]));
}

#[test]
fn input_without_a_child_is_dropped() {
    let mut console = TestConsole::down(settings());
    console.types(A, b"lost\n");
    assert_eq!(console.types(A, b"this too\x12and this\n"), [Effect::Spawn]);
    console.types(A, b"not yet\n");
    console.0.handle(Event::Spawned(100), at(0));
    assert_eq!(console.child_reads(), b"");
    console.types(A, b"now\n");
    assert_eq!(console.child_reads(), b"now\n");
}

#[test]
fn the_kill_character_empties_the_queue_but_not_its_own_buffer() {
    let mut console = TestConsole::up(settings());
    console.types(A, b"paste paste paste");
    console.types(A, b"before\x18after");
    assert_eq!(console.child_reads(), b"beforeafter");
}

#[test]
fn the_end_of_the_child_empties_the_queue() {
    let mut console = TestConsole::up(settings());
    console.types(A, b"never read");
    console.0.handle(Event::Exited(ChildSlot::Current, ExitStatus::Code(0)), at(0));
    assert_eq!(console.child_reads(), b"");
}

#[test]
fn kill_and_restart_in_one_buffer() {
    // On a dead child both orders start one, and the kill says so.
    for buffer in [b"\x12\x18", b"\x18\x12"] {
        let mut console = TestConsole::down(settings());
        assert_eq!(console.types(A, buffer), [Effect::Spawn]);
        assert_eq!(text(&console.reads(A)), KILLED);
    }
    // On a running one the restart character is input.
    let mut console = TestConsole::up(settings());
    assert_eq!(console.types(A, b"\x18\x12"), [Effect::Signal(ChildSlot::Current, 9)]);
    assert_eq!(console.child_reads(), b"\x12");
}

#[test]
fn the_kill_character_on_a_dead_child_starts_one() {
    let mut console = TestConsole::down(settings());
    assert_eq!(console.types(A, b"x\x18x"), [Effect::Spawn]);
    assert_eq!(text(&console.reads(A)), KILLED);
}

#[test]
fn the_restart_character_says_nothing() {
    let mut console = TestConsole::down(settings());
    assert_eq!(console.types(A, b"\x12"), [Effect::Spawn]);
    assert_eq!(console.reads(A), b"");
}

#[test]
fn quit_leaves_with_the_last_code_and_starts_nothing_more() {
    for buffer in [&b"\x11"[..], b"\x11\x12", b"\x12\x11", b"\x11\x18", b"\x11\x11"] {
        let mut console = TestConsole::up(settings());
        console.0.handle(Event::Exited(ChildSlot::Current, ExitStatus::Code(7)), at(0));
        assert_eq!(console.0.poll_effect(), Some(Effect::Reap(ChildSlot::Current)));
        assert_eq!(console.types(A, buffer), [Effect::Exit(7)], "{buffer:?}");
        assert_eq!(console.types(A, b"\x12"), [], "it is decided");
        assert_eq!(console.0.deadline(), None);
    }
}

#[test]
fn a_disabled_command_is_input() {
    let mut console = TestConsole::up(
        with_commands(None, None, None).with(|s| s.console.ignore = ByteSet::EMPTY),
    );
    assert_eq!(console.types(A, b"\x18\x14"), []);
    assert_eq!(console.child_reads(), b"\x18\x14");
    assert_eq!(console.reads(A), b"");
}

#[test]
fn without_a_kill_character_the_restart_character_still_starts() {
    let mut console = TestConsole::down(with_commands(None, None, None));
    assert_eq!(console.types(A, b"\x18"), []);
    assert_eq!(console.types(A, b"\x12"), [Effect::Spawn]);
}

#[test]
fn one_byte_may_be_several_commands() {
    let x = Some(b'x');
    let mut console = TestConsole::up(with_commands(x, x, x));
    assert_eq!(
        console.types(A, b"x"),
        [Effect::Disconnect(A), Effect::Signal(ChildSlot::Current, 9)]
    );
    assert_eq!(text(&console.reads(A)), format!("{OFF}{KILLED}"));
    let restart = Some(0x12);
    let mut console = TestConsole::down(with_commands(restart, restart, restart));
    assert_eq!(console.types(A, b"\x12"), [Effect::Disconnect(A), Effect::Spawn]);
    assert_eq!(text(&console.reads(A)), format!("{OFF}{KILLED}"));
    let quit = Some(0x11);
    let mut console = TestConsole::down(with_commands(None, None, quit));
    assert_eq!(console.types(A, b"\x11"), [Effect::Exit(0), Effect::Disconnect(A)]);
}

#[test]
fn what_follows_the_logout_character_still_counts() {
    let mut console = TestConsole::up(with_commands(Some(0x18), None, Some(b'L')));
    let effects = console.types(A, b"aLb\x18c");
    assert_eq!(effects, [Effect::Disconnect(A), Effect::Signal(ChildSlot::Current, 9)]);
    assert_eq!(console.child_reads(), b"aLbc");
}

#[test]
fn kill_signal_0_is_said_and_not_sent() {
    let mut console = TestConsole::up(settings().with(|s| s.restart.kill_signal = 0));
    assert_eq!(console.types(A, b"\x18"), []);
    assert_eq!(text(&console.reads(A)), KILLED);
}

#[test]
fn telnet_is_taken_out_of_what_a_socket_sends() {
    let mut console = TestConsole::up(settings());
    console.joins(B, User, Telnet);
    console.types(B, b"a\xFF");
    console.types(B, b"\xFFb\xFF\xFD");
    console.types(B, b"\x05c\xFF\xFA\x18\x18\x18\xFF\xF0d\r\0");
    assert_eq!(console.child_reads(), b"a\xFFbcd\r");
    assert_eq!(console.reads(B), b"\xFF\xFC\x05");
    assert_eq!(console.0.poll_effect(), None);
}

#[test]
fn a_terminal_and_a_pipe_speak_no_telnet() {
    for kind in [Terminal, Pipe] {
        let mut console = TestConsole::up(settings());
        console.joins(B, User, kind);
        console.types(B, b"\xFF\xFD\x03");
        assert_eq!(console.child_reads(), b"\xFF\xFD\x03");
        assert_eq!(console.reads(B), b"");
    }
}

#[test]
fn loggers_give_no_commands() {
    let mut console = TestConsole::up(settings());
    console.joins(B, Logger, Telnet);
    assert_eq!(console.types(B, b"\x18\x14\x11\xFF\xFD\x03x"), []);
    assert_eq!((console.child_reads(), console.reads(B)), (vec![], vec![]));
}

#[test]
fn unknown_clients_give_no_commands() {
    let mut console = TestConsole::up(settings());
    assert_eq!(console.types(ClientId(99), b"\x18"), []);
    assert!(!console.0.accepts_input(ClientId(99)));
}

#[test]
fn in_oneshot_a_start_by_hand_is_the_end() {
    let mut console = TestConsole::up(settings().with(|s| s.restart.mode = RestartMode::Oneshot));
    console.0.handle(Event::Exited(ChildSlot::Current, ExitStatus::Code(5)), at(100));
    assert_eq!(console.0.poll_effect(), Some(Effect::Reap(ChildSlot::Current)));
    assert_eq!(console.types(A, b"\x12"), [Effect::Exit(5)]);
}

/// The client's commands beyond 20 are obeyed a second after the first.
#[test]
fn commands_that_come_too_fast_are_obeyed_together() {
    let mut console = TestConsole::up(settings());
    // The start was a command, too.
    console.types(A, &[0x14; 19]);
    assert_eq!(text(&console.reads(A)).matches("Toggled").count(), 19);
    assert_eq!(console.0.deadline(), None);
    assert_eq!(console.types(A, b"\x14\x14\x18\x18\x18"), []);
    assert_eq!(console.reads(A), b"");
    console.joins(B, User, Terminal);
    console.reads(B);
    // Another client is obeyed at once.
    assert_eq!(console.types(B, b"\x14"), []);
    assert_eq!(text(&console.reads(A)), "\r\n@@@ Toggled auto restart mode to ONESHOT\r\n");
    assert_eq!(console.0.deadline(), Some(at(1000).mono));
    console.0.handle_timeout(at(999));
    assert_eq!(console.0.poll_effect(), None);
    console.0.handle_timeout(at(1000));
    assert_eq!(console.0.poll_effect(), Some(Effect::Signal(ChildSlot::Current, 9)));
    assert_eq!(console.0.poll_effect(), None);
    assert_eq!(
        text(&console.reads(A)),
        "@@@ 5 commands of one client came too fast and are obeyed together\r\n\
         \r\n@@@ Toggled auto restart mode to OFF\r\n\r\n@@@ Got a kill command\r\n"
    );
    assert_eq!(console.0.deadline(), None);
}
