//! What would keep an instance from starting.

use std::fs::File;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use nix::unistd::{Group, User};

use crate::manage::error::CommandError;
use crate::manage::registry::{Instance, Registry, Scope};
use crate::manage::systemd::launcher::is_program;

/// The problems of an instance on this machine or in an image, a line each.
pub(crate) fn problems(registry: &Registry, instance: &Instance) -> Vec<String> {
    let mut found = Vec::new();
    let chdir = &instance.chdir;
    // systemd expands specifiers in these values.
    let is_plain = |text: &str| !text.contains('%');
    if is_plain(&chdir.to_string_lossy()) && !registry.in_root(chdir).is_dir() {
        found.push(format!("chdir: {} is not a directory", chdir.display()));
    } else if let Some(word) = instance.command.first().filter(|word| !word.starts_with('-')) {
        found.extend(program(registry, chdir, word));
    }
    if let Err(problem) = instance.server_config(registry) {
        found.push(format!("its server refuses to start: {problem}"));
    }
    if let Some(path) = &instance.env_file
        && !path.starts_with('-')
        && is_plain(path)
        && let Err(error) = registry.in_root(Path::new(path)).metadata()
    {
        found.push(CommandError::system(format!("env_file: {path}"), &error).text);
    }
    if registry.scope == Scope::System {
        let user = instance.user.as_deref().filter(|user| is_plain(user));
        if user.is_some_and(|user| !is_known(registry, "/etc/passwd", user)) {
            found.push(format!("user: there is no user {}", user.unwrap_or_default()));
        }
        let group = instance.group.as_deref().filter(|group| is_plain(group));
        if group.is_some_and(|group| !is_known(registry, "/etc/group", group)) {
            found.push(format!("group: there is no group {}", group.unwrap_or_default()));
        }
    }
    found
}

/// Returns true if there is a user or group of this name or number. `file` is where those of the
/// system are; an image without such a file is not complete, and nothing is known of it.
fn is_known(registry: &Registry, file: &str, name: &str) -> bool {
    if name.bytes().all(|byte| byte.is_ascii_digit()) {
        return true;
    }
    if registry.root.is_some() {
        return !registry.in_root(Path::new(file)).exists() || registry.has_entry(file, name);
    }
    match file {
        "/etc/group" => !matches!(Group::from_name(name), Ok(None)),
        _ => !matches!(User::from_name(name), Ok(None)),
    }
}

/// What is wrong with the child's program.
fn program(registry: &Registry, chdir: &Path, word: &str) -> Option<String> {
    if !word.contains('/') {
        return (!on_path(registry, word))
            .then(|| format!("{}: is not there, nor in PATH", chdir.join(word).display()));
    }
    let path = normalized(&chdir.join(word));
    let inside = registry.in_root(&path);
    if !inside.exists() {
        return Some(format!("{}: is not there", path.display()));
    }
    if !is_program(&inside) {
        return Some(format!("{}: is not executable", path.display()));
    }
    let interpreter = interpreter(&inside)?;
    let is_there = registry.in_root(&chdir.join(&interpreter)).exists();
    (!is_there).then(|| format!("{}: its interpreter {interpreter} is not there", path.display()))
}

/// The program that executes a script (execve(2)).
fn interpreter(script: &Path) -> Option<String> {
    let mut head = Vec::new();
    File::open(script).ok()?.take(256).read_to_end(&mut head).ok()?;
    let line = head.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let line = String::from_utf8_lossy(line).into_owned();
    line.split_ascii_whitespace().next().map(str::to_owned)
}

/// Returns true if PATH has a program of this name.
pub(super) fn on_path(registry: &Registry, program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .any(|directory| is_program(&registry.in_root(&directory.join(program))))
}

/// A path without `.` and `..`.
pub(super) fn normalized(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                normal.pop();
            }
            part => normal.push(part),
        }
    }
    normal
}
