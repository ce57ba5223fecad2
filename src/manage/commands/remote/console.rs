//! Commands about a single instance on another host: `attach`, `send`, `why`, and those that need a
//! terminal there.

use std::io::IsTerminal;
use std::os::unix::process::CommandExt;

use clap::ArgMatches;

use super::{Request, answer, locate, prefix};
use crate::manage::commands::fallback;
use crate::manage::error::{CommandError, CommandResult};
use crate::manage::hosts::arguments::Arguments;
use crate::manage::hosts::run::Job;
use crate::manage::hosts::{Host, command, host, lines};
use crate::manage::limits::{ANSWER_TIMEOUT, HOST_REPORT_TIMEOUT};
use crate::manage::output;
use crate::manage::registry::pattern::Patterns;
use crate::manage::registry::{Registry, check_name};
use crate::sys::process::left_behind::{self, Outcome};

/// The beginnings of endpoints, which are no hosts.
const ENDPOINTS: [&str; 4] = ["unix", "tcp", "raw", "view"];

/// The host in `attach HOST:NAME`, which is taken out of the arguments. `None` if the text is an
/// instance of this machine or an endpoint.
pub(super) fn host_of_name(
    matches: &ArgMatches,
    arguments: &mut Arguments,
    is_default: bool,
) -> Option<Host> {
    if !matches!(arguments.command.as_str(), "attach" | "send" | "why") {
        return None;
    }
    let text = arguments.words.first()?.to_str()?.to_owned();
    let (host, name) = host::split_name(&text)?;
    let is_port = name.bytes().all(|byte| byte.is_ascii_digit());
    if is_port || ENDPOINTS.contains(&host.as_str()) || check_name(name).is_err() {
        return None;
    }
    if is_here(matches, &text, is_default) {
        return None;
    }
    set_name(arguments, name);
    Some(host)
}

fn set_name(arguments: &mut Arguments, name: &str) {
    if let Some(word) = arguments.words.first_mut() {
        *word = name.into();
    }
}

/// Returns true if this machine has an instance of that name, whose name may have a colon, or if that
/// is not known.
fn is_here(matches: &ArgMatches, name: &str, is_default: bool) -> bool {
    if check_name(name).is_err() {
        return false;
    }
    let Ok(registry) = Registry::new(matches) else { return false };
    let machine = fallback::machine(&registry).filter(|_| is_default);
    let is_in = |registry: &Registry| {
        let configured = registry.configured();
        configured.is_ok_and(|found| found.instances.contains_key(name))
            || registry.run_directory(name).exists()
    };
    let look = || vec![u8::from([Some(registry), machine].iter().flatten().any(is_in))];
    // A disk may not answer, and no thread may be left that waits for it.
    match left_behind::run(Some(ANSWER_TIMEOUT), look) {
        Ok(Outcome::Done(answer)) => answer.first() != Some(&0),
        _ => true,
    }
}

/// Runs the command on the host that has the instance.
///
/// # Errors
/// Several hosts, or none, with an instance of that name; a host that does not answer.
pub(super) fn run(name: &str, mut request: Request) -> CommandResult {
    let is_terminal = std::io::stdin().is_terminal();
    if matches!(name, "edit" | "remove") && request.hosts.len() > 1 {
        if name == "remove" && !is_terminal {
            return prefix::run(&request);
        }
        let force = if name == "remove" { "; --force does not ask" } else { "" };
        return Err(CommandError::usage(format!("{name} needs a terminal on one host{force}")));
    }
    let host = find(name, &mut request)?;
    let job = Job { host: host.clone(), arguments: request.arguments.clone() };
    match name {
        "why" if request.json => {
            let answers = answer::ask(&[job], Some(HOST_REPORT_TIMEOUT));
            for answer in &answers {
                if let Err(problem) = &answer.result {
                    return Err(CommandError::new(format!("{host}: {problem}")));
                }
                answer::print_object(answer)?;
            }
            Ok(answer::worst(&answers))
        }
        "why" | "send" => {
            prefix::print_lines(&[job], |_, line| output::print(&lines::shown(&line)))
        }
        "remove" if !is_terminal => prefix::run(&request),
        _ => {
            let mut command = command::on_terminal(&host, &request.arguments, is_terminal);
            // Returns only if there is no ssh.
            Err(CommandError::system("ssh", &command.exec()))
        }
    }
}

/// The host of the instance: the only one, the one that the name begins with, or the one that has an
/// instance of that name.
fn find(command: &str, request: &mut Request) -> Result<Host, CommandError> {
    let text = request.arguments.words.first().and_then(|word| word.to_str()).map(str::to_owned);
    let text = text.ok_or_else(|| CommandError::usage("the name of an instance is not UTF-8"))?;
    let named = host::split_name(&text);
    let named = named.and_then(|(host, name)| Some((request.known(&host)?, name)));
    if let Some((host, name)) = named {
        set_name(&mut request.arguments, name);
        return Ok(host);
    }
    if let [host] = &request.hosts[..] {
        return Ok(host.clone());
    }
    check_name(&text).map_err(CommandError::usage)?;
    let located = locate::locate(request, &Patterns::parse(&[&text])?)?;
    match &located.found[..] {
        [(host, _)] => Ok(host.clone()),
        [] => {
            let problem = |(host, problem): &(Host, String)| format!("{host}: {problem}");
            let problems: Vec<String> = located.failed.iter().map(problem).collect();
            Err(CommandError::new(problems.join("; ")))
        }
        several => {
            let command = |(host, _): &(Host, Vec<String>)| format!("{command} {host}:{text}");
            let commands: Vec<String> = several.iter().map(command).collect();
            let text = format!("several hosts have {text}: {}", commands.join(", "));
            Err(CommandError::usage(text))
        }
    }
}
