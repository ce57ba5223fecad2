//! The configuration files of `manage-procs` are read as Python's configparser reads them, whose files
//! they are.

use crate::harness::{cases, python};
use procserv_ng::manage::registry::ini::Ini;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use std::collections::BTreeSet;

cases![python_reads_the_same.needs("python3")];

/// What Python makes of each text: a line of sections, keys and values, or `error`; and the keys it
/// has, if the text is a file at all.
const PYTHON: &str = r#"
import configparser, sys
for text in sys.stdin.buffer.read().decode().split("\0"):
    keys = []
    try:
        parser = configparser.ConfigParser()
        parser.read_string(text)
        keys = [k for s in parser.sections() for k in parser[s]]
        found = ["%s|%s|%s" % (s, k, parser.get(s, k)) for s in parser.sections() for k in parser[s]]
        found += ["[%s]" % s for s in parser.sections()]
        out = "\1".join(sorted(found))
    except configparser.Error as error:
        out = "error"
    sys.stdout.buffer.write((out + "\2" + "\1".join(keys)).encode() + b"\0")
"#;

/// The same from us. There is no list of our keys: it is asked for those that Python has in
/// any text.
fn ours(text: &str, keys: &BTreeSet<&str>) -> String {
    let Ok(ini) = Ini::parse(text) else {
        return "error".to_owned();
    };
    let mut found = Vec::new();
    for section in ini.sections() {
        found.push(format!("[{section}]"));
        for key in keys {
            match ini.get(section, key) {
                Ok(Some(value)) => found.push(format!("{section}|{key}|{value}")),
                Ok(None) => {}
                Err(_) => return "error".to_owned(),
            }
        }
    }
    found.sort();
    found.join("\u{1}")
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
    let text = (any::<bool>(), text)
        .prop_map(|(section, text)| if section { format!("[a]\n{text}") } else { text });
    let mut runner = TestRunner::default();
    let mut texts: Vec<String> =
        (0..4000).map(|_| text.new_tree(&mut runner).unwrap().current()).collect();
    texts.extend(["\u{feff}[a]\nx=1".into(), "[a]\n x = 1\n y = 2\n  z\n".into()]);
    let theirs = python(PYTHON, &texts);
    let theirs = theirs.iter().map(|both| both.split_once('\u{2}').unwrap());
    let (theirs, keys): (Vec<&str>, Vec<&str>) = theirs.unzip();
    let good = theirs.iter().filter(|theirs| **theirs != "error").count();
    assert!(good > 400, "only {good} texts that Python takes");
    let keys: BTreeSet<&str> = keys.iter().flat_map(|keys| keys.split('\u{1}')).collect();
    for (text, theirs) in texts.iter().zip(theirs) {
        assert_eq!(ours(text, &keys), theirs, "{text:?}");
    }
}
