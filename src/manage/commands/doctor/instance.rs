//! What would keep the server of one instance, or its child, from starting. `add` asks this before
//! the instance exists.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::unistd::{Group, User};

use super::finding::{self, Finding, Look};
use crate::config::Config;
use crate::config::endpoint::{Address, Endpoint};
use crate::manage::error::CommandError;
use crate::manage::files;
use crate::manage::output;
use crate::manage::registry::{Instance, Registry, Scope, sockets};
use crate::manage::systemd::launcher::is_program;

/// Checks instances that are about to be written, all at the same time. With `force` a problem is
/// only printed.
///
/// # Errors
/// The last thing that would keep an instance from starting; what else would has been printed.
pub(crate) fn require_startable(
    registry: &Registry,
    instances: &[Instance],
    force: bool,
) -> Result<(), CommandError> {
    let registry = Arc::new(registry.clone());
    let all = instances.iter().map(|instance| looks(&registry, &Arc::new(instance.clone())));
    let mut found = finding::take(all.flatten().collect());
    found.retain(|finding| !finding.is_hint);
    let mut texts: Vec<String> = found
        .iter()
        .map(|Finding { subject, problem, .. }| format!("{subject}: {problem}"))
        .collect();
    let refused = if force { None } else { texts.pop() };
    texts.iter().for_each(|text| output::print_error(text));
    match refused {
        None => Ok(()),
        Some(text) => Err(CommandError::new(format!("{text}; --force takes it all the same"))),
    }
}

/// The looks at one instance.
pub(super) fn looks(registry: &Arc<Registry>, instance: &Arc<Instance>) -> Vec<Look> {
    let look = |object: String, work: fn(&Registry, &Instance) -> Vec<Finding>| {
        let (registry, instance) = (Arc::clone(registry), Arc::clone(instance));
        Look::new(instance.name.clone(), object, move || work(&registry, &instance))
    };
    let mut looks = vec![
        look(instance.chdir.display().to_string(), directory),
        look(program_path(registry, instance).display().to_string(), command),
        look("its configuration".to_owned(), arguments),
    ];
    if let Some(path) = &instance.env_file {
        looks.push(look(path.clone(), environment_file));
    }
    if registry.scope == Scope::System || instance.control_group.is_some() {
        looks.push(look("the list of users and groups".to_owned(), accounts));
    }
    looks
}

fn directory(registry: &Registry, instance: &Instance) -> Vec<Finding> {
    let chdir = registry.in_root(&instance.chdir);
    let Err(error) = fs::read_dir(&chdir) else { return Vec::new() };
    let is_absent = error.kind() == ErrorKind::NotFound;
    let remedy = if is_absent { "make the directory" } else { "make the directory readable" };
    let advice = format!("{remedy}, or change chdir in {}", instance.file.display());
    vec![Finding::new(&instance.name, CommandError::file(&chdir, &error).text, advice)]
}

/// The path of the child's program, unless that is only a name. Empty without a command.
fn program_path(registry: &Registry, instance: &Instance) -> PathBuf {
    let mut program = instance.command.first().cloned().unwrap_or_default();
    if program.starts_with('-')
        && let Ok(config) = instance.server_config(registry)
    {
        program = config.child.command.to_string_lossy().into_owned();
    }
    if program.contains('/') {
        instance.chdir.join(program).components().collect()
    } else {
        program.into()
    }
}

fn command(registry: &Registry, instance: &Instance) -> Vec<Finding> {
    let path = program_path(registry, instance);
    let is_in_chdir = path.starts_with(&instance.chdir);
    // The directory is a finding of its own, and so are options that make no sense.
    if path.as_os_str().as_encoded_bytes().starts_with(b"-")
        || (is_in_chdir && fs::read_dir(registry.in_root(&instance.chdir)).is_err())
    {
        return Vec::new();
    }
    let file = instance.file.display();
    let find = |problem: String, what: &str| {
        vec![Finding::new(&instance.name, problem, format!("{what}, or change command in {file}"))]
    };
    if path.as_os_str().is_empty() {
        let advice = format!("add command = ... in {file}");
        return vec![Finding::new(&instance.name, "has no command", advice)];
    }
    if !path.is_absolute() {
        let sets_path = |text: &String| text.contains("PATH=");
        if instance.env_file.is_some()
            || instance.environment.as_ref().is_some_and(sets_path)
            || registry.scope == Scope::User
            || on_default_path(registry, &path)
        {
            return Vec::new();
        }
        return find(format!("command not found: {}", path.display()), "give its path");
    }
    let place = registry.in_root(&path);
    if !place.exists() {
        find(format!("command not found: {}", path.display()), "install it")
    } else if !is_program(&place) {
        find(format!("not executable: {}", path.display()), "make it executable")
    } else if let Some(problem) = interpreter_problem(registry, instance, &path) {
        find(problem, "install it, or change the first line of the script")
    } else {
        Vec::new()
    }
}

/// What is wrong with the interpreter of a script, which execve(2) reports as if the script itself
/// were not there.
fn interpreter_problem(registry: &Registry, instance: &Instance, script: &Path) -> Option<String> {
    let head = files::read_head(&registry.in_root(script), 256).ok()?;
    let line = head.strip_prefix(b"#!")?.split(|&byte| byte == b'\n').next()?;
    let line = String::from_utf8_lossy(line).into_owned();
    let shown = script.display();
    if line.ends_with('\r') {
        return Some(format!("{shown}: its first line ends with CR LF"));
    }
    let mut words = line.split([' ', '\t']).filter(|word| !word.is_empty());
    let interpreter = Path::new(words.next()?);
    let place = registry.in_root(&instance.chdir.join(interpreter));
    if !is_program(&place) {
        return Some(format!(
            "{shown}: its interpreter {} is not there, or is not executable",
            interpreter.display()
        ));
    }
    // env(1) looks the interpreter up.
    let name = words.next().filter(|_| interpreter.ends_with("env"))?;
    let is_name = !name.starts_with('-') && !name.contains(['/', '=']);
    let is_there = !is_name || on_default_path(registry, Path::new(name));
    (!is_there).then(|| format!("{shown}: its interpreter {name} is not found"))
}

/// Returns true if a program is in the directories where systemd's units look for one, or in those
/// of this process.
fn on_default_path(registry: &Registry, name: &Path) -> bool {
    let own = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(DEFAULT_PATH).chain(std::env::split_paths(&own));
    directories.into_iter().any(|directory| is_program(&registry.in_root(&directory.join(name))))
}

/// systemd.exec(5), "Environment variables in spawned processes".
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

fn arguments(registry: &Registry, instance: &Instance) -> Vec<Finding> {
    let (name, file) = (&instance.name, instance.file.display());
    let mut found = Vec::new();
    let config = instance.server_config(registry);
    if let Ok(config) = &config
        && instance.control_group.is_some()
    {
        found.extend(open_endpoints(instance, config));
    }
    if let Err(problem) = config
        && !instance.command.is_empty()
        && !is_about_control_group(instance, &problem)
    {
        found.push(Finding::new(
            name,
            format!("its server refuses to start: {problem}"),
            format!("correct port and options in {file}"),
        ));
    }
    let run = registry.run_directory(name);
    let left_out = sockets::left_out(&run);
    if !left_out.is_empty() {
        found.push(Finding::hint(
            name,
            format!("no sockets {} in {}: too long a path", left_out.join(", "), run.display()),
            "its console works without them; a shorter name has them",
        ));
    }
    if instance.command.first().is_some_and(|word| word.starts_with('-')) {
        found.push(Finding::hint(
            name,
            "command begins with options, which are taken as procServ's",
            format!("write them as options = ... in {file}"),
        ));
    }
    found
}

/// Returns true if a server refuses its command line because there is no such group, which the look at
/// users and groups says in better words. An image has groups of its own.
fn is_about_control_group(instance: &Instance, problem: &str) -> bool {
    let group = instance.control_group.as_deref();
    group.is_some_and(|group| problem.contains(&format!("Unknown group '{group}'")))
}

/// Endpoints where everybody may type, beside those of the group that is to.
fn open_endpoints(instance: &Instance, config: &Config) -> Vec<Finding> {
    let is_open = |endpoint: &&Endpoint| match endpoint.address {
        _ if endpoint.view => false,
        Address::Unix { mode, .. } => mode & 0o002 != 0,
        Address::Tcp(_) | Address::Abstract(_) => true,
        Address::Passed(_) => false,
    };
    let open = config.endpoints.controls.iter().filter(is_open);
    open.map(|endpoint| {
        Finding::hint(
            &instance.name,
            format!("{endpoint} is not only for control_group: who can connect there may type"),
            format!("change port and options in {}", instance.file.display()),
        )
    })
    .collect()
}

fn environment_file(registry: &Registry, instance: &Instance) -> Vec<Finding> {
    let Some(path) = instance.env_file.as_ref().filter(|path| is_literal(path)) else {
        return Vec::new();
    };
    let Err(error) = fs::metadata(registry.in_root(Path::new(path))) else { return Vec::new() };
    let advice = format!("make the file, or change env_file in {}", instance.file.display());
    vec![Finding::new(&instance.name, CommandError::system(path, &error).text, advice)]
}

/// systemd does not start a unit whose user or group does not exist (systemd.exec(5), exit statuses
/// 217 and 216).
fn accounts(registry: &Registry, instance: &Instance) -> Vec<Finding> {
    let (name, file) = (&instance.name, instance.file.display());
    let has = |kind: &str, account: &str| match &registry.root {
        _ if account.parse::<u32>().is_ok() => true,
        // systemd itself knows these.
        _ if account == "root" || (kind == "user" && account == "nobody") => true,
        None if kind == "user" => !matches!(User::from_name(account), Ok(None)),
        None => !matches!(Group::from_name(account), Ok(None)),
        Some(_) => {
            let list = if kind == "user" { "/etc/passwd" } else { "/etc/group" };
            // An image may get its users later.
            files::read(&registry.in_root(Path::new(list))).map_or(true, |list| {
                let list = String::from_utf8_lossy(&list).into_owned();
                list.lines().any(|line| line.split(':').next() == Some(account))
            })
        }
    };
    let mut found = Vec::new();
    for (key, kind, account) in [
        ("user", "user", &instance.user),
        ("group", "group", &instance.group),
        ("control_group", "group", &instance.control_group),
    ] {
        if let Some(account) = account
            && is_literal(account)
            && !has(kind, account)
        {
            found.push(Finding::new(
                name,
                format!("there is no {kind} {account}"),
                format!("make the {kind}, or change {key} in {file}"),
            ));
        }
    }
    if registry.scope == Scope::System
        && let (Some(user), None) = (&instance.user, &instance.group)
        && user != "nobody"
    {
        found.push(Finding::hint(
            name,
            format!("user without group: its group is that of user {user}"),
            format!("procServ's helper takes nogroup; say group = ... in {file}"),
        ));
    }
    found
}

/// Returns false for a file that may be missing, and for specifiers of systemd (systemd.unit(5)).
fn is_literal(value: &str) -> bool {
    !value.starts_with('-') && !value.contains('%')
}
