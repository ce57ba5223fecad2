//! The inputs that fuzzing has found worth keeping, each put to the check that it was found by.
// clippy.toml exempts test functions, but not their helpers.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use procserv_ng::handover::format::decode_body;

#[path = "../fuzz/checks.rs"]
#[allow(missing_docs, unreachable_pub)]
mod checks;

/// The bytes of a state before its body: a word, format, length and digest.
const STATE_HEAD: usize = 15 + 4 + 8 + 4;

fn replay(target: &str, check: fn(&[u8])) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut count = 0;
    for file in fs::read_dir(dir).unwrap() {
        let path = file.unwrap().path();
        // Shown when the check fails.
        println!("{}", path.display());
        check(&fs::read(path).unwrap());
        count += 1;
    }
    assert!(count >= 10, "{count} files");
}

#[test]
fn telnet() {
    replay("telnet", checks::telnet);
}

#[test]
fn log_plain() {
    replay("log_plain", checks::log_plain);
}

#[test]
fn api() {
    replay("api", checks::api);
}

/// Lines like those of the corpus, changed at random.
#[test]
fn api_lines_that_are_changed_at_random() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/api");
    let corpus: Vec<Vec<u8>> =
        fs::read_dir(dir).unwrap().map(|file| fs::read(file.unwrap().path()).unwrap()).collect();
    let rounds = std::env::var("FUZZ_ROUNDS").map_or(300, |rounds| rounds.parse().unwrap());
    let mut random = fastrand::Rng::with_seed(1);
    for _ in 0..rounds {
        let mut bytes = random.choice(&corpus).cloned().unwrap();
        for _ in 0..random.usize(..6) {
            let at = random.usize(..=bytes.len());
            match random.u8(..5) {
                0 | 1 => bytes.insert(at, random.u8(..)),
                2 if at < bytes.len() => drop(bytes.remove(at)),
                3 => bytes.truncate(at),
                _ => bytes.extend_from_slice(random.choice(&corpus).unwrap()),
            }
        }
        checks::api(&bytes);
    }
}

#[test]
fn endpoint() {
    replay("endpoint", checks::endpoint);
}

#[test]
fn command_line() {
    replay("command_line", checks::command_line);
}

#[test]
fn state() {
    replay("state", checks::state);
    // What is in the corpus may be refused since a state has to have more; this one never is.
    let body = &include_bytes!("samples/state-2-1")[STATE_HEAD..];
    assert!(decode_body(body).is_ok());
    checks::state(body);
}
