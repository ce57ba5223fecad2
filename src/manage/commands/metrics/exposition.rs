//! Prometheus' text format, version 0.0.4, which node_exporter's textfile collector reads.
//!
//! The format wants all samples of a family behind one another, under its HELP and its TYPE, no
//! sample twice, and a line end at the end. Of a file that has anything else, no sample is taken.

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::manage::limits::LABEL_MAX;
use crate::manage::output;

/// What the value of a family does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It only rises, and begins at 0 with a new server. The name of the family ends in `_total`.
    Counter,
    /// It goes up and down.
    Gauge,
}

/// A sample: its labels, and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sample<'s> {
    pub(super) labels: Vec<(&'static str, &'s str)>,
    pub(super) value: u64,
}

/// Appends a family, unless there are no samples. Of two samples with the same labels the first
/// counts.
pub(super) fn push_family<'s>(
    text: &mut String,
    (name, kind, help): (&str, Kind, &str),
    samples: impl IntoIterator<Item = Sample<'s>>,
) {
    let mut seen = BTreeSet::new();
    for sample in samples {
        let labels: Vec<String> = sample
            .labels
            .iter()
            .map(|(label, value)| format!("{label}=\"{}\"", escape(value)))
            .collect();
        let labels = labels.join(",");
        if seen.is_empty() {
            let kind = match kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
            };
            // Writing to memory does not fail.
            let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        }
        if !seen.contains(&labels) {
            let _ = writeln!(text, "{name}{{{labels}}} {}", sample.value);
            seen.insert(labels);
        }
    }
}

/// The value of a label. It may be from a file of another user: control characters are shown as
/// escapes, and what is too long is cut.
fn escape(value: &str) -> String {
    let short: String = value.chars().take(LABEL_MAX).collect();
    output::escape_control(&short).replace('\\', r"\\").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped_and_samples_are_there_once() {
        let mut text = String::new();
        let long = "x".repeat(LABEL_MAX + 1);
        let names = ["a", "b\"c\\d", "e\nf\u{1b}[2J", long.as_str(), long.as_str(), "\u{e4}"];
        let samples =
            names.iter().map(|name| Sample { labels: vec![("name", name)], value: u64::MAX });
        push_family(&mut text, ("x_total", Kind::Counter, "A help."), samples);
        let cut = "x".repeat(LABEL_MAX);
        let expected = format!(
            "# HELP x_total A help.\n# TYPE x_total counter\n\
             x_total{{name=\"a\"}} 18446744073709551615\n\
             x_total{{name=\"b\\\"c\\\\d\"}} 18446744073709551615\n\
             x_total{{name=\"e\\\\nf\\\\u{{1b}}[2J\"}} 18446744073709551615\n\
             x_total{{name=\"{cut}\"}} 18446744073709551615\n\
             x_total{{name=\"\u{e4}\"}} 18446744073709551615\n"
        );
        assert_eq!(text, expected);
        push_family(&mut text, ("y", Kind::Gauge, "None."), []);
        assert_eq!(text, expected);
    }
}
