//! Rows of the table: what was measured of each program, the ratios, the goal.

use super::server::Kind;
use super::stats::median;

/// What each program's runs gave, in the order of the rounds. A run that failed says why.
pub struct Series<T> {
    pub ours: Vec<Result<T, String>>,
    pub peer: Vec<Result<T, String>>,
    pub reference: Vec<Result<T, String>>,
}

impl<T> Series<T> {
    pub fn new() -> Series<T> {
        Series { ours: Vec::new(), peer: Vec::new(), reference: Vec::new() }
    }

    pub fn of(&mut self, kind: Kind) -> &mut Vec<Result<T, String>> {
        match kind {
            Kind::Ours => &mut self.ours,
            Kind::Peer => &mut self.peer,
            Kind::Reference => &mut self.reference,
        }
    }
}

/// Characters of a cell.
const WIDTH: usize = 9;

/// What is to be reached.
#[derive(Debug, Clone, Copy)]
pub enum Goal {
    None,
    /// ours/reference.
    ReferenceAtLeast(f64),
    ReferenceAtMost(f64),
    /// ours/procServ.
    PeerAtMost(f64),
    /// Ours alone, in the row's unit.
    AtMost(f64),
    AtLeast(f64),
    /// The first, or so many times the reference, whichever is more.
    AtMostOr(f64, f64),
    /// That it can be measured at all.
    Works,
}

/// One line of the table.
pub struct Row {
    name: String,
    unit: &'static str,
    ours: Cell,
    peer: Cell,
    reference: Cell,
    to_reference: Option<f64>,
    to_peer: Option<f64>,
    goal: Goal,
}

/// A number, or what happened instead of one; a program that was not measured is empty.
enum Cell {
    Number(f64),
    Text(String),
}

impl Cell {
    fn number(&self) -> Option<f64> {
        match self {
            Cell::Number(number) => Some(*number),
            Cell::Text(_) => None,
        }
    }

    fn show(&self) -> String {
        match self {
            Cell::Number(number) => digits(*number),
            Cell::Text(text) => {
                let short = text.split(';').next().unwrap_or_default();
                if short.len() <= WIDTH { short.to_owned() } else { "failed".to_owned() }
            }
        }
    }
}

impl Row {
    /// Medians of what `pick` takes from the runs, and the medians of the paired ratios.
    pub fn new<T>(
        name: String,
        unit: &'static str,
        series: &Series<T>,
        goal: Goal,
        pick: impl Fn(&T) -> f64,
    ) -> Row {
        let cell = |runs: &[Result<T, String>]| {
            if let Some(Err(error)) = runs.iter().find(|run| run.is_err()) {
                return Cell::Text(error.clone());
            }
            let values = runs.iter().flatten().map(&pick);
            median(values).map_or_else(|| Cell::Text("-".to_owned()), Cell::Number)
        };
        let ratio = |others: &[Result<T, String>]| {
            let pairs = series.ours.iter().zip(others);
            median(pairs.filter_map(|(ours, other)| {
                Some(pick(ours.as_ref().ok()?) / pick(other.as_ref().ok()?))
            }))
            .filter(|ratio| ratio.is_finite())
        };
        Row {
            name,
            unit,
            to_reference: ratio(&series.reference),
            to_peer: ratio(&series.peer),
            ours: cell(&series.ours),
            peer: cell(&series.peer),
            reference: cell(&series.reference),
            goal,
        }
    }

    /// Whether the goal is met; `None` without one, or if it can't be told.
    pub fn is_met(&self) -> Option<bool> {
        let Some(ours) = self.ours.number() else {
            return (!matches!(self.goal, Goal::None)).then_some(false);
        };
        match self.goal {
            Goal::None => None,
            Goal::ReferenceAtLeast(least) => Some(self.to_reference? >= least),
            Goal::ReferenceAtMost(most) => Some(self.to_reference? <= most),
            Goal::PeerAtMost(most) => Some(self.to_peer? <= most),
            Goal::AtMost(most) => Some(ours <= most),
            Goal::AtLeast(least) => Some(ours >= least),
            Goal::Works => Some(true),
            Goal::AtMostOr(most, times) => {
                let limit = self.reference.number().unwrap_or(0.0) * times;
                Some(ours <= most.max(limit))
            }
        }
    }

    /// What did not fit in the line.
    pub fn notes(&self) -> Vec<String> {
        let cells =
            [("ours", &self.ours), ("procServ", &self.peer), ("reference", &self.reference)];
        let notes = cells.into_iter().filter_map(|(program, cell)| match cell {
            Cell::Text(text) if cell.show() != *text => {
                Some(format!("{}, {}, {program}: {text}", self.name, self.unit))
            }
            _ => None,
        });
        notes.collect()
    }

    /// The line.
    pub fn show(&self) -> String {
        let ratio = |ratio: Option<f64>| ratio.map_or_else(|| "-".to_owned(), digits);
        let met = match self.is_met() {
            None => "",
            Some(true) => "met",
            Some(false) => "MISSED",
        };
        line([
            &format!("{}, {}", self.name, self.unit),
            &self.ours.show(),
            &self.peer.show(),
            &self.reference.show(),
            &ratio(self.to_reference),
            &ratio(self.to_peer),
            &self.goal_text(),
            met,
        ])
    }

    fn goal_text(&self) -> String {
        match self.goal {
            Goal::None => String::new(),
            Goal::ReferenceAtLeast(least) => format!("ours/ref >= {least}"),
            Goal::ReferenceAtMost(most) => format!("ours/ref <= {most}"),
            Goal::PeerAtMost(most) => format!("ours/peer <= {most}"),
            Goal::AtMost(most) => format!("<= {most}"),
            Goal::AtLeast(least) => format!(">= {least}"),
            Goal::Works => "arrives whole".to_owned(),
            Goal::AtMostOr(most, times) => format!("<= {most} or {times} x ref"),
        }
    }
}

/// The head of the table.
pub fn head() -> String {
    let titles = ["row", "ours", "procServ", "reference", "ours/ref", "ours/peer", "goal", ""];
    let rule = ["---", "--:", "--:", "--:", "--:", "--:", "---", "---"];
    format!("{}\n{}", line(titles), line(rule))
}

/// A line of a Markdown table.
fn line(cells: [&str; 8]) -> String {
    let [name, ours, peer, reference, to_reference, to_peer, goal, met] = cells;
    format!(
        "| {name:<44} | {ours:>9} | {peer:>9} | {reference:>9} | {to_reference:>8} | {to_peer:>9} | {goal:<22} | {met:<6} |"
    )
}

/// Three significant digits; what could not be measured is not a number.
fn digits(number: f64) -> String {
    if number.is_nan() {
        return "-".to_owned();
    }
    let places = match number.abs() {
        size if size >= 100.0 || size == 0.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        _ => 3,
    };
    format!("{number:.places$}")
}
