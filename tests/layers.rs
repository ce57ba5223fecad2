//! The folders of `src` depend on each other in one direction only: every `use` line and every
//! `crate::` path is checked against a table of allowed arrows.
// clippy.toml exempts test functions, but not their helpers.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Each folder or single file, with what it may import. A parent and its own subfolders may import
/// each other, as Rust's modules are built that way; `sim` and `tests` may import everything.
const ALLOWED: &[(&str, &[&str])] = &[
    ("limits", &[]),
    ("sys", &[]),
    ("sys/process/exit_status", &[]),
    ("telnet", &[]),
    ("reply_filter", &["limits"]),
    ("config", &[]),
    ("cli", &["config", "limits"]),
    ("console", &["config", "limits", "sys/process/exit_status", "telnet"]),
    ("console/stream", &["limits", "reply_filter", "telnet"]),
    ("console/child", &["config", "limits"]),
    ("console/clients", &["config", "console/child", "console/stream", "limits", "telnet"]),
    ("handover", &["console", "sys"]),
    ("systemd", &["config", "sys"]),
    ("server", &["config", "console", "console/child", "handover", "limits", "sys"]),
    ("server/writers", &["config", "console", "limits", "sys"]),
    ("server/os", &["config", "console", "handover", "limits", "server/writers", "sys", "systemd"]),
    (
        "server/records",
        &[
            "config",
            "console",
            "console/child",
            "event_text",
            "handover",
            "limits",
            "server/os",
            "server/writers",
            "sys",
        ],
    ),
    (
        "server/api",
        &["config", "console", "console/clients", "handover", "limits", "server/records"],
    ),
    (
        "server/event_loop",
        &[
            "config",
            "console",
            "console/clients",
            "handover",
            "limits",
            "server/api",
            "server/os",
            "server/records",
            "server/writers",
            "sys",
        ],
    ),
    (
        "server/startup",
        &[
            "cli",
            "config",
            "console",
            "handover",
            "limits",
            "server/api",
            "server/event_loop",
            "server/os",
            "server/records",
            "server/writers",
            "sys",
            "systemd",
        ],
    ),
    ("event_text", &[]),
    ("manage", &["sys"]),
    ("manage/registry", &["cli", "config"]),
    ("manage/inspect", &["cli", "config", "event_text", "manage/registry", "sys"]),
    ("manage/systemd", &["manage/registry", "sys"]),
    ("manage/hosts", &["manage/registry", "reply_filter", "sys"]),
    (
        "manage/commands",
        &[
            "config",
            "event_text",
            "manage/hosts",
            "manage/inspect",
            "manage/registry",
            "manage/systemd",
            "reply_filter",
            "sys",
        ],
    ),
    (
        "manage/commands/attach",
        &["config", "manage/inspect", "manage/registry", "reply_filter", "sys", "telnet"],
    ),
];

/// Folders and files that are compiled for tests only.
const TEST_ONLY: &[&str] = &["sim", "sim_support", "tests"];

/// The name of the part that a module path such as `["server", "os", "kernel"]` lies in.
fn part_of(path: &[String]) -> Option<&'static str> {
    (1..=path.len()).rev().find_map(|length| {
        let name = path.get(..length)?.join("/");
        ALLOWED.iter().map(|(part, _)| *part).find(|part| **part == name)
    })
}

/// The module path of a file of `src`.
fn module_of(file: &Path) -> Vec<String> {
    let mut path: Vec<String> =
        file.with_extension("").iter().map(|part| part.to_str().unwrap().to_owned()).collect();
    if path.last().is_some_and(|last| last == "mod") {
        path.pop();
    }
    path
}

fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The code of a file without its comments.
fn code(text: &str) -> String {
    text.lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join("\n")
}

/// The absolute module paths that a text names, by `crate::`, `super::` or `self::`.
fn paths(text: &str, module: &[String]) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for root in ["crate::", "super::", "self::"] {
        for (at, _) in text.match_indices(root) {
            let before = text[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':' || c == '$') {
                continue;
            }
            expand(&text[at..], &mut Vec::new(), module, &mut found);
        }
    }
    found
}

/// Follows one path, through the braces of a `use` tree.
fn expand(text: &str, prefix: &mut Vec<String>, module: &[String], found: &mut Vec<Vec<String>>) {
    let text = text.trim_start();
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    if let Some(tree) = text.strip_prefix('{') {
        let mut depth = 0;
        let mut start = 0;
        for (at, c) in tree.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth > 0 => depth -= 1,
                ',' | '}' if depth == 0 => {
                    expand(&tree[start..at], &mut prefix.clone(), module, found);
                    start = at + 1;
                    if c == '}' {
                        break;
                    }
                }
                _ => {}
            }
        }
        return;
    }
    match word {
        "crate" => prefix.clear(),
        "self" if prefix.is_empty() => prefix.extend_from_slice(module),
        "super" => {
            if prefix.is_empty() {
                prefix.extend_from_slice(module);
            }
            prefix.pop();
        }
        "" | "self" => {}
        word => prefix.push(word.to_owned()),
    }
    match rest.strip_prefix("::") {
        Some(rest) if !word.is_empty() => expand(rest, prefix, module, found),
        _ => found.push(prefix.clone()),
    }
}

#[test]
fn folders_import_in_one_direction_only() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut all = Vec::new();
    files(&source, &mut all);
    let mut arrows: BTreeMap<(&str, &str), BTreeSet<String>> = BTreeMap::new();
    for file in &all {
        let relative = file.strip_prefix(&source).unwrap();
        let module = module_of(relative);
        if module.iter().any(|part| TEST_ONLY.contains(&part.as_str()) || part == "bin") {
            continue;
        }
        let text = fs::read_to_string(file).unwrap();
        // The unit tests at the end of a file may import what they like.
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let Some(from) = part_of(&module) else {
            assert_eq!(module, ["lib"], "{} is in no part of the table", relative.display());
            continue;
        };
        for path in paths(&code(text), &module) {
            if let Some(to) = part_of(&path)
                && to != from
            {
                arrows.entry((from, to)).or_default().insert(relative.display().to_string());
            }
        }
    }
    let is_parent =
        |one: &str, other: &str| one.strip_prefix(other).is_some_and(|rest| rest.starts_with('/'));
    let mut wrong = Vec::new();
    for ((from, to), files) in &arrows {
        let allowed = ALLOWED.iter().find(|(part, _)| part == from).map(|(_, allowed)| *allowed);
        let is_family = is_parent(from, to) || is_parent(to, from);
        if !is_family && !allowed.unwrap_or_default().contains(to) {
            wrong.push(format!("{from} -> {to}: {files:?}"));
        }
    }
    assert!(wrong.is_empty(), "arrows that the table does not allow:\n{}", wrong.join("\n"));
    // An entry of the table that no import needs any more is removed.
    let unused: Vec<String> = ALLOWED
        .iter()
        .flat_map(|(from, allowed)| allowed.iter().map(move |to| (*from, *to)))
        .filter(|arrow| !arrows.contains_key(arrow))
        .map(|(from, to)| format!("{from} -> {to}"))
        .collect();
    assert!(unused.is_empty(), "arrows of the table that nothing needs: {unused:?}");
}

#[test]
fn the_table_has_no_circle() {
    // A part whose imports have all been placed can be placed itself.
    let mut placed: BTreeSet<&str> = BTreeSet::new();
    loop {
        let next = ALLOWED.iter().find(|(part, allowed)| {
            !placed.contains(part) && allowed.iter().all(|to| placed.contains(to))
        });
        let Some((part, _)) = next else { break };
        placed.insert(part);
    }
    let left: Vec<&str> =
        ALLOWED.iter().map(|(part, _)| *part).filter(|part| !placed.contains(part)).collect();
    assert!(left.is_empty(), "these import each other: {left:?}");
}
