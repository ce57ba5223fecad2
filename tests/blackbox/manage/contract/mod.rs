//! What `docs/manage-procs.md` promises, a file for each of its chapters.

mod chapter_1;
mod chapter_2;
mod chapter_3;
mod chapter_4;
mod chapter_5;
mod chapter_5_changes;

use crate::manage::fleet::{Done, Fleet, MANAGE};
use crate::support::Case;
use std::path::Path;
use std::process::Command;

pub(super) fn cases() -> Vec<Case> {
    let all = [
        chapter_1::cases(),
        chapter_2::cases(),
        chapter_3::cases(),
        chapter_4::cases(),
        chapter_5::cases(),
        chapter_5_changes::cases(),
    ];
    all.into_iter().flatten().collect()
}

const MAIN: &str = "home/.config/procServ.conf";

/// The path of a file of `procServ.d`.
fn conf(name: &str) -> String {
    format!("home/.config/procServ.d/{name}.conf")
}

/// A stand-in for procServ, first in PATH, that notes down its arguments, environment and directory.
fn stand_in(fleet: &Fleet) {
    let dir = fleet.path("");
    let dir = dir.display();
    std::fs::remove_file(fleet.path("bin/procServ")).unwrap();
    let script =
        format!("#!/bin/sh\nprintf '%s\\n' \"$@\" >{dir}/argv\nenv >{dir}/env\npwd >{dir}/cwd\n");
    fleet.program("bin/procServ", &script);
}

/// The launcher of the fleet, which gets these words.
fn launcher(fleet: &Fleet, words: &[&str]) -> Command {
    let mut command = Command::new(MANAGE);
    fleet.dress(|name, value| {
        command.env(name, value);
    });
    command.env_remove("IOCNAME").env_remove("PROCSERV_NAME");
    command.args(["as", "/x/procServ-launcher"]).args(words);
    command
}

/// Runs the launcher.
fn launch(fleet: &Fleet, words: &[&str]) -> Done {
    launcher(fleet, words).output().unwrap().into()
}

/// Runs the launcher for an instance of the user; the arguments that the stand-in got.
fn argv(fleet: &Fleet, name: &str) -> Vec<String> {
    let done = launch(fleet, &["--user", name]);
    assert_eq!((done.code, done.stderr.as_str()), (0, ""));
    fleet.read("argv").lines().map(str::to_owned).collect()
}

/// The values of an option, in order.
fn values(argv: &[String], option: &str) -> Vec<String> {
    argv.windows(2).filter(|pair| pair[0] == option).map(|pair| pair[1].clone()).collect()
}

/// The ports of an instance without those that every instance has, which are the last two.
fn own_ports(argv: &[String]) -> Vec<String> {
    let mut ports = values(argv, "--port");
    for kind in ["view", "raw"] {
        let port = ports.pop().unwrap();
        assert!(port.starts_with(&format!("{kind}:unix:")) && port.ends_with(kind), "{port}");
    }
    ports
}

/// The directives of a unit, each with its section.
fn directives(unit: &str) -> Vec<(String, String, String)> {
    let mut section = String::new();
    let mut found = Vec::new();
    for line in unit.lines() {
        if let Some((key, value)) = line.split_once('=').filter(|_| !line.starts_with('#')) {
            found.push((section.clone(), key.to_owned(), value.to_owned()));
        } else if line.starts_with('[') {
            section = line.to_owned();
        }
    }
    found
}

/// The value of a directive that is there once, or not at all.
fn directive(unit: &str, key: &str) -> Option<String> {
    let mut found = directives(unit).into_iter().filter(|(_, other, _)| other == key);
    let value = found.next().map(|(.., value)| value);
    assert_eq!(found.next(), None, "{unit}");
    value
}

/// The unit of the instance `a` of a machine, in an image with these files.
fn system_unit(section: &str, files: &[(&str, &str)]) -> Result<String, String> {
    unit_of("a", section, files)
}

/// The same for an instance of another name.
fn unit_of(instance: &str, section: &str, files: &[(&str, &str)]) -> Result<String, String> {
    let fleet = Fleet::new();
    let file = format!("image/etc/procServ.d/{instance}.conf");
    fleet.file(&file, &format!("[{instance}]\ncommand = x\n{section}"));
    fleet.program("image/usr/bin/procServ-launcher", "");
    for (name, content) in files {
        fleet.file(&format!("image{name}"), content);
    }
    let done: Done = in_image(&fleet, &["enable", instance]).output().unwrap().into();
    if done.code != 0 {
        return Err(done.stderr);
    }
    Ok(fleet.read(&format!("image/etc/procServ.d/procserv-{instance}.service")))
}

/// A command about the image of the fleet.
fn in_image(fleet: &Fleet, words: &[&str]) -> Command {
    let mut command = Command::new(MANAGE);
    fleet.dress(|name, value| {
        command.env(name, value);
    });
    command.arg("--root").arg(fleet.path("image")).args(words).current_dir(fleet.path(""));
    command
}

/// Runs the generator of the user's units; what it printed.
fn generate(fleet: &Fleet, directory: &Path) -> Done {
    let mut command = Command::new(MANAGE);
    fleet.dress(|name, value| {
        command.env(name, value);
    });
    command.args(["as", "/x/systemd-procserv-generator-user"]).arg(directory);
    command.arg(directory).arg(directory);
    command.output().unwrap().into()
}
