//! `mode` and `kill`: requests to the server of an instance (docs/api.md).

use std::io::ErrorKind;

use clap::ArgMatches;
use nix::errno::Errno;
use serde_json::{Value, json};

use crate::manage::commands::fallback;
use crate::manage::error::{CommandError, CommandResult};
use crate::manage::inspect::api::{ApiConnection, ApiError};
use crate::manage::output;
use crate::manage::registry::{Registry, check_name};

/// `mode`: sets the restart mode, whatever it was.
///
/// # Errors
/// Those of [`ask`].
pub(crate) fn mode(
    registry: &Registry,
    matches: &ArgMatches,
    is_default: bool,
    json: bool,
) -> CommandResult {
    let (name, mode) = (word(matches, "name"), word(matches, "mode"));
    let result = ask(registry, is_default, name, &json!({ "request": "mode", "mode": mode }))?;
    let now = result.get("mode").and_then(Value::as_str).unwrap_or_default();
    report(name, &result, json, &format!("auto restart mode is {now}"))
}

/// `kill`: sends the kill signal of the instance to its child.
///
/// # Errors
/// Those of [`ask`].
pub(crate) fn kill(
    registry: &Registry,
    matches: &ArgMatches,
    is_default: bool,
    json: bool,
) -> CommandResult {
    let name = word(matches, "name");
    let result = ask(registry, is_default, name, &json!({ "request": "kill" }))?;
    let pid = result.get("pid").and_then(Value::as_i64).unwrap_or_default();
    report(name, &result, json, &format!("sent the kill signal to PID {pid}"))
}

fn word<'a>(matches: &'a ArgMatches, id: &str) -> &'a str {
    matches.get_one::<String>(id).map(String::as_str).unwrap_or_default()
}

fn report(name: &str, result: &Value, json: bool, text: &str) -> CommandResult {
    if json {
        output::print_json(&json!({ "name": name, "result": result }))?;
    } else {
        output::print(&output::line(&format!("{name}: {text}")))?;
    }
    Ok(0)
}

/// Connects to the interface of an instance, which is the machine's if the calling user has none of
/// that name and did not say `--user`. `None` if the server has no such interface, or does not run.
///
/// # Errors
/// A wrong name; an interface that the user may not use, or that does not answer.
pub(crate) fn connect(
    registry: &Registry,
    is_default: bool,
    name: &str,
) -> Result<Option<ApiConnection>, CommandError> {
    registry.require_live("request")?;
    check_name(name).map_err(CommandError::new)?;
    let machine = fallback::machine(registry).filter(|_| is_default);
    for registry in std::iter::once(registry.clone()).chain(machine) {
        let path = registry.api_socket(name);
        // The user of the instance may put a link to the socket of another server there.
        if path.is_symlink() {
            return Err(CommandError::new(format!("{}: is a symbolic link", path.display())));
        }
        match ApiConnection::open(&path) {
            Ok(connection) => return Ok(Some(connection)),
            Err(error) if is_absent(&error) => {}
            Err(error) => return Err(CommandError::file(&path, &error)),
        }
    }
    Ok(None)
}

/// Returns true for the errors of connect(2) without a socket, without a server behind it, and for a
/// path that is too long for one.
fn is_absent(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused)
        || error.raw_os_error() == Some(Errno::ENAMETOOLONG as i32)
}

/// Sends a request to the server of an instance, and returns the result.
///
/// # Errors
/// Those of [`connect`]; no interface; what the server refuses.
fn ask(
    registry: &Registry,
    is_default: bool,
    name: &str,
    request: &Value,
) -> Result<Value, CommandError> {
    let mut connection = connect(registry, is_default, name)?.ok_or_else(|| {
        CommandError::new(format!(
            "{name}: does not run, or was started without {}; a console has the same commands: \
             manage-procs attach {name}",
            registry.api_socket(name).display()
        ))
    })?;
    connection.request(request).map_err(|error| failure(name, &error))
}

/// The error of a request to `name`.
pub(crate) fn failure(name: &str, error: &ApiError) -> CommandError {
    match error {
        ApiError::Unreachable(error) => {
            CommandError::system(format!("{name}: the server does not answer"), error)
        }
        ApiError::Refused { message } => CommandError::new(format!("{name}: {message}")),
    }
}
