//! Commands on other hosts, and what these say as one answer. A command runs on all hosts at the same
//! time; a host that does not answer is told of and costs the others nothing.

mod answer;
mod console;
mod locate;
mod prefix;
mod status;
mod stream;
mod tables;

use clap::ArgMatches;

use crate::manage::cli;
use crate::manage::error::{CommandError, CommandResult};
use crate::manage::hosts::arguments::Arguments;
use crate::manage::hosts::run::Job;
use crate::manage::hosts::{Host, group};

/// A command for hosts.
struct Request<'m> {
    hosts: Vec<Host>,
    arguments: Arguments,
    /// The options of the command.
    matches: &'m ArgMatches,
    json: bool,
}

impl Request<'_> {
    /// The command, as it is, for each host.
    fn jobs(&self, arguments: &Arguments) -> Vec<Job> {
        let job = |host: &Host| Job { host: host.clone(), arguments: arguments.clone() };
        self.hosts.iter().map(job).collect()
    }

    /// The host as it is among those of the command, with the same user or without one.
    fn known(&self, host: &Host) -> Option<Host> {
        let is_it = |known: &&Host| *known == host || known.without_user() == host.as_str();
        self.hosts.iter().find(is_it).cloned()
    }

    fn flag(&self, option: &str) -> bool {
        self.matches.get_flag(option)
    }

    fn value(&self, option: &str) -> Option<&str> {
        self.matches.get_one::<String>(option).map(String::as_str)
    }
}

/// Runs a command on the hosts that `--host` selects, or on the one before the name of an instance.
/// `None` if the command is for this machine. The exit status is the largest of the hosts', where one
/// that can't be asked counts as 1.
///
/// # Errors
/// A text that is no host; a command that can't run on hosts; no instance that a pattern matches.
pub(crate) fn run(matches: &ArgMatches, is_default: bool) -> Option<CommandResult> {
    let (name, given) = matches.subcommand()?;
    // The option of this name is that of the command.
    let hosts = match name {
        "write-procs-cf" => None,
        _ => given.get_one::<String>("host"),
    };
    let mut arguments = Arguments::of(&cli::definition(), matches)?;
    let hosts = match hosts {
        Some(text) => group::hosts(text),
        None => Ok(vec![console::host_of_name(matches, &mut arguments, is_default)?]),
    };
    Some(hosts.and_then(|hosts| {
        let json = given.get_flag("json");
        command(name, Request { hosts, arguments, matches: given, json })
    }))
}

fn command(name: &str, request: Request) -> CommandResult {
    match name {
        "attach" | "send" | "why" | "edit" => console::run(name, request),
        "remove" if !request.flag("force") => console::run(name, request),
        "status" if !request.flag("plain") => status::status(&request),
        "list" => tables::list(&request),
        "doctor" => tables::doctor(&request),
        "upgrade" => tables::upgrade(&request),
        "events" | "logs" => stream::stream(name, request),
        "top" => Err(CommandError::usage("top shows this machine only: status shows other hosts")),
        "metrics" => Err(CommandError::usage("metrics: Prometheus asks each host by itself")),
        _ => prefix::run(&request),
    }
}
