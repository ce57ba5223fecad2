//! The file with the hosts of a site: a host on each line, behind `#` a comment. A line `[NAME]`
//! begins a group of this name.

use std::io::ErrorKind;

use super::Host;
use crate::manage::error::CommandError;
use crate::manage::files;
use crate::manage::registry::{Registry, Scope};

/// A host, and the group that it is in. A host before the first group is in a group without a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) group: String,
    pub(crate) host: Host,
}

/// The group with all hosts of the file.
const ALL: &str = "all";

/// Reads such a file.
///
/// # Errors
/// A line that is no host, or an empty name of a group.
pub(crate) fn parse(text: &str) -> Result<Vec<Member>, String> {
    let mut members = Vec::new();
    let mut group = String::new();
    for line in text.lines().filter_map(|line| line.split('#').next()).map(str::trim) {
        // An address of IPv6 may be in brackets.
        let heading = line.strip_prefix('[').and_then(|line| line.strip_suffix(']'));
        match heading.map(str::trim).filter(|heading| !heading.contains(':')) {
            Some("") => return Err("a group has no name".to_owned()),
            Some(name) => name.clone_into(&mut group),
            None if line.is_empty() => {}
            None => members.push(Member { group: group.clone(), host: Host::parse(line)? }),
        }
    }
    Ok(members)
}

/// Reads `[USER@]HOST[,...]`, where `@GROUP` stands for the hosts of a group. No host is in the
/// result twice.
///
/// # Errors
/// A text that is no host; a group that is not there or is empty; a file that can't be read.
pub(crate) fn hosts(text: &str) -> Result<Vec<Host>, CommandError> {
    let mut hosts: Vec<Host> = Vec::new();
    for word in text.split(',').map(str::trim) {
        let found = match word.strip_prefix('@') {
            Some(group) => group_hosts(group)?,
            None => vec![Host::parse(word).map_err(wrong)?],
        };
        for host in found {
            if !hosts.contains(&host) {
                hosts.push(host);
            }
        }
    }
    Ok(hosts)
}

fn wrong(what: String) -> CommandError {
    CommandError::usage(format!("--host: {what}"))
}

/// The hosts of a group. The file of the user comes before that of the machine.
fn group_hosts(group: &str) -> Result<Vec<Host>, CommandError> {
    let mut paths = Vec::new();
    for scope in [Scope::User, Scope::System] {
        let Ok(registry) = Registry::open(scope, None) else { continue };
        let path = registry.hosts_file();
        let text = match files::read_text(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            text => text.map_err(|error| CommandError::file(&path, &error))?,
        };
        let members = parse(&text)
            .map_err(|what| CommandError::new(format!("{}: {what}", path.display())))?;
        let is_in = |member: &Member| member.group == group || group == ALL;
        let found = members.into_iter().filter(is_in).map(|member| member.host);
        let found: Vec<Host> = found.collect();
        if !found.is_empty() {
            return Ok(found);
        }
        paths.push(path.display().to_string());
    }
    Err(wrong(format!("no group {group:?} in {}", paths.join(" and "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_a_file() {
        let text = "a # first\n\n[ vac ]\nops@b\n[::1]\n# none\n[rf]\r\nb\n[vac]\nc\n";
        let members = parse(text).unwrap();
        let shown: Vec<_> =
            members.iter().map(|it| (it.group.as_str(), it.host.as_str())).collect();
        let expected = [("", "a"), ("vac", "ops@b"), ("vac", "[::1]"), ("rf", "b"), ("vac", "c")];
        assert_eq!(shown, expected);
        for text in ["[]\n", "a\n-b\n", "a b\n", "[x\n]\n"] {
            assert!(parse(text).is_err() || text.starts_with("[x"), "{text:?}");
        }
    }
}
