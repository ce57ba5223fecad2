//! The sockets of the server of an instance in its run directory, and who may connect to them.

use std::path::Path;

use super::Instance;
use crate::config::endpoint::SUN_PATH_SIZE;

/// The rights of a socket for user and group of the instance: the fields of an endpoint between
/// `unix:` and the path (contract section 2).
const OF_THE_GROUP: &str = "::0660:";

impl Instance {
    /// The control endpoints of the server whose run directory is `run`. Beside a TCP port there is the
    /// socket `control`, as programs find an instance by that socket. For programs without telnet there
    /// is `raw`, with the rights of the control socket, and `view` for those who only watch.
    pub(super) fn endpoints(&self, run: &Path) -> Vec<String> {
        let rights = self.rights();
        let control = || socket(&rights, &run.join("control"));
        let mut endpoints: Vec<String> = match &self.port {
            None => vec![control()],
            Some(port) if unix_or_passed(port).is_some() => vec![port.clone()],
            Some(port) => vec![control(), port.clone()],
        };
        let watchers = if self.control_group.is_some() { "" } else { &rights };
        let more = [("raw", rights.as_str()), ("view", watchers)];
        for (name, rights) in more {
            let path = run.join(name);
            if fits(&path) {
                endpoints.push(format!("{name}:{}", socket(rights, &path)));
            }
        }
        endpoints
    }

    /// The endpoint of the interface for programs, which is never open to everybody: who connects there
    /// can do more than type.
    pub(super) fn api_endpoint(&self, run: &Path) -> Option<String> {
        let group = self.control_group.as_ref().map(|_| self.rights());
        let path = run.join("api");
        fits(&path).then(|| socket(group.as_deref().unwrap_or(OF_THE_GROUP), &path))
    }

    /// The rights of the control socket, and of all sockets that give as much.
    fn rights(&self) -> String {
        match (&self.control_group, &self.port) {
            (Some(group), _) => format!(":{group}:0660:"),
            (None, None) => String::new(),
            (None, Some(port)) => {
                match unix_or_passed(port).and_then(|it| it.strip_prefix("unix:")) {
                    Some(rest) => {
                        let fields: Vec<&str> = rest.splitn(4, ':').collect();
                        match fields[..] {
                            [user, group, mode, _] => format!("{user}:{group}:{mode}:"),
                            _ => String::new(),
                        }
                    }
                    None => OF_THE_GROUP.to_owned(),
                }
            }
        }
    }
}

/// The sockets in the run directory `run` that a server can go without, and that it has not because their
/// paths would be too long, as with a long name in the run directory of a user: a server does not
/// start with such a path.
pub(crate) fn left_out(run: &Path) -> Vec<&'static str> {
    ["api", "raw", "view"].into_iter().filter(|name| !fits(&run.join(name))).collect()
}

/// Returns true if a socket can have this path (unix(7)).
fn fits(path: &Path) -> bool {
    path.as_os_str().len() < SUN_PATH_SIZE
}

/// The endpoint of a Unix socket.
fn socket(rights: &str, path: &Path) -> String {
    let path = path.to_string_lossy();
    // Without rights before the path, a colon in the path would end one of them.
    let rights = if rights.is_empty() && path.contains(':') { ":::" } else { rights };
    format!("unix:{rights}{path}")
}

/// The address of an endpoint that is a Unix socket or was passed, and that takes the place of
/// `control`. An endpoint for those who only watch does not.
fn unix_or_passed(endpoint: &str) -> Option<&str> {
    let address = endpoint.strip_prefix("raw:").unwrap_or(endpoint);
    (address.starts_with("unix:") || address.starts_with("fd:")).then_some(address)
}

/// Checks the value of `control_group`, which becomes a field of endpoints and a word of a unit.
///
/// # Errors
/// The value is not the name of a group.
pub(super) fn check_group(group: &str) -> Result<(), String> {
    let good = |letter: char| letter.is_alphanumeric() || "_-.@$".contains(letter);
    let is_number = group.chars().all(|letter| letter.is_ascii_digit());
    if is_number || group.starts_with('-') || !group.chars().all(good) {
        return Err(format!("{group:?} is not the name of a group"));
    }
    Ok(())
}
