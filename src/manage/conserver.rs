//! `write-procs-cf`: a console of conserver for each instance, here and on other hosts.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use clap::ArgMatches;
use serde_json::{Value, json};

use super::control::patterns;
use super::error::{Failure, Outcome};
use super::files::{self, Existing};
use super::site::Site;
use super::{pattern, words};

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
/// A pattern that describes nothing here; a host that doesn't answer; a file that can't be written.
pub fn write(site: &Site, given: &ArgMatches, json: bool) -> Outcome {
    let mut text = HEAD.to_owned();
    let mut consoles = Vec::new();
    for instance in site.matching(&patterns(given))? {
        let control = site.run_directory(&instance.name).join("control");
        // conserver speaks no telnet here: the six bytes of the server's offer show up in its log.
        let how = format!("type uds; uds {};", control.display());
        console(&mut text, &instance.name, &how);
        consoles.push(instance.name);
    }
    if let Some(hosts) = given.get_one::<String>("hosts") {
        let path = PathBuf::from(hosts);
        let list = files::read_text(&path).map_err(|error| Failure::file(&path, &error))?;
        let ssh = given.get_one::<String>("ssh").map(String::as_str).unwrap_or_default();
        for host in list.lines().filter_map(|line| line.split('#').next()).map(str::trim) {
            if !host.is_empty() {
                remote(&mut text, &mut consoles, host, ssh, &patterns(given))?;
            }
        }
    }
    let out = given.get_one::<String>("out").map(String::as_str).unwrap_or_default();
    if out == "-" {
        super::print(&text)?;
        return Ok(0);
    }
    // A link stays one.
    let path = std::fs::canonicalize(out).unwrap_or_else(|_| out.into());
    files::write(&path, &text, 0o644, Existing::Replace)
        .map_err(|error| Failure::file(&path, &error))?;
    if json {
        super::print_json(&json!({ "file": out, "consoles": consoles }))?;
    }
    Ok(0)
}

fn console(text: &mut String, name: &str, how: &str) {
    // A String takes everything.
    let _ = writeln!(text, "console {name} {{ include procserv; {how} }}");
}

/// The machine's instances on `host`, as its own manage-procs has them: each a command that attaches
/// to it there.
fn remote(
    text: &mut String,
    consoles: &mut Vec<String>,
    host: &str,
    ssh: &str,
    patterns: &[&str],
) -> Result<(), Failure> {
    let good = |letter: char| letter.is_ascii_alphanumeric() || "_-.:@[]".contains(letter);
    if host.starts_with('-') || !host.chars().all(good) {
        return Err(Failure::new(format!("--hosts: {host:?} is no host")));
    }
    let failed = |what: String| Failure::new(format!("{host}: {what}"));
    let ssh_words = words::split(ssh).map_err(|what| Failure::usage(format!("--ssh: {what}")))?;
    let Some((program, arguments)) = ssh_words.split_first() else {
        return Err(Failure::usage("--ssh: no command"));
    };
    let output = Command::new(program)
        .args(arguments)
        .args([host, "manage-procs --system list --json"])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| failed(crate::sys::reason(&error)))?;
    if !output.status.success() {
        return Err(failed(format!("manage-procs --system list: {}", output.status)));
    }
    let list: Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| failed(format!("manage-procs --system list: {error}")))?;
    let short = host.rsplit('@').next().unwrap_or(host);
    for name in list.as_array().into_iter().flatten() {
        let name = name.get("name").and_then(Value::as_str).unwrap_or_default();
        super::site::check_name(name).map_err(failed)?;
        if !patterns.is_empty() && !patterns.iter().any(|wanted| pattern::matches(wanted, name)) {
            continue;
        }
        let shown = format!("{name}.{short}");
        let how = format!("type exec; exec {ssh} -t {host} manage-procs --system attach {name};");
        console(text, &shown, &how);
        consoles.push(shown);
    }
    Ok(())
}
