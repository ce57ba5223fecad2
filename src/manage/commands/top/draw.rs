//! How the screen looks. What does not fit is left out, columns first.

use std::time::SystemTime;

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Span;

use super::view::{Prompt, Text, View};
use crate::manage::commands::status::row::HEADER;
use crate::manage::output::{escape_control, span};

/// The columns of a table.
const COLUMNS: usize = HEADER.len();

/// Blanks between two columns.
const GAP: u16 = 2;

/// The columns beside the name, the state and the last end, with the width that they leave to the
/// latter at least: what there is no room for is left out, from the last one on.
const OPTIONAL: [(usize, u16); 3] = [(2, 12), (3, 16), (4, 20)];

/// The width that the last column needs at least.
const LAST_MIN: u16 = 12;

/// The keys, the most important ones first.
const KEYS: [&str; 10] = [
    "q quit",
    "? help",
    "/ filter",
    "a attach",
    "l logs",
    "w why",
    "r restart",
    "f wrong",
    "NSUR sort",
    "^Z suspend",
];

/// The keys while a text is shown.
const TEXT_KEYS: [&str; 3] = ["q back", "PgUp PgDn", "Home End"];

/// Draws everything.
pub(super) fn draw(frame: &mut Frame, view: &mut View, now: SystemTime) {
    let area = frame.area();
    let (title, rest) = split_first(area, area.height >= 5);
    let (body, bottom) = split_last(rest, rest.height >= 2 || view.prompt != Prompt::Keys);
    let buffer = frame.buffer_mut();
    if let Some(text) = &mut view.text {
        view.room = usize::from(body.height);
        put(buffer, title, &text.title, Modifier::BOLD.into());
        draw_text(buffer, body, text);
    } else {
        put_title(buffer, title, view, now);
        draw_table(buffer, body, view, now);
    }
    let cursor = put_prompt(buffer, bottom, view);
    if let Some(column) = cursor
        && bottom.height > 0
    {
        frame.set_cursor_position((column, bottom.y));
    }
}

/// The first line, if there is to be one, and the rest.
fn split_first(area: Rect, is_wanted: bool) -> (Rect, Rect) {
    let height = u16::from(is_wanted && area.height > 0);
    let rest = Rect { y: area.y + height, height: area.height - height, ..area };
    (Rect { height, ..area }, rest)
}

/// All but the last line, and that, if there is to be one.
fn split_last(area: Rect, is_wanted: bool) -> (Rect, Rect) {
    let height = u16::from(is_wanted && area.height > 0);
    let rest = Rect { height: area.height - height, ..area };
    (rest, Rect { y: area.y + rest.height, height, ..area })
}

/// Writes a line, cut to the area. Returns the column behind the line.
fn put(buffer: &mut Buffer, area: Rect, text: &str, style: Style) -> u16 {
    if area.is_empty() {
        return area.x;
    }
    let text = cut(text, area.width);
    let (column, _) = buffer.set_stringn(area.x, area.y, text, usize::from(area.width), style);
    column
}

/// A text that is not wider than `width` columns.
fn cut(text: &str, width: u16) -> String {
    let width = usize::from(width);
    if columns(text) <= width {
        return text.to_owned();
    }
    let mut kept = text.to_owned();
    while !kept.is_empty() && columns(&kept) >= width {
        kept.pop();
    }
    format!("{}\u{2026}", kept.trim_end())
}

/// The width of a text on the screen.
fn columns(text: &str) -> usize {
    Span::raw(text).width()
}

fn put_title(buffer: &mut Buffer, area: Rect, view: &View, now: SystemTime) {
    let wrong = view.rows().iter().filter(|row| row.is_wrong).count();
    let count = view.rows().len();
    let plural = if count == 1 { "" } else { "s" };
    let mut title = format!("{count} instance{plural}, {wrong} wrong");
    let mut add = |text: String| title = format!("{title}; {text}");
    if let Some(problem) = &view.problem {
        add(escape_control(problem));
    }
    if let Some(seconds) = view.silence {
        add(format!("no answer for {}", span(seconds)));
    }
    if view.only_wrong {
        add("only what is wrong".to_owned());
    }
    if !view.filter.is_empty() {
        add(format!("only {}", view.filter));
    }
    if view.only_wrong || !view.filter.is_empty() {
        add(format!("{} shown", view.shown().len()));
    }
    let column = put(buffer, area, &title, Modifier::BOLD.into());
    let clock = crate::sys::time::format(seconds(now), "%H:%M:%S");
    let start = area.right().saturating_sub(u16::try_from(clock.len()).unwrap_or(0));
    if start > column + GAP {
        put(buffer, Rect { x: start, width: area.right() - start, ..area }, &clock, Style::new());
    }
}

fn seconds(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(0)
}

fn draw_table(buffer: &mut Buffer, area: Rect, view: &mut View, now: SystemTime) {
    let (header, body) = split_first(area, area.height >= 2);
    view.room = usize::from(body.height);
    view.scroll();
    let cells = |row: &crate::manage::commands::status::row::Row| {
        row.cells(now).map(|cell| escape_control(&cell))
    };
    let rows: Vec<_> = view.shown().map(|(row, selected)| (row, cells(row), selected)).collect();
    let mut needed = HEADER.map(columns);
    for (_, cells, _) in &rows {
        for (needed, cell) in needed.iter_mut().zip(cells) {
            *needed = (*needed).max(columns(cell));
        }
    }
    let widths = widths(needed.map(|width| u16::try_from(width).unwrap_or(u16::MAX)), area.width);
    let sorted = view.sort.column();
    put_cells(buffer, header, &HEADER.map(str::to_owned), widths, |column| {
        let sorted = if column == sorted { Modifier::UNDERLINED } else { Modifier::empty() };
        Style::new().add_modifier(Modifier::BOLD | sorted)
    });
    let visible = rows.iter().skip(view.first).take(usize::from(body.height));
    for ((row, cells, is_selected), y) in visible.zip(body.y..) {
        let mut style = Style::new();
        if view.is_coloured {
            style = style.fg(row.colour().map_or(Color::Reset, colour));
        }
        if *is_selected {
            style = style.add_modifier(Modifier::REVERSED);
        }
        let line = Rect { y, height: 1, ..body };
        buffer.set_style(line, style);
        put_cells(buffer, line, cells, widths, |_| style);
    }
    if rows.is_empty() {
        let text = match view.rows() {
            [] if view.problem.is_none() => "no instances: manage-procs add makes one",
            [] => "",
            _ => "nothing of that kind: Esc shows all",
        };
        put(buffer, body, text, Style::new());
    }
}

/// The colour with this number (ECMA-48, SGR).
fn colour(number: u8) -> Color {
    match number {
        31 => Color::Red,
        33 => Color::Yellow,
        _ => Color::Reset,
    }
}

fn put_cells(
    buffer: &mut Buffer,
    line: Rect,
    cells: &[String; COLUMNS],
    widths: [u16; COLUMNS],
    style: impl Fn(usize) -> Style,
) {
    let mut x = line.x;
    for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
        if width > 0 && x < line.right() {
            let width = width.min(line.right() - x);
            put(buffer, Rect { x, width, ..line }, cell, style(column));
            x = x.saturating_add(width).saturating_add(GAP);
        }
    }
}

/// The widths of the columns: 0 for those that are left out. `needed` are the widths of what is in
/// them.
fn widths(needed: [u16; COLUMNS], width: u16) -> [u16; COLUMNS] {
    let mut widths = [0; COLUMNS];
    let [name, state, .., last] = &mut widths;
    let [name_needed, state_needed, ..] = needed;
    // A long name must not take the room of everything else.
    *name = name_needed.min((width * 2 / 5).max(HEADER_NAME)).min(width);
    let left = (width - *name).saturating_sub(GAP);
    if state_needed <= left {
        *state = state_needed;
    }
    let mut left = left.saturating_sub(state_needed.saturating_add(GAP));
    if *state == 0 || left < LAST_MIN {
        return widths;
    }
    *last = left;
    for (column, rest) in OPTIONAL {
        let cell = needed.get(column).copied().unwrap_or(0).saturating_add(GAP);
        if left >= cell.saturating_add(rest) {
            left -= cell;
            if let Some(place) = widths.get_mut(column) {
                *place = cell - GAP;
            }
        } else {
            break;
        }
    }
    if let Some(last) = widths.last_mut() {
        *last = left;
    }
    widths
}

/// The width of a name that is shown even where there is no room for it and a state.
const HEADER_NAME: u16 = 8;

fn draw_text(buffer: &mut Buffer, area: Rect, text: &Text) {
    let lines = text.lines.iter().skip(text.first).take(usize::from(area.height));
    for (line, y) in lines.zip(area.y..) {
        put(buffer, Rect { y, height: 1, ..area }, line, Style::new());
    }
}

/// Draws the last line. Returns the column of the cursor while something is typed.
fn put_prompt(buffer: &mut Buffer, area: Rect, view: &View) -> Option<u16> {
    let style = Style::new().add_modifier(Modifier::BOLD);
    match &view.prompt {
        Prompt::Keys => {
            let keys = if view.text.is_some() { &TEXT_KEYS[..] } else { &KEYS[..] };
            put(buffer, area, &fitting(keys, area.width), Style::new());
            None
        }
        Prompt::Message(text) => {
            put(buffer, area, &escape_control(text), style);
            None
        }
        Prompt::Filter => {
            // The end is what is being typed.
            let mut text = format!("/{}", view.filter);
            while columns(&text) >= usize::from(area.width) && !text.is_empty() {
                text.remove(0);
            }
            Some(put(buffer, area, &text, style))
        }
        Prompt::Restart(name) => {
            let question = ": restart? y/N ";
            let room = area.width.saturating_sub(u16::try_from(question.len()).unwrap_or(0));
            let name = cut(&escape_control(name), room.max(1));
            Some(put(buffer, area, &format!("{name}{question}"), style))
        }
    }
}

/// As many keys as there is room for.
fn fitting(keys: &[&str], width: u16) -> String {
    let mut line = String::new();
    for key in keys {
        let longer = if line.is_empty() { (*key).to_owned() } else { format!("{line}  {key}") };
        if longer.len() > usize::from(width) {
            break;
        }
        line = longer;
    }
    line
}
