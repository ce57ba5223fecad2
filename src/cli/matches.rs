//! The options that were given, asked for by their long names.

use std::ffi::OsString;

use clap::Command;

use super::getopt::Item;

/// What was given of the options of `definition`, in the order typed.
#[derive(Clone, Copy)]
pub(super) struct Matches<'a> {
    pub(super) definition: &'a Command,
    pub(super) items: &'a [Item],
}

impl<'a> Matches<'a> {
    /// Returns true if the option `id` was given.
    pub(super) fn has(self, id: &str) -> bool {
        self.occurrences(id).next().is_some()
    }

    /// Returns every value of the option `id`, in the order given.
    pub(super) fn values(self, id: &str) -> impl Iterator<Item = &'a OsString> {
        self.occurrences(id).flatten()
    }

    /// Returns the value of the option `id` that counts: the last one. A bare `--logstamp` has none
    /// and so takes no earlier one back.
    pub(super) fn value(self, id: &str) -> Option<OsString> {
        self.values(id).last().cloned()
    }

    /// Returns that of two options that was given last: they override each other.
    pub(super) fn last_of(self, ids: [&'static str; 2]) -> Option<&'static str> {
        let given = self.items.iter().rev().filter_map(Item::id);
        given.filter_map(|given| ids.into_iter().find(|&id| id == given)).next()
    }

    /// Returns each time that the option `id` was given, with its value.
    fn occurrences(self, id: &str) -> impl Iterator<Item = Option<&'a OsString>> {
        let exists = self.definition.get_arguments().any(|arg| arg.get_long() == Some(id));
        debug_assert!(exists, "no option has the name {id}");
        self.items.iter().filter_map(move |item| match item {
            Item::Option { id: given, value } if given == id => Some(value.as_ref()),
            Item::Option { .. } | Item::Problem(_) => None,
        })
    }
}
