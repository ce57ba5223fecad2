use std::time::{Duration, SystemTime};

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::{Color, Modifier};
use serde_json::{Value, json};

use super::collector::Found;
use super::draw;
use super::keys::Key;
use super::view::{Action, Prompt, View};
use crate::manage::commands::status::row::Row;

/// A row as it comes from the process that looks.
fn row(name: &str, state: &str, restarts: u64, up: u64) -> Row {
    let now = SystemTime::now();
    let time = |ago| serde_json::to_value(now - Duration::from_secs(ago)).unwrap();
    let is_wrong = matches!(state, "Looping" | "Failed" | "Down");
    serde_json::from_value(json!({
        "name": name,
        "state": state,
        "is_wrong": is_wrong,
        "child_since": if state == "Running" { time(up) } else { json!(null) },
        "restarts": [restarts, restarts * 2],
        "users": 1,
        "notes": [],
        "end": end("exit 3", time(125)),
    }))
    .unwrap()
}

fn end(what: &str, time: Value) -> Value {
    json!({
        "what": what,
        "time": time,
        "life": 9,
        "is_wanted": false,
        "is_server": false,
        "pid": 7,
        "code": 3,
        "signal": null,
        "cause": null,
    })
}

fn view(rows: Vec<Row>) -> View {
    let mut view = View::new(true);
    view.take(Found::Rows(rows));
    view
}

fn three() -> View {
    view(vec![
        row("motor1", "Running", 2, 3605),
        row("rf1", "Looping", 40, 0),
        row("vac1", "Running", 0, 65),
    ])
}

struct Shown {
    lines: Vec<String>,
    screen: Terminal<TestBackend>,
}

impl Shown {
    /// The colour and the modifiers at the beginning of a line.
    fn style(&self, line: usize) -> (Color, Modifier) {
        let cell = &self.screen.backend().buffer()[(0, u16::try_from(line).unwrap())];
        (cell.fg, cell.modifier)
    }
}

/// What a screen of this size shows, without blanks at the ends of lines.
fn show(view: &mut View, width: u16, height: u16) -> Shown {
    let mut screen = Terminal::new(TestBackend::new(width, height)).unwrap();
    screen.draw(|frame| draw::draw(frame, view, SystemTime::now())).unwrap();
    let cells = screen.backend().buffer().content();
    let lines = cells.chunks(usize::from(width.max(1))).map(|line| {
        let line: String = line.iter().map(|cell| cell.symbol()).collect();
        line.trim_end().to_owned()
    });
    Shown { lines: lines.collect(), screen }
}

/// Types letters, which may lead to an action each.
fn press(view: &mut View, letters: &str) -> Vec<Action> {
    letters.chars().filter_map(|letter| view.press(Key::Char(letter))).collect()
}

fn names(view: &View) -> Vec<&str> {
    view.shown().map(|(row, _)| row.name.as_str()).collect()
}

fn selected(view: &View) -> &str {
    view.shown().find(|(_, is_selected)| *is_selected).map_or("", |(row, _)| row.name.as_str())
}

#[test]
fn a_table_in_80_columns() {
    let shown = show(&mut three(), 80, 24);
    let title = shown.lines[0].split("  ").next();
    assert_eq!((shown.lines.len(), title), (24, Some("3 instances, 1 wrong")));
    assert_eq!(
        shown.lines[1..6],
        [
            "NAME    STATE    UP     24H/ALL  USERS  LAST",
            "motor1  running  1h00m  2/4      1      exit 3 2m ago",
            "rf1     looping  -      40/80    1      exit 3 2m ago",
            "vac1    running  1m05s  0/0      1      exit 3 2m ago",
            "",
        ]
    );
    assert_eq!(
        shown.lines[23],
        "q quit  ? help  / filter  a attach  l logs  w why  r restart  f wrong  NSUR sort"
    );
}

#[test]
fn columns_are_left_out_where_there_is_no_room() {
    let shown = show(&mut three(), 40, 10);
    assert_eq!(
        shown.lines[1..5],
        [
            "NAME    STATE    UP     LAST",
            "motor1  running  1h00m  exit 3 2m ago",
            "rf1     looping  -      exit 3 2m ago",
            "vac1    running  1m05s  exit 3 2m ago",
        ]
    );
    assert_eq!(shown.lines[9], "q quit  ? help  / filter  a attach");
    let shown = show(&mut three(), 20, 3);
    assert_eq!(shown.lines, ["NAME    STATE", "motor1  running", "q quit  ? help"]);
    assert_eq!(show(&mut three(), 10, 2).lines, ["motor1", "q quit"]);
}

/// With any content, prompt and text.
#[test]
fn no_size_is_too_small() {
    for (width, height) in (0..14).flat_map(|size| [(size, 1), (1, size), (size, size)]) {
        for keys in ["", "/", "/zzz", "r", "?", "?G", "G", "fNN"] {
            for mut view in [three(), view(Vec::new())] {
                press(&mut view, keys);
                show(&mut view, width, height);
                press(&mut view, "jkG");
                show(&mut view, 80, 24);
                show(&mut view, width, height);
            }
        }
    }
}

#[test]
fn what_others_have_written_is_escaped() {
    let mut hostile = row("a\x1b[2J\u{202e}b", "Running", 0, 1);
    let mut text = serde_json::to_value(&hostile).unwrap();
    text["end"] = end("\x1b]0;x\x07\nexit", json!(null));
    text["notes"] = json!(["! log: \u{9b}31m"]);
    hostile = serde_json::from_value(text).unwrap();
    let mut view = view(vec![hostile]);
    let shown = show(&mut view, 120, 10);
    let line = &shown.lines[2];
    assert!(line.starts_with(r"a\u{1b}[2J\u{202e}b"), "{line}");
    assert!(line.contains(r"! log: \u{9b}31m; \u{1b}]0;x\u{7}\nexit"), "{line}");
    view.say("\x1b[2J said".to_owned());
    view.problem = Some("\x1b[2J wrong".to_owned());
    let shown = show(&mut view, 120, 10).lines.join("\n");
    assert!(shown.contains(r"\u{1b}[2J said") && shown.contains(r"\u{1b}[2J wrong"), "{shown}");
    view.show("why", "one\x1b[2J\ttwo");
    assert!(show(&mut view, 120, 10).lines[1].contains(r"one\u{1b}[2J    two"));
    press(&mut view, "qr");
    assert!(show(&mut view, 120, 10).lines[9].ends_with("b: restart? y/N"));
}

#[test]
fn colours_are_those_of_status() {
    let mut view = three();
    let shown = show(&mut view, 80, 24);
    assert_eq!(shown.style(2), (Color::Reset, Modifier::REVERSED));
    assert_eq!(shown.style(3), (Color::Red, Modifier::empty()));
    assert_eq!(shown.style(4), (Color::Reset, Modifier::empty()));
    view.take(Found::Rows(vec![row("a", "Running", 0, 1), row("b", "Starting", 0, 1)]));
    assert_eq!(show(&mut view, 80, 24).style(3).0, Color::Yellow);
    view.is_coloured = false;
    assert_eq!(show(&mut view, 80, 24).style(3).0, Color::Reset);
}

#[test]
fn a_filter_is_typed() {
    let mut view = three();
    press(&mut view, "/VAC");
    assert_eq!(names(&view), ["vac1"]);
    assert_eq!(show(&mut view, 80, 24).lines[23], "/VAC");
    view.press(Key::Backspace);
    view.press(Key::Enter);
    let title = show(&mut view, 80, 24).lines[0].clone();
    assert!(title.contains("only VA; 1 shown"), "{title}");
    // Keys are commands again.
    assert_eq!(press(&mut view, "q"), [Action::Quit]);
    view.press(Key::Escape);
    assert_eq!(names(&view).len(), 3);
    // States and ends are found, too; what is pasted is no command.
    press(&mut view, "/");
    "looping".chars().for_each(|letter| drop(view.press(Key::Pasted(letter))));
    assert_eq!(names(&view), ["rf1"]);
    press(&mut view, "zq");
    assert_eq!(names(&view).len(), 0);
    assert_eq!(show(&mut view, 80, 24).lines[2], "nothing of that kind: Esc shows all");
    view.press(Key::Enter);
    assert_eq!((press(&mut view, "alwr"), &view.prompt), (vec![], &Prompt::Keys));
    view.press(Key::Escape);
    press(&mut view, "f");
    assert_eq!(names(&view), ["rf1"]);
}

#[test]
fn rows_are_sorted_and_the_selected_one_stays_selected() {
    let mut view = three();
    press(&mut view, "j");
    assert_eq!(selected(&view), "rf1");
    for (key, expected) in [
        ("S", ["rf1", "motor1", "vac1"]),
        ("U", ["vac1", "motor1", "rf1"]),
        ("U", ["rf1", "motor1", "vac1"]),
        ("R", ["rf1", "motor1", "vac1"]),
        ("N", ["motor1", "rf1", "vac1"]),
        ("N", ["vac1", "rf1", "motor1"]),
    ] {
        press(&mut view, key);
        assert_eq!((names(&view), selected(&view)), (expected.to_vec(), "rf1"), "{key}");
    }
    // Also by the next look; one that is gone leaves its place.
    view.take(Found::Rows(vec![row("a", "Running", 0, 1), row("rf1", "Running", 0, 1)]));
    assert_eq!(selected(&view), "rf1");
    view.take(Found::Rows(vec![row("a", "Running", 0, 1)]));
    assert_eq!(selected(&view), "a");
    view.take(Found::Rows(Vec::new()));
    assert_eq!(selected(&view), "");
    assert_eq!(show(&mut view, 80, 24).lines[2], "no instances: manage-procs add makes one");
}

#[test]
fn a_restart_is_asked_for() {
    let mut view = three();
    assert_eq!(press(&mut view, "r"), []);
    assert_eq!(show(&mut view, 80, 24).lines[23], "motor1: restart? y/N");
    // Anything but a yes means no, also what has another meaning otherwise.
    for key in [Key::Char('n'), Key::Char('q'), Key::Enter, Key::Escape, Key::Pasted('y')] {
        view.prompt = Prompt::Restart("motor1".to_owned());
        assert_eq!(view.press(key), None, "{key:?}");
        assert_eq!(show(&mut view, 80, 24).lines[23], "motor1 was not restarted", "{key:?}");
    }
    press(&mut view, "r");
    // The one that was asked about, whatever is selected by then.
    view.take(Found::Rows(vec![row("a", "Running", 0, 1)]));
    assert_eq!(press(&mut view, "y"), [Action::Restart("motor1".to_owned())]);
    // What is being asked is not overwritten.
    press(&mut view, "r");
    view.say("restart motor1: done".to_owned());
    assert_eq!(show(&mut view, 80, 24).lines[23], "a: restart? y/N");
}

#[test]
fn keys_run_commands_for_the_selected_instance() {
    let mut view = three();
    press(&mut view, "G");
    let name = || "vac1".to_owned();
    assert_eq!(
        press(&mut view, "alw"),
        [
            Action::Foreground("attach", name()),
            Action::Foreground("logs", name()),
            Action::Show("why", name()),
        ]
    );
    assert_eq!(view.press(Key::Enter), Some(Action::Foreground("attach", name())));
    // These work everywhere.
    for keys in ["", "/x", "?", "r"] {
        press(&mut view, keys);
        for (key, action) in [('C', Action::Quit), ('Z', Action::Suspend), ('L', Action::Redraw)] {
            assert_eq!(view.press(Key::Control(key)), Some(action), "{keys}");
        }
    }
}

#[test]
fn a_text_is_scrolled_and_closed() {
    let mut view = three();
    let text: String = (0..100).map(|number| format!("line {number}\n")).collect();
    view.show("why rf1", &text);
    let shown = show(&mut view, 80, 24).lines;
    assert_eq!((shown[0].as_str(), shown[1].as_str()), ("why rf1", "line 0"));
    assert_eq!(shown[23], "q back  PgUp PgDn  Home End");
    for (key, first) in [
        (Key::PageDown, 22),
        (Key::Down, 23),
        (Key::Up, 22),
        (Key::End, 78),
        (Key::PageDown, 78),
        (Key::Home, 0),
        (Key::Up, 0),
    ] {
        assert_eq!(view.press(key), None);
        let shown = show(&mut view, 80, 24).lines;
        assert_eq!(shown[1], format!("line {first}"), "{key:?}");
    }
    assert_eq!(press(&mut view, "q"), []);
    assert!(view.text.is_none());
}

#[test]
fn five_hundred_rows_are_scrolled() {
    let rows = (0..500).map(|number| row(&format!("ioc{number:03}"), "Running", 0, 1)).collect();
    let mut view = view(rows);
    let screen = |view: &mut View| {
        let shown = show(view, 80, 24).lines;
        let name = |line: usize| shown[line].split(' ').next().unwrap_or_default().to_owned();
        (name(2), name(22), selected(view).to_owned())
    };
    let expected = |first: &str, last: &str, selected: &str| {
        (first.to_owned(), last.to_owned(), selected.to_owned())
    };
    assert_eq!(screen(&mut view), expected("ioc000", "ioc020", "ioc000"));
    for (key, first, last, selected) in [
        (Key::PageDown, "ioc001", "ioc021", "ioc021"),
        (Key::Up, "ioc001", "ioc021", "ioc020"),
        (Key::End, "ioc479", "ioc499", "ioc499"),
        (Key::Down, "ioc479", "ioc499", "ioc499"),
        (Key::PageUp, "ioc478", "ioc498", "ioc478"),
        (Key::Home, "ioc000", "ioc020", "ioc000"),
    ] {
        view.press(key);
        assert_eq!(screen(&mut view), expected(first, last, selected), "{key:?}");
    }
    // A larger screen is full, a smaller one has the selected row.
    view.press(Key::End);
    assert_eq!(show(&mut view, 80, 44).lines[2].split(' ').next(), Some("ioc459"));
    assert_eq!(show(&mut view, 80, 6).lines[4].split(' ').next(), Some("ioc499"));
}

#[test]
fn that_there_is_no_answer_is_said() {
    let mut view = three();
    view.silence = Some(9);
    let title = show(&mut view, 80, 24).lines[0].clone();
    assert!(title.starts_with("3 instances, 1 wrong; no answer for 9s"), "{title}");
    view.silence = None;
    view.take(Found::Failed("no instance x".to_owned(), 1));
    let title = show(&mut view, 80, 24).lines[0].clone();
    assert!(title.contains("no instance x") && names(&view).len() == 3, "{title}");
}
