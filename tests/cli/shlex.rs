//! Values of the configuration files of `manage-procs` are taken apart as Python's `shlex.split`
//! does it, whose files they are.

use crate::harness::{cases, python};
use procserv_ng::manage::registry::shlex;

cases![python_splits_the_same.needs("python3")];

/// The words that Python makes of each text, or `error`.
const PYTHON: &str = r#"
import shlex, sys
for text in sys.stdin.buffer.read().decode().split("\0"):
    try:
        out = "".join(word + "\1" for word in shlex.split(text))
    except ValueError:
        out = "error"
    sys.stdout.buffer.write(out.encode() + b"\0")
"#;

fn ours(text: &str) -> String {
    match shlex::split(text) {
        Ok(words) => words.iter().map(|word| format!("{word}\u{1}")).collect(),
        Err(_) => "error".to_owned(),
    }
}

/// Python and we, on texts made of what means something in one shell or another, and on lines that
/// `add` writes.
fn python_splits_the_same() {
    let pieces = [
        "a", "b", "\u{e4}", " ", " ", "\t", "\n", "\r", "\u{b}", "\u{a0}", "'", "'", "\"", "\"",
        "\\", "\\", "\\\\", "#", " #", "$", "`", "*", "~", ";", "|", "&", "(", "%", "!", "^", "=",
        "''", "\"\"",
    ];
    let mut random = fastrand::Rng::with_seed(1);
    let mut some = |most| -> String {
        (0..random.usize(..=most)).map(|_| pieces[random.usize(..pieces.len())]).collect()
    };
    let mut texts: Vec<String> = (0..4000).map(|_| some(12)).collect();
    let lines: Vec<Vec<String>> = (0..1000).map(|_| (0..3).map(|_| some(4)).collect()).collect();
    texts.extend(lines.iter().map(|words| shlex::join(words)));
    let theirs = python(PYTHON, &texts);
    let good = theirs.iter().filter(|theirs| *theirs != "error").count();
    assert!(good > 2000, "only {good} texts that Python takes");
    for (text, theirs) in texts.iter().zip(&theirs) {
        assert_eq!(ours(text), *theirs, "{text:?}");
    }
    for (words, theirs) in lines.iter().zip(&theirs[4000..]) {
        let words: String = words.iter().map(|word| format!("{word}\u{1}")).collect();
        assert_eq!(words, *theirs);
    }
}
