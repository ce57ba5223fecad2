//! `write-procs-cf`: writes a console of conserver for each instance, on this machine and on other
//! hosts.

use std::fmt::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use clap::ArgMatches;
use serde_json::{Value, json};

use crate::config::endpoint::Address;
use crate::manage::error::{CommandError, CommandResult};
use crate::manage::files;
use crate::manage::hosts::Host;
use crate::manage::hosts::group::{self, Member};
use crate::manage::output;
use crate::manage::registry::pattern::Patterns;
use crate::manage::registry::shlex;
use crate::manage::registry::{Instance, Registry, Scope};
use crate::manage::systemd::systemctl;
use crate::sys::file::{self, IfExists};

/// The part of the configuration before the consoles. Who may use them is decided by the site's
/// `default *`.
const HEAD: &str = "\
# Made by manage-procs write-procs-cf; a change here is lost. To be read by conserver.cf:
#   #include /etc/conserver/procs.cf
";

/// `write-procs-cf`.
///
/// # Errors
/// Patterns that match nothing; a host that doesn't answer; a file that can't be written.
pub(crate) fn write(registry: &Registry, matches: &ArgMatches, json: bool) -> CommandResult {
    let out = matches.get_one::<String>("out").map(String::as_str).unwrap_or_default();
    if json && out == "-" {
        return Err(CommandError::usage(
            "--json: the configuration itself goes to standard output",
        ));
    }
    let patterns = Patterns::from_matches(matches)?;
    let is_wanted = |name: &str| patterns.selects(name);
    let mut config = ConserverConfig { text: HEAD.to_owned(), consoles: Vec::new() };
    let hosts = matches.get_one::<String>("host").map(Path::new);
    let reload = matches.get_flag("reload");
    for (is_asked, what) in [(hosts.is_some(), "--hosts"), (reload, "--reload")] {
        if is_asked {
            registry.require_live(what)?;
        }
    }
    let here = match hosts {
        None => registry.matching(&patterns)?,
        Some(_) => registry.instances()?.into_values().collect(),
    };
    for instance in here.into_iter().filter(|instance| is_wanted(&instance.name)) {
        match how(registry, &instance) {
            Some(how) => config.add_console(instance.name, &how)?,
            None => output::print_error(&format!(
                "{}: no console, as its port is none that conserver can use",
                instance.name
            )),
        }
    }
    if let Some(path) = hosts {
        let list = files::read_text(path).map_err(|error| CommandError::file(path, &error))?;
        let ssh = matches.get_one::<String>("ssh").map(String::as_str).unwrap_or_default();
        let members =
            group::parse(&list).map_err(|what| CommandError::new(format!("--hosts: {what}")))?;
        // A host may be in several groups.
        let mut hosts: Vec<&Host> = Vec::new();
        for Member { host, .. } in &members {
            if !hosts.contains(&host) {
                hosts.push(host);
            }
        }
        for host in hosts {
            config.add_host(host, ssh, is_wanted)?;
        }
    }
    if config.consoles.is_empty() && !patterns.texts().is_empty() {
        return Err(CommandError::new(format!(
            "no instance {}, here or there",
            patterns.texts().join(" ")
        )));
    }
    if out == "-" {
        output::print(&config.text)?;
        return Ok(0);
    }
    // In an image every path is the image's. A symbolic link is not replaced by a file.
    let path = match registry.root {
        Some(_) => registry.in_root(&Path::new("/").join(out)),
        None => std::fs::canonicalize(out).unwrap_or_else(|_| out.into()),
    };
    file::replace_atomically(&path, config.text.as_bytes(), 0o644, IfExists::Replace)
        .map_err(|error| CommandError::file(&path, &error))?;
    if json {
        output::print_json(&json!({ "file": out, "consoles": config.consoles }))?;
    }
    let words = ["reload", "conserver-server.service"];
    if reload {
        // conserver is the machine's, whoever owns the instances.
        let machine = Registry::open(Scope::System, None)?;
        systemctl::run(&machine, matches.get_count("verbose") > 0, &words)?;
    } else if !json && registry.root.is_none() {
        output::print(&format!("# systemctl --system {}\n", words.join(" ")))?;
    }
    Ok(0)
}

/// How conserver reaches the console of an instance, or `None` if it can't. Beside a TCP port the
/// Unix socket is there for the instance's group alone, which conserver need not be in.
fn how(registry: &Registry, instance: &Instance) -> Option<String> {
    let control = registry.in_image(&registry.run_directory(&instance.name).join("control"));
    // conserver knows no telnet on Unix sockets: its log has the six bytes of the server's offer.
    let uds = |path: &Path| format!("type uds; uds {};", literal(&path.to_string_lossy()));
    if instance.port.is_none() {
        return Some(uds(&control));
    }
    let run = registry.run_directory(&instance.name);
    let config = instance.server_config(registry).ok()?;
    let mut controls = config.endpoints.controls.iter().filter(|endpoint| !endpoint.view);
    controls.find_map(|endpoint| match &endpoint.address {
        Address::Tcp(address) if address.port() != 0 => {
            let ip = match address.ip() {
                ip if !ip.is_unspecified() => ip.to_string(),
                ip if ip.is_ipv4() => "127.0.0.1".to_owned(),
                _ => "::1".to_owned(),
            };
            let protocol = if endpoint.raw { "raw" } else { "telnet" };
            let port = address.port();
            Some(format!("type host; host {ip}; port {port}; protocol {protocol};"))
        }
        // Those of the run directory are not for everybody.
        Address::Unix { path, .. } if !path.starts_with(&run) => Some(uds(path)),
        _ => None,
    })
}

/// Escapes a value for conserver.cf(5).
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
    fn add_console(&mut self, name: String, how: &str) -> Result<(), CommandError> {
        // In conserver the later console would replace the earlier one.
        if self.consoles.contains(&name) {
            return Err(CommandError::new(format!("console {name}: is there twice")));
        }
        // Writing to a String does not fail.
        let _ =
            writeln!(self.text, "console {name} {{ master localhost; {how} options reinitoncc; }}");
        self.consoles.push(name);
        Ok(())
    }

    /// Adds the machine's instances on `host`, where manage-procs lists them. Each console is a
    /// command that attaches to the instance there.
    fn add_host(
        &mut self,
        host: &Host,
        ssh: &str,
        is_wanted: impl Fn(&str) -> bool,
    ) -> Result<(), CommandError> {
        let failed = |what: String| CommandError::new(format!("{host}: {what}"));
        let words =
            shlex::split(ssh).map_err(|what| CommandError::usage(format!("--ssh: {what}")))?;
        let Some((program, arguments)) = words.split_first() else {
            return Err(CommandError::usage("--ssh: no command"));
        };
        let output = Command::new(program)
            .args(arguments)
            .args([host.as_str(), "manage-procs --system list --json"])
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
        let short = host.without_user();
        for instance in list {
            let name = instance.get("name").and_then(Value::as_str).unwrap_or_default();
            crate::manage::registry::check_name(name).map_err(failed)?;
            if is_wanted(name) {
                let attach = format!("{ssh} -t {host} manage-procs --system attach {name}");
                let how = format!("type exec; exec {};", literal(&attach));
                self.add_console(format!("{name}.{short}"), &how)?;
            }
        }
        Ok(())
    }
}
