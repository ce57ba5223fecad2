//! getopt_long(3) of GNU, whose habits neither clap nor lexopt has: abbreviated names, errors
//! collected in GNU's words, an end at the first operand. Knows no option itself, but looks them up
//! in the definition.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use clap::{Arg, Command};

use super::options;

/// An element of the command line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// An option.
    Option {
        /// The long name, not abbreviated.
        id: String,
        /// The value; `None` if the option takes none, or if an optional one was left out.
        value: Option<OsString>,
    },
    /// An error in GNU's words, to stand after the program's name.
    Problem(Vec<u8>),
}

/// The elements of a command line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Scanned {
    /// Options and problems, in the order typed.
    pub(super) items: Vec<Item>,
    /// Everything from the first word that is neither option nor value.
    pub(super) operands: Vec<OsString>,
}

impl Item {
    /// Returns the long name of an option.
    pub(super) fn id(&self) -> Option<&str> {
        match self {
            Item::Option { id, .. } => Some(id),
            Item::Problem(_) => None,
        }
    }
}

/// Scans `words`, argv without its first, as getopt_long does with `+` in its option string.
pub(super) fn scan(definition: &Command, words: Vec<OsString>) -> Scanned {
    let mut items = Vec::new();
    let mut words = words.into_iter().peekable();
    while let Some(word) = words.next_if(|word| word.len() > 1 && word.as_bytes().starts_with(b"-"))
    {
        match word.as_bytes() {
            b"--" => break,
            [b'-', b'-', long @ ..] => items.push(scan_long(definition, long, &mut words)),
            [_, bundle @ ..] => scan_bundle(definition, bundle, &mut words, &mut items),
            [] => {}
        }
    }
    let operands = words.collect();
    Scanned { items, operands }
}

fn scan_long(
    definition: &Command,
    text: &[u8],
    words: &mut impl Iterator<Item = OsString>,
) -> Item {
    let mut halves = text.splitn(2, |&byte| byte == b'=');
    let name = halves.next().unwrap_or_default();
    let attached = halves.next();
    let found = candidates(definition, name);
    let &[(id, arg)] = found.as_slice() else {
        let typed = [b"option '--", text, b"'"].concat();
        if found.is_empty() {
            return Item::Problem([b"unrecognized ", typed.as_slice()].concat());
        }
        let list: String = found.iter().map(|(id, _)| format!(" '--{id}'")).collect();
        return Item::Problem(
            [&typed, &b" is ambiguous; possibilities:"[..], list.as_bytes()].concat(),
        );
    };
    let value = match (options::value_use(arg), attached) {
        (options::ValueUse::None, Some(_)) => {
            return Item::Problem(
                format!("option '--{id}' doesn't allow an argument").into_bytes(),
            );
        }
        (_, Some(value)) => Some(OsString::from_vec(value.to_vec())),
        (options::ValueUse::Required, None) => match words.next() {
            Some(word) => Some(word),
            None => {
                return Item::Problem(format!("option '--{id}' requires an argument").into_bytes());
            }
        },
        (options::ValueUse::None | options::ValueUse::Optional, None) => None,
    };
    let id = id.to_string();
    Item::Option { id, value }
}

/// Returns the options that `name` may mean. An extension never makes an abbreviation ambiguous that
/// procServ accepts.
fn candidates<'a>(definition: &'a Command, name: &[u8]) -> Vec<(&'a str, &'a Arg)> {
    let of_kind = |own: bool| {
        definition
            .get_arguments()
            .filter(move |arg| options::is_extension(arg) == own)
            .filter_map(|arg| Some((arg.get_long()?, arg)))
    };
    if let Some(exact) =
        of_kind(false).chain(of_kind(true)).find(|(long, _)| long.as_bytes() == name)
    {
        return vec![exact];
    }
    let abbreviated = |own| -> Vec<_> {
        of_kind(own).filter(|(long, _)| long.as_bytes().starts_with(name)).collect()
    };
    let original = abbreviated(false);
    if original.is_empty() { abbreviated(true) } else { original }
}

fn scan_bundle(
    definition: &Command,
    bundle: &[u8],
    words: &mut impl Iterator<Item = OsString>,
    items: &mut Vec<Item>,
) {
    let mut rest = bundle;
    while let [letter, tail @ ..] = rest {
        rest = tail;
        let arg =
            definition.get_arguments().find(|arg| arg.get_short() == Some(char::from(*letter)));
        let Some((id, arg)) = arg.and_then(|arg| Some((arg.get_long()?, arg))) else {
            items.push(Item::Problem([b"invalid option -- '", &[*letter][..], b"'"].concat()));
            continue;
        };
        let value = match options::value_use(arg) {
            options::ValueUse::None | options::ValueUse::Optional => None,
            options::ValueUse::Required => {
                let attached = std::mem::take(&mut rest);
                let value = if attached.is_empty() {
                    words.next()
                } else {
                    Some(OsString::from_vec(attached.to_vec()))
                };
                if value.is_none() {
                    items.push(Item::Problem(
                        [b"option requires an argument -- '", &[*letter][..], b"'"].concat(),
                    ));
                    return;
                }
                value
            }
        };
        let id = id.to_string();
        items.push(Item::Option { id, value });
    }
}
