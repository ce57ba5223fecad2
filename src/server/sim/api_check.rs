//! Programs (`--api`): what they send, and what they must have got in the end.

use serde_json::Value;

use super::Run;
use super::world::World;
use crate::console::event::Role;
use crate::limits::API_LINE_MAX;

/// What a program has sent.
#[derive(Debug, Default)]
pub(super) struct Program {
    /// The number of lines, each of which has to be answered once.
    lines: usize,
    /// True if it has subscribed.
    subscribed: bool,
}

impl Run {
    /// Lets a program connect, send something, read or go.
    pub(super) fn program_acts(&mut self) {
        let mut world = self.world.borrow_mut();
        let ids: Vec<u64> = self.programs.keys().copied().collect();
        if ids.is_empty() || (ids.len() < 3 && world.random.one_in(4)) {
            let room = 1 << (4 + world.random.below(14));
            let id = world.add(room);
            world.connect(id, Role::Api);
            self.programs.insert(id, Program::default());
            self.everybody.insert(id);
            world.print(&format!("program {id} connects"));
            return;
        }
        let id = ids[world.random.below(ids.len())];
        let kind = world.random.below(24);
        let long = "x".repeat(API_LINE_MAX);
        let line = match kind {
            0..5 => {
                let most = 1 << world.random.below(19);
                world.take(id, most);
                return world.print(&format!("program {id} takes {most}"));
            }
            5 if world.random.one_in(3) => {
                // What the server writes from now on fails.
                world.pipe(id).broken = true;
                world.send(id, b"", true);
                world.push_ready(id, true, true);
                self.programs.remove(&id);
                return world.print(&format!("program {id} goes"));
            }
            6 | 7 => r#"{"request":"kill"}"#,
            8 => r#"{"request":"start"}"#,
            9 => r#"{"request":"mode","mode":"on"}"#,
            10 => r#"{"request":"mode","mode":"off"}"#,
            11 => r#"{"request":"reload"}"#,
            12..15 => r#"{"request":"input","text":"typed\r"}"#,
            15..18 => r#"{"request":"subscribe"}"#,
            18 => "{",
            19 if world.random.one_in(4) => &long,
            20 if world.random.one_in(20) => r#"{"request":"quit"}"#,
            _ => r#"{"request":"status"}"#,
        };
        let Some(program) = self.programs.get_mut(&id) else {
            return;
        };
        self.typed += 1;
        program.lines += 1;
        program.subscribed |= line.contains("subscribe");
        // A line may come in two pieces.
        let cut = world.random.below(line.len() + 1);
        world.send(id, &line.as_bytes()[..cut], false);
        world.send(id, &[&line.as_bytes()[cut..], b"\n"].concat(), false);
        world.print(&format!("program {id} sends {}", &line[..line.len().min(80)]));
    }

    /// Every line was answered once, and subscribers got every event or were told that they did not.
    pub(super) fn check_programs(&self, world: &World) {
        if self.server.exit.is_some() {
            return;
        }
        let events = String::from_utf8(world.events.clone()).unwrap();
        let events: Vec<&str> = events.lines().collect();
        for (id, program) in &self.programs {
            let pipe = &world.pipes[id];
            if pipe.token.is_none() {
                assert!(pipe.closed, "program {id} was neither served nor refused");
                continue;
            }
            let text = String::from_utf8(pipe.received.clone()).unwrap();
            assert!(text.is_empty() || text.ends_with('\n'), "program {id}: half a line");
            let lines: Vec<(&str, Value)> =
                text.lines().map(|line| (line, serde_json::from_str(line).unwrap())).collect();
            let is_answer = |line: &Value| !line["result"].is_null() || !line["error"].is_null();
            let answers = lines.iter().filter(|(_, line)| is_answer(line)).count();
            assert_eq!(answers, program.lines, "program {id}: {text}");
            let told = lines.iter().filter(|(_, line)| !line["event"].is_null());
            let told: Vec<&str> = told.map(|(line, _)| *line).collect();
            let skipped = lines.iter().filter_map(|(_, line)| line["skipped"].as_u64());
            let skipped = usize::try_from(skipped.sum::<u64>()).unwrap();
            if !program.subscribed {
                assert_eq!((told.len(), skipped), (0, 0), "program {id} has not subscribed");
                continue;
            }
            assert!(told.len() + skipped <= events.len());
            let mut rest = events.iter();
            for line in &told {
                assert!(rest.any(|event| event == line), "program {id}: {line} out of order");
            }
            if skipped == 0 {
                let last = &events[events.len() - told.len()..];
                assert_eq!(told, last, "program {id} missed an event");
            }
            let status = lines.iter().rev().find(|(_, line)| line["status"].is_object());
            let status = &status.expect("a status").1["status"];
            let console = &self.server.console;
            assert_eq!(status["restarts"], console.restarts());
            assert_eq!(status["child"]["pid"].as_i64(), console.child().map(|it| it.pid.into()));
            assert_eq!(status["clients"].as_array().unwrap().len(), console.clients().count());
        }
    }
}
