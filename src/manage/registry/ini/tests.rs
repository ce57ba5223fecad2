use std::io::{ErrorKind, Write};
use std::process::{Command, Stdio};

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::*;

fn value(text: &str, key: &str) -> Result<Option<String>, String> {
    Ini::parse(text).unwrap().get("a", key)
}

#[test]
fn values_go_on_in_indented_lines() {
    let text = "[a]\ncommand = x\n  # no\n  y\n\n  z\nuser: me\n";
    assert_eq!(value(text, "command").unwrap().unwrap(), "x\ny\n\nz");
    assert_eq!(value(text, "user").unwrap().unwrap(), "me");
}

#[test]
fn a_single_percent_is_itself() {
    let text = "[DEFAULT]\nTop = /t\n[a]\ncommand = %d %% %(TOP)s/%(x)s\nx = %(top)s\ny = %(y)s\n";
    assert_eq!(value(text, "command").unwrap().unwrap(), "%d % /t//t");
    assert!(value(text, "y").is_err());
    assert!(value("[a]\nx = %(none)s", "x").is_err());
    assert!(value("[a]\nx = %(a", "x").is_err());
}

#[test]
fn references_have_an_end() {
    for last in ["x", ""] {
        let mut text = format!("[a]\nk9 = {last}\n");
        for level in 0..9 {
            text += &format!("k{level} = {}\n", format!("%(k{})s", level + 1).repeat(50));
        }
        let problem = value(&text, "k1").unwrap_err();
        assert!(problem.ends_with(": becomes too long"), "{problem}");
    }
}

#[test]
fn errors_name_their_line() {
    for (text, line) in
        [("x = 1", 1), ("[a]\n\nwords", 3), ("[a]\nx=1\nX=2", 3), ("[a]\n[a]", 2), ("[a]\n=x", 2)]
    {
        assert_eq!(Ini::parse(text).unwrap_err().line, line, "{text}");
    }
}

#[test]
fn what_is_escaped_is_read_as_it_was() {
    let command = "a %d %% %(x)s = : ; # [b]";
    let text = format!("[a]\ncommand = {}", escaped(command).unwrap());
    assert_eq!(value(&text, "command").unwrap().unwrap(), command);
    assert!(escaped(" a").is_err() && escaped("a\nb").is_err());
}

/// What Python makes of each text: a line of sections, keys and values, or `error`.
const PYTHON: &str = r#"
import configparser, sys
for text in sys.stdin.buffer.read().decode().split("\0"):
    try:
        parser = configparser.ConfigParser()
        parser.read_string(text)
        found = ["%s|%s|%s" % (s, k, parser.get(s, k)) for s in parser.sections() for k in parser[s]]
        found += ["[%s]" % s for s in parser.sections()]
        out = "\1".join(sorted(found))
    except configparser.Error as error:
        out = "error"
    sys.stdout.buffer.write(out.encode() + b"\0")
"#;

fn ours(text: &str) -> String {
    let Ok(ini) = Ini::parse(text) else {
        return "error".to_owned();
    };
    let mut found = Vec::new();
    for section in ini.sections() {
        found.push(format!("[{section}]"));
        let own = ini.sections.get(section).unwrap();
        let mut keys: Vec<_> = own.keys().chain(ini.defaults.keys()).collect();
        keys.sort();
        keys.dedup();
        for key in keys {
            match ini.get(section, key) {
                Ok(value) => found.push(format!("{section}|{key}|{}", value.unwrap())),
                Err(_) => return "error".to_owned(),
            }
        }
    }
    found.sort();
    found.join("\u{1}")
}

/// Python and we, on files made of what such files are made of.
#[test]
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
    let python = Command::new("python3")
        .args(["-c", PYTHON])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut python = match python {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            eprintln!("python3 is not installed: nothing checked");
            return;
        }
        python => python.unwrap(),
    };
    let mut stdin = python.stdin.take().unwrap();
    let input = texts.join("\0");
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()).unwrap());
    let output = python.wait_with_output().unwrap();
    writer.join().unwrap();
    let theirs = String::from_utf8(output.stdout).unwrap();
    let theirs: Vec<&str> = theirs.split_terminator('\0').collect();
    assert_eq!(theirs.len(), texts.len());
    let good = theirs.iter().filter(|theirs| **theirs != "error").count();
    assert!(good > 400, "only {good} texts that Python takes");
    for (text, theirs) in texts.iter().zip(theirs) {
        assert_eq!(ours(text), theirs, "{text:?}");
    }
}
