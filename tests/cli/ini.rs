//! The configuration files of `manage-procs` are read as Python's configparser reads them, whose files
//! they are.

use crate::harness::{cases, python};
use procserv_ng::manage::registry::ini::Ini;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use std::collections::BTreeSet;

cases![python_reads_the_same.needs("python3")];

/// What Python makes of each group of texts, which are files that are read one after the other: a line
/// of sections in their order, keys and values, or `error`; and the keys that the group has, if the
/// texts are files at all. Whatever is twice in one file is merged as if it were in two files
/// (`strict=False`). Behind that, the numbers of the files that Python refuses in its default settings.
const PYTHON: &str = r#"
import configparser, sys
for group in sys.stdin.buffer.read().decode().split("\0"):
    texts = group.split("\3")
    keys, twice = [], []
    for number, text in enumerate(texts):
        try:
            configparser.ConfigParser().read_string(text)
        except (configparser.DuplicateSectionError, configparser.DuplicateOptionError):
            twice.append(str(number))
        except configparser.Error:
            pass
    try:
        parser = configparser.ConfigParser(strict=False)
        for text in texts:
            parser.read_string(text)
        keys = [k for s in parser.sections() for k in parser[s]]
        found = ["[%s]" % s for s in parser.sections()]
        found += sorted("%s|%s|%s" % (s, k, parser.get(s, k)) for s in parser.sections() for k in parser[s])
        out = "\1".join(found)
    except configparser.Error as error:
        out, twice = "error", []
    sys.stdout.buffer.write((out + "\2" + "\1".join(keys) + "\2" + " ".join(twice)).encode() + b"\0")
"#;

/// The same from us. There is no list of our keys: it is asked for those that Python has, and for
/// some more.
fn ours(group: &str, keys: &BTreeSet<&str>) -> (String, String) {
    let mut all = Ini::default();
    let mut twice = Vec::new();
    for (number, text) in group.split('\u{3}').enumerate() {
        let ini = Ini::parse(text);
        if !ini.problems.is_empty() {
            return ("error".to_owned(), String::new());
        }
        if !ini.warnings.is_empty() {
            twice.push(number.to_string());
        }
        all.merge(ini);
    }
    let mut found: Vec<String> = all.sections().map(|section| format!("[{section}]")).collect();
    let mut values = Vec::new();
    for section in all.sections() {
        for key in keys {
            match all.get(section, key) {
                Ok(Some(value)) => values.push(format!("{section}|{key}|{value}")),
                Ok(None) => {}
                Err(_) => return ("error".to_owned(), String::new()),
            }
        }
    }
    values.sort();
    found.extend(values);
    (found.join("\u{1}"), twice.join(" "))
}

/// Python and we, on files made of what such files are made of.
fn python_reads_the_same() {
    let piece = prop_oneof![
        Just("[a]"),
        Just("[b]"),
        Just("[DEFAULT]"),
        Just("[a b] x"),
        Just("[]"),
        Just("[x]]"),
        Just("command"),
        Just("Command"),
        Just("user"),
        Just("port"),
        Just(" "),
        Just("  "),
        Just("\t"),
        Just("\n"),
        Just("\n"),
        Just("\n"),
        Just("\n  "),
        Just("\r\n"),
        Just("="),
        Just(" = "),
        Just(":"),
        Just("= "),
        Just("#"),
        Just("; no"),
        Just("%%"),
        Just("%(user)s"),
        Just("%(PORT)s"),
        Just("/bin/sh -c 'x'"),
        Just("value"),
        Just("\u{e4}"),
    ];
    let text = prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat());
    let head = prop_oneof![Just(""), Just("[a]\n"), Just("[DEFAULT]\n"), Just("[a]\nuser=x\n")];
    let text = (head, text).prop_map(|(head, text)| format!("{head}{text}"));
    let text = prop::collection::vec(text, 1..4).prop_map(|texts| texts.join("\u{3}"));
    let mut runner = TestRunner::default();
    let mut texts: Vec<String> =
        (0..1500).map(|_| text.new_tree(&mut runner).unwrap().current()).collect();
    texts.extend(["\u{feff}[a]\nx=1".into(), "[a]\n x = 1\n y = 2\n  z\n".into()]);
    let theirs = python(PYTHON, &texts);
    let theirs: Vec<Vec<&str>> =
        theirs.iter().map(|answer| answer.split('\u{2}').collect()).collect();
    let count = |is: &dyn Fn(&str) -> bool| {
        theirs.iter().zip(&texts).filter(|(theirs, text)| theirs[0] != "error" && is(text)).count()
    };
    let (good, several, defaults) = (
        count(&|_| true),
        count(&|text| text.contains('\u{3}')),
        count(&|text| text.contains("[DEFAULT]") && text.contains('\u{3}')),
    );
    assert!(good > 150 && several > 40 && defaults > 20, "{good} {several} {defaults}");
    for (text, theirs) in texts.iter().zip(&theirs) {
        let common = ["command", "user", "port", "value", "x"];
        let keys: BTreeSet<&str> = theirs[1].split('\u{1}').chain(common).collect();
        let expected = (theirs[0].to_owned(), theirs[2].to_owned());
        assert_eq!(ours(text, &keys), expected, "{text:?}");
    }
}
