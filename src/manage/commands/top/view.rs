//! What is on the screen, and what keys do to that.

use std::cmp::Reverse;
use std::time::SystemTime;

use super::collector::Found;
use super::keys::Key;
use crate::manage::commands::status::row::Row;
use crate::manage::output::{escape_control, is_harmful};

/// What the view can't do itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    Quit,
    /// Stop this process, as `^Z` does.
    Suspend,
    /// Draw everything, as the terminal may show something else.
    Redraw,
    /// Run a command for an instance, with the terminal.
    Foreground(&'static str, String),
    /// Run a command for an instance, and show what the command prints.
    Show(&'static str, String),
    /// Restart an instance.
    Restart(String),
}

/// The column by which rows are in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    Name,
    State,
    Up,
    Restarts,
}

impl Sort {
    /// The column that a key selects.
    fn of(key: char) -> Option<Sort> {
        Some(match key {
            'N' => Sort::Name,
            'S' => Sort::State,
            'U' => Sort::Up,
            'R' => Sort::Restarts,
            _ => return None,
        })
    }

    /// Where it is in [`HEADER`](crate::manage::commands::status::row::HEADER).
    pub(super) fn column(self) -> usize {
        match self {
            Sort::Name => 0,
            Sort::State => 1,
            Sort::Up => 2,
            Sort::Restarts => 3,
        }
    }
}

/// What the last line of the screen is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Prompt {
    Keys,
    /// Something to read, until the next key.
    Message(String),
    /// The filter is being typed.
    Filter,
    /// Asks whether to restart this instance.
    Restart(String),
}

/// A text in place of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Text {
    pub(super) title: String,
    pub(super) lines: Vec<String>,
    /// The first line that is shown.
    pub(super) first: usize,
}

/// The state of the screen.
#[derive(Debug)]
pub(super) struct View {
    rows: Vec<Row>,
    /// Indices of the rows that are shown, in order.
    shown: Vec<usize>,
    pub(super) filter: String,
    pub(super) sort: Sort,
    pub(super) is_reversed: bool,
    /// Shows only instances with which something is wrong.
    pub(super) only_wrong: bool,
    /// The name of the selected instance, and its place among those shown.
    selected: Option<String>,
    place: usize,
    /// The first row on the screen.
    pub(super) first: usize,
    /// How many rows, or lines of a text, the screen has room for.
    pub(super) room: usize,
    pub(super) prompt: Prompt,
    pub(super) text: Option<Text>,
    /// Why what is shown may be old.
    pub(super) problem: Option<String>,
    /// For how many seconds there has been no answer, if it is late.
    pub(super) silence: Option<u64>,
    pub(super) is_coloured: bool,
}

impl View {
    pub(super) fn new(is_coloured: bool) -> View {
        View {
            rows: Vec::new(),
            shown: Vec::new(),
            filter: String::new(),
            sort: Sort::Name,
            is_reversed: false,
            only_wrong: false,
            selected: None,
            place: 0,
            first: 0,
            room: 1,
            prompt: Prompt::Keys,
            text: None,
            problem: Some("looking".to_owned()),
            silence: None,
            is_coloured,
        }
    }

    /// Shows what was found.
    pub(super) fn take(&mut self, found: Found) {
        match found {
            Found::Same => {}
            Found::Rows(rows) => {
                self.problem = None;
                self.rows = rows;
                self.arrange();
            }
            Found::Failed(text, _) => self.problem = Some(text),
        }
    }

    /// All instances.
    pub(super) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The rows to show, each with true if it is the selected one.
    pub(super) fn shown(&self) -> impl ExactSizeIterator<Item = (&Row, bool)> {
        let rows = self.shown.iter().enumerate();
        // `shown` has been made of these rows.
        rows.filter_map(|(place, index)| Some((self.rows.get(*index)?, place == self.place)))
            .collect::<Vec<_>>()
            .into_iter()
    }

    /// Chooses the rows and their order.
    fn arrange(&mut self) {
        let now = SystemTime::now();
        let filter = self.filter.to_lowercase();
        let is_shown = |row: &Row| {
            let cells = row.cells(now);
            let [name, state, .., last] = cells.each_ref().map(|cell| cell.to_lowercase());
            (row.is_wrong || !self.only_wrong)
                && [name, state, last].iter().any(|cell| cell.contains(&filter))
        };
        let rows = self.rows.iter().enumerate();
        let mut shown: Vec<(usize, &Row)> = rows.filter(|(_, row)| is_shown(row)).collect();
        match self.sort {
            Sort::Name => {}
            Sort::State => shown.sort_by_key(|(_, row)| row.state),
            Sort::Up => shown.sort_by_key(|(_, row)| row.up(now).unwrap_or(u64::MAX)),
            Sort::Restarts => shown.sort_by_key(|(_, row)| Reverse(row.restarts())),
        }
        if self.is_reversed {
            shown.reverse();
        }
        let name_of = |row: &Row| Some(row.name.as_str()) == self.selected.as_deref();
        let place = shown.iter().position(|(_, row)| name_of(row));
        let shown = shown.into_iter().map(|(index, _)| index).collect();
        self.shown = shown;
        self.select(place.unwrap_or(self.place));
    }

    /// Selects the row at this place, or the last.
    fn select(&mut self, place: usize) {
        self.place = place.min(self.shown.len().saturating_sub(1));
        let row = self.shown.get(self.place).and_then(|index| self.rows.get(*index));
        self.selected = row.map(|row| row.name.clone());
        self.scroll();
    }

    /// Has the selected row on the screen, and the screen full.
    pub(super) fn scroll(&mut self) {
        let room = self.room.max(1);
        self.first = self.first.clamp((self.place + 1).saturating_sub(room), self.place);
        self.first = self.first.min(self.shown.len().saturating_sub(room));
    }

    /// Does what a key is for.
    pub(super) fn press(&mut self, key: Key) -> Option<Action> {
        match key {
            Key::Control('C') => return Some(Action::Quit),
            Key::Control('Z') => return Some(Action::Suspend),
            Key::Control('L') => return Some(Action::Redraw),
            _ => {}
        }
        match std::mem::replace(&mut self.prompt, Prompt::Keys) {
            Prompt::Filter => {
                self.type_filter(key);
                None
            }
            Prompt::Restart(name) if matches!(key, Key::Char('y' | 'Y')) => {
                self.prompt = Prompt::Message(format!("restarting {name}"));
                Some(Action::Restart(name))
            }
            Prompt::Restart(name) => {
                self.prompt = Prompt::Message(format!("{name} was not restarted"));
                None
            }
            Prompt::Keys | Prompt::Message(_) if self.text.is_some() => {
                self.read_on(key);
                None
            }
            Prompt::Keys | Prompt::Message(_) => self.command(key),
        }
    }

    fn type_filter(&mut self, key: Key) {
        match key {
            Key::Char(letter) | Key::Pasted(letter) if !is_harmful(letter) => {
                self.filter.push(letter);
            }
            Key::Backspace => drop(self.filter.pop()),
            Key::Control('U') => self.filter.clear(),
            Key::Escape => {
                self.filter.clear();
                self.arrange();
                return;
            }
            Key::Enter => return,
            _ => {}
        }
        self.prompt = Prompt::Filter;
        self.arrange();
    }

    /// A key while a text is shown.
    fn read_on(&mut self, key: Key) {
        let room = self.room.max(1);
        let Some(text) = &mut self.text else { return };
        let last = text.lines.len().saturating_sub(room);
        text.first = match key {
            Key::Up | Key::Char('k') => text.first.saturating_sub(1),
            Key::Down | Key::Char('j') | Key::Enter => text.first + 1,
            Key::PageUp => text.first.saturating_sub(room),
            Key::PageDown | Key::Char(' ') => text.first + room,
            Key::Home | Key::Char('g') => 0,
            Key::End | Key::Char('G') => last,
            Key::Char('q' | '?' | 'h') | Key::Escape => {
                self.text = None;
                return;
            }
            _ => text.first,
        }
        .min(last);
    }

    /// A key while the table is shown.
    fn command(&mut self, key: Key) -> Option<Action> {
        let name = self.selected.clone();
        match key {
            Key::Char('q') => return Some(Action::Quit),
            Key::Up | Key::Char('k') => self.select(self.place.saturating_sub(1)),
            Key::Down | Key::Char('j') => self.select(self.place + 1),
            Key::PageUp => self.select(self.place.saturating_sub(self.room.max(1))),
            Key::PageDown | Key::Char(' ') => self.select(self.place + self.room.max(1)),
            Key::Home | Key::Char('g') => self.select(0),
            Key::End | Key::Char('G') => self.select(usize::MAX),
            Key::Char('/') => self.prompt = Prompt::Filter,
            Key::Escape => {
                self.filter.clear();
                self.only_wrong = false;
                self.arrange();
            }
            Key::Char('f') => {
                self.only_wrong = !self.only_wrong;
                self.arrange();
            }
            Key::Char(letter @ ('N' | 'S' | 'U' | 'R')) => {
                let sort = Sort::of(letter).unwrap_or(self.sort);
                self.is_reversed = sort == self.sort && !self.is_reversed;
                self.sort = sort;
                self.arrange();
            }
            Key::Enter | Key::Char('a') => return Some(Action::Foreground("attach", name?)),
            Key::Char('l') => return Some(Action::Foreground("logs", name?)),
            Key::Char('w') => return Some(Action::Show("why", name?)),
            Key::Char('r') => self.prompt = Prompt::Restart(name?),
            Key::Char('?' | 'h') => self.show("keys", HELP),
            _ => {}
        }
        None
    }

    /// Shows a text until the user closes it.
    pub(super) fn show(&mut self, title: &str, text: &str) {
        let line = |line: &str| escape_control(&line.replace('\t', "    "));
        let lines = text.trim_end().lines().map(line).collect();
        self.text = Some(Text { title: title.to_owned(), lines, first: 0 });
    }

    /// Shows a line until the next key, unless the user is being asked.
    pub(super) fn say(&mut self, text: String) {
        if matches!(self.prompt, Prompt::Keys | Prompt::Message(_)) {
            self.prompt = Prompt::Message(text);
        }
    }
}

const HELP: &str = "\
up, down, j, k     select an instance
PgUp, PgDn, space  a screen further
Home, End, g, G    the first, the last

Enter, a   attach: use its console
l          logs: what it has written
w          why: what has happened to it
r          restart it, after a question

/          show only what contains a text
f          show only what is wrong
Esc        show all again
N S U R    order by name, state, up or
           restarts; again: reversed

^L draws the screen again, ^Z suspends,
q quits. Here, q goes back.
";
