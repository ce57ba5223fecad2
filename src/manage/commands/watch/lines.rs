//! The lines that `watch` prints (docs/json.md). What the reader has not taken yet is kept once for each
//! instance, in its newest state.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};

use serde_json::{Value, json};

use crate::manage::commands::status::json::VERSION;

/// What has to be printed.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// What has changed since it was printed: the object of an instance, or `None` if it is gone.
    pending: BTreeMap<String, Option<Value>>,
    /// The instances that the reader knows.
    printed: BTreeSet<String>,
    /// The instance that was printed last: the next line is about one behind it, so that none waits for
    /// others that change all the time.
    last: String,
    /// Why the instances can't be looked at.
    trouble: Option<String>,
    /// The same as it was printed.
    printed_trouble: Option<String>,
    is_table_printed: bool,
}

impl Lines {
    /// Takes what has changed.
    pub(super) fn take(&mut self, changed: BTreeMap<String, Value>, removed: Vec<String>) {
        self.pending.extend(changed.into_iter().map(|(name, object)| (name, Some(object))));
        for name in removed {
            if self.printed.contains(&name) {
                self.pending.insert(name, None);
            } else {
                self.pending.remove(&name);
            }
        }
    }

    /// Takes the reason why the instances can't be looked at, if they can't.
    pub(super) fn take_trouble(&mut self, trouble: Option<String>) {
        self.trouble = trouble;
    }

    /// The next line, which the caller prints. `None` if there is nothing new.
    pub(super) fn next(&mut self) -> Option<String> {
        if !self.is_table_printed {
            self.is_table_printed = true;
            let all = std::mem::take(&mut self.pending);
            self.printed = all.keys().cloned().collect();
            let all: Vec<Value> = all.into_values().flatten().collect();
            return Some(line(&json!({ "version": VERSION, "type": "table", "instances": all })));
        }
        if self.trouble != self.printed_trouble {
            self.printed_trouble = self.trouble.clone();
            return Some(line(&json!({ "type": "trouble", "problem": self.trouble })));
        }
        let behind = (Excluded(self.last.clone()), Unbounded);
        let name = self.pending.range(behind).next().or_else(|| self.pending.iter().next())?.0;
        self.last = name.clone();
        match self.pending.remove(&self.last)? {
            Some(object) => {
                self.printed.insert(self.last.clone());
                Some(line(&json!({ "type": "changed", "instance": object })))
            }
            None => {
                self.printed.remove(&self.last);
                Some(line(&json!({ "type": "removed", "name": self.last })))
            }
        }
    }
}

fn line(value: &Value) -> String {
    format!("{value}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects(states: &[(&str, u32)]) -> BTreeMap<String, Value> {
        states.iter().map(|(name, state)| ((*name).to_owned(), json!(state))).collect()
    }

    fn all(lines: &mut Lines) -> Vec<Value> {
        std::iter::from_fn(|| lines.next())
            .map(|line| serde_json::from_str(&line).unwrap())
            .collect()
    }

    #[test]
    fn only_the_newest_state_waits() {
        let mut lines = Lines::default();
        lines.take(objects(&[("a", 1), ("b", 1)]), Vec::new());
        let table = json!({ "version": 1, "type": "table", "instances": [1, 1] });
        assert_eq!(all(&mut lines), [table]);
        for state in 2..100 {
            lines.take(objects(&[("a", state)]), Vec::new());
            let name = format!("passing-{state}");
            lines.take(objects(&[(&name, 1)]), Vec::new());
            lines.take(BTreeMap::new(), vec![name]);
        }
        lines.take(BTreeMap::new(), vec!["b".to_owned()]);
        assert_eq!(lines.pending.len(), 2);
        let changed = json!({ "type": "changed", "instance": 99 });
        assert_eq!(all(&mut lines), [changed, json!({ "type": "removed", "name": "b" })]);
        assert_eq!(lines.printed.len(), 1);
    }

    #[test]
    fn no_instance_waits_for_one_that_changes_all_the_time() {
        let mut lines = Lines::default();
        lines.take(objects(&[("a", 1), ("b", 1)]), Vec::new());
        lines.next();
        lines.take(objects(&[("a", 2), ("b", 2)]), Vec::new());
        let mut seen = Vec::new();
        for state in 3..5 {
            seen.push(lines.next().unwrap());
            lines.take(objects(&[("a", state)]), Vec::new());
        }
        assert_eq!(seen[1], "{\"instance\":2,\"type\":\"changed\"}\n");
    }

    #[test]
    fn trouble_is_told_once_and_its_end_too() {
        let mut lines = Lines::default();
        lines.take(objects(&[]), Vec::new());
        lines.next();
        lines.take_trouble(Some("no disk".to_owned()));
        lines.take_trouble(Some("no disk".to_owned()));
        assert_eq!(all(&mut lines), [json!({ "type": "trouble", "problem": "no disk" })]);
        lines.take_trouble(None);
        lines.take(objects(&[("a", 1)]), Vec::new());
        let over = json!({ "type": "trouble", "problem": null });
        assert_eq!(all(&mut lines), [over, json!({ "type": "changed", "instance": 1 })]);
    }
}
