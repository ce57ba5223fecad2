//! `write-procs-cf`: a console of conserver for each instance, here and on other hosts.

use std::fmt::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use clap::ArgMatches;
use serde_json::{Value, json};

use crate::manage::error::{CommandError, CommandResult};
use crate::manage::files;
use crate::manage::output;
use crate::manage::registry::pattern::Patterns;
use crate::manage::registry::shlex;
use crate::manage::registry::{Instance, Registry};
use crate::sys::file::{self, IfExists};

/// What of a configuration is no console. Only what conserver does not take as a default.
const HEAD: &str = "\
# Made by manage-procs write-procs-cf; a change here is lost. To be read by conserver.cf:
#   #include /etc/conserver/procs.cf
default procserv {
    master localhost;
    rw *;
    options reinitoncc;
}
";

/// `write-procs-cf`.
///
/// # Errors
/// Patterns that describe nothing; a host that doesn't answer; a file that can't be written.
pub(crate) fn write(registry: &Registry, matches: &ArgMatches, json: bool) -> CommandResult {
    let out = matches.get_one::<String>("out").map(String::as_str).unwrap_or_default();
    if json && out == "-" {
        return Err(CommandError::usage(
            "--json: the configuration itself goes to standard output",
        ));
    }
    let patterns = Patterns::from_matches(matches)?;
    let is_wanted = |name: &str| patterns.selects(name);
    let mut page = ConserverConfig { text: HEAD.to_owned(), consoles: Vec::new() };
    let hosts = matches.get_one::<String>("hosts").map(Path::new);
    let here = match hosts {
        None => registry.matching(&patterns)?,
        Some(_) => registry.instances()?.into_values().collect(),
    };
    for Instance { name, .. } in here.into_iter().filter(|instance| is_wanted(&instance.name)) {
        let control = registry.run_directory(&name).join("control");
        // conserver speaks no telnet here: the six bytes of the server's offer show up in its log.
        let how = format!("type uds; uds {};", literal(&control.to_string_lossy()));
        page.console(name, &how)?;
    }
    if let Some(path) = hosts {
        let list = files::read_text(path).map_err(|error| CommandError::file(path, &error))?;
        let ssh = matches.get_one::<String>("ssh").map(String::as_str).unwrap_or_default();
        for host in list.lines().filter_map(|line| line.split('#').next()).map(str::trim) {
            if !host.is_empty() {
                page.remote(host, ssh, is_wanted)?;
            }
        }
    }
    if page.consoles.is_empty() && !patterns.texts().is_empty() {
        return Err(CommandError::new(format!(
            "no instance {}, here or there",
            patterns.texts().join(" ")
        )));
    }
    if out == "-" {
        output::print(&page.text)?;
        return Ok(0);
    }
    // A link stays one.
    let path = std::fs::canonicalize(out).unwrap_or_else(|_| out.into());
    file::replace_atomically(&path, page.text.as_bytes(), 0o644, IfExists::Replace)
        .map_err(|error| CommandError::file(&path, &error))?;
    if json {
        output::print_json(&json!({ "file": out, "consoles": page.consoles }))?;
    }
    Ok(0)
}

/// A value of conserver's as it has to be written.
fn literal(text: &str) -> String {
    let mut literal = String::new();
    for letter in text.chars() {
        if "{};#\\\"".contains(letter) {
            literal.push('\\');
        }
        literal.push(letter);
    }
    literal
}

struct ConserverConfig {
    text: String,
    consoles: Vec<String>,
}

impl ConserverConfig {
    fn console(&mut self, name: String, how: &str) -> Result<(), CommandError> {
        // The later would replace the earlier.
        if self.consoles.contains(&name) {
            return Err(CommandError::new(format!("console {name}: is there twice")));
        }
        // A String takes everything.
        let _ = writeln!(self.text, "console {name} {{ include procserv; {how} }}");
        self.consoles.push(name);
        Ok(())
    }

    /// The machine's instances on `host`, as its own manage-procs has them: each a command that
    /// attaches to it there.
    fn remote(
        &mut self,
        host: &str,
        ssh: &str,
        is_wanted: impl Fn(&str) -> bool,
    ) -> Result<(), CommandError> {
        let good = |letter: char| letter.is_ascii_alphanumeric() || "_-.:@[]".contains(letter);
        if host.starts_with('-') || !host.chars().all(good) {
            return Err(CommandError::new(format!("--hosts: {host:?} is no host")));
        }
        let failed = |what: String| CommandError::new(format!("{host}: {what}"));
        let words =
            shlex::split(ssh).map_err(|what| CommandError::usage(format!("--ssh: {what}")))?;
        let Some((program, arguments)) = words.split_first() else {
            return Err(CommandError::usage("--ssh: no command"));
        };
        let output = Command::new(program)
            .args(arguments)
            .args([host, "manage-procs --system list --json"])
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| failed(crate::sys::reason(&error)))?;
        let failed = |what: String| failed(format!("manage-procs --system list: {what}"));
        if !output.status.success() {
            return Err(failed(output.status.to_string()));
        }
        let list: Vec<Value> = serde_json::from_slice(&output.stdout)
            .map_err(|error| failed(format!("no list of instances: {error}")))?;
        let short = host.rsplit('@').next().unwrap_or(host);
        for instance in list {
            let name = instance.get("name").and_then(Value::as_str).unwrap_or_default();
            crate::manage::registry::check_name(name).map_err(failed)?;
            if is_wanted(name) {
                let attach = format!("{ssh} -t {host} manage-procs --system attach {name}");
                let how = format!("type exec; exec {};", literal(&attach));
                self.console(format!("{name}.{short}"), &how)?;
            }
        }
        Ok(())
    }
}
