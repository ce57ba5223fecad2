//! The definition of the commands and their options. Parsing, the help, the shell completions and
//! the check of the man page use it.

use std::path::PathBuf;

use clap::{Arg, ArgAction, Command, ValueHint, value_parser};

/// All commands and their options.
pub fn definition() -> Command {
    let mut definition = Command::new("manage-procs")
        .about("Manage the procServ instances of this machine or of one user")
        .version(concat!(env!("CARGO_PKG_VERSION"), " (procserv-ng)"))
        .disable_help_subcommand(true)
        // procServ's helper takes abbreviations, and of an option that is there twice the last.
        .infer_long_args(true)
        .args_override_self(true)
        .args(common())
        .args([
            flag("json", None, "Print JSON, for programs").global(true),
            flag("verbose", Some('v'), "Print the commands it runs")
                .action(ArgAction::Count)
                .global(true),
        ]);
    for command in [
        add(),
        remove(),
        set(),
        Command::new("edit")
            .about("Edit the file of an instance, which is checked before it is saved")
            .args([flag("force", Some('f'), "Save what can't be started, too"), name()]),
        Command::new("enable")
            .about("Have instances started at boot")
            .arg(patterns().required(true).help("Names, or patterns such as 'vac-*'")),
        Command::new("disable")
            .about("Have instances not started at boot")
            .arg(patterns().required(true).help("Names, or patterns such as 'vac-*'")),
        units("start", "Start instances"),
        units("stop", "Stop instances"),
        units("restart", "Stop and start instances"),
        attach(),
        send(),
        Command::new("mode").about("Set what happens when the child ends").args([
            name(),
            Arg::new("mode")
                .required(true)
                .value_parser(["on", "off", "oneshot"])
                .help("The restart mode"),
        ]),
        Command::new("kill").about("Kill the child, which is restarted in mode on").arg(name()),
        list("list", "Show what is configured"),
        list("status", "Show what runs, without opening consoles").args([
            flag("plain", None, "The words of procServ's helper, for scripts"),
            flag("failed", None, "Only those with which something is wrong"),
            flag("wide", Some('w'), "Also PIDs, CPU time, memory and consoles"),
            flag("check", None, "Exit with status 3 if something is wrong"),
            Arg::new("sort")
                .long("sort")
                .value_name("column")
                .value_parser(["name", "state", "up", "restarts"])
                .default_value("name")
                .hide_possible_values(true)
                .help("Order: name, state, up, restarts"),
        ]),
        Command::new("top").about("Show what runs, and go on showing it").arg(patterns()),
        Command::new("watch")
            .about("Print what runs and each change of it, as lines of JSON for programs (--json)")
            .arg(patterns()),
        Command::new("why")
            .about("Tell what happened to an instance, who did it, and what to try")
            .arg(name()),
        events(),
        logs(),
        Command::new("metrics").about("Print numbers of all instances for Prometheus").arg(
            Arg::new("textfile")
                .long("textfile")
                .value_name("file")
                .value_hint(ValueHint::FilePath)
                .value_parser(value_parser!(PathBuf))
                .help("Into <file>, for node_exporter's textfile collector"),
        ),
        upgrade(),
        Command::new("doctor")
            .about("Check the configuration, and say what to do about each problem"),
        write_procs_cf(),
    ] {
        definition = definition.subcommand(command);
    }
    definition
}

fn common() -> [Arg; 3] {
    [
        flag("user", None, "The calling user's instances (default, unless root)")
            .overrides_with("system"),
        flag("system", None, "The machine's instances (default for root)").overrides_with("user"),
        Arg::new("root")
            .long("root")
            .value_name("dir")
            .value_hint(ValueHint::DirPath)
            .value_parser(value_parser!(PathBuf))
            .help("Work on the system image in <dir>"),
    ]
}

fn add() -> Command {
    Command::new("add").about("Configure a new instance").args([
        value("chdir", 'C', "dir", "Run the command in <dir> (default: here)")
            .value_hint(ValueHint::DirPath),
        value("port", 'P', "endpoint", "The control endpoint, such as a TCP port"),
        Arg::new("username")
            .long("user")
            .alias("username")
            .short('U')
            .value_name("user")
            .help("Run as <user> (default: nobody)"),
        value("group", 'G', "group", "Run as <group>"),
        value("environment", 'e', "name=value", "Set a variable; may be repeated")
            .action(ArgAction::Append),
        value("env-file", 'E', "file", "Set the variables in <file>")
            .value_hint(ValueHint::FilePath),
        Arg::new("options")
            .long("options")
            .value_name("words")
            .allow_hyphen_values(true)
            .help("More options for procServ"),
        flag("force", Some('f'), "Replace an instance of this name"),
        flag("autostart", Some('A'), "Start it at once"),
        Arg::new("from")
            .long("from")
            .value_name("file")
            .value_hint(ValueHint::FilePath)
            .value_parser(value_parser!(PathBuf))
            .conflicts_with_all([
                "name",
                "chdir",
                "port",
                "username",
                "group",
                "environment",
                "env-file",
                "options",
            ])
            .help("Add each section of <file> as an instance"),
        name().required(false).required_unless_present("from"),
        Arg::new("command")
            .required_unless_present("from")
            .num_args(1..)
            .trailing_var_arg(true)
            .value_hint(ValueHint::CommandWithArguments)
            .help("The command and its arguments"),
    ])
}

fn remove() -> Command {
    Command::new("remove")
        .about("Stop an instance, delete its unit and its section")
        .args([flag("force", Some('f'), "Do not ask, and go on when it can't be stopped"), name()])
}

fn set() -> Command {
    Command::new("set").about("Change keys of an instance's section").args([
        flag("force", Some('f'), "Save what can't be started, too"),
        name(),
        Arg::new("value")
            .required(true)
            .num_args(1..)
            .value_name("key=value")
            .help("The new values; without a value the key is removed"),
    ])
}

fn units(command: &'static str, about: &'static str) -> Command {
    Command::new(command).about(about).args([
        flag("all", None, "All instances"),
        patterns().help("Names, or patterns such as 'vac-*'").conflicts_with("all"),
    ])
}

fn list(command: &'static str, about: &'static str) -> Command {
    Command::new(command).about(about).args([
        // Without this option procServ's helper shows only the instances that run.
        flag("all", None, "All instances, also those that don't run (always so)"),
        patterns(),
    ])
}

fn attach() -> Command {
    Command::new("attach").about("Use a console").args([
        Arg::new("detach")
            .short('k')
            .long("detach")
            .value_name("char")
            .default_value("^]")
            .help("The key that leaves"),
        flag("watch", Some('w'), "Only look: what is typed goes nowhere"),
        flag("reconnect", Some('r'), "When the server ends, wait for the next one"),
        Arg::new("console")
            .required(true)
            .help("An instance, or an endpoint: port, host:port, unix:path"),
    ])
}

fn send() -> Command {
    Command::new("send").about("Type a line on a console, and print the answer").args([
        value("wait", 'w', "seconds", "For how long (default: 1; with --until 10)")
            .value_parser(value_parser!(u32)),
        value("until", 'u', "text", "Until this text comes"),
        name(),
        Arg::new("text").required(true).num_args(1..).help("The line; words are joined by blanks"),
    ])
}

fn events() -> Command {
    Command::new("events").about("Show who did what and what happened, of all instances").args([
        flag("follow", Some('f'), "Keep printing new events").conflicts_with("until"),
        time("since", 'S', "Only what happened since <time>, such as -1h or yesterday"),
        time("until", 'U', "Only what happened until <time>"),
        patterns(),
    ])
}

fn logs() -> Command {
    Command::new("logs").about("Show the output of instances").args([
        flag("follow", Some('f'), "Keep printing new output"),
        value("lines", 'n', "number", "The last lines (default: 100), or all")
            .value_parser(line_count),
        time("since", 'S', "Only what was written since <time>, such as -1h"),
        time("until", 'U', "Only what was written until <time>"),
        value("grep", 'g', "pattern", "Only lines that match, as journalctl has it"),
        flag("no-time", None, "Lines without times"),
        Arg::new("color")
            .long("color")
            .value_name("when")
            .value_parser(["auto", "always", "never"])
            .default_value("auto")
            .hide_default_value(true)
            .hide_possible_values(true)
            .help("Colour the names: auto, always, never"),
        patterns(),
    ])
}

/// Checks a number of lines as journalctl takes it.
fn line_count(text: &str) -> Result<String, String> {
    match text.parse::<u32>() {
        Err(_) if text != "all" => Err("a number, or all".to_owned()),
        _ => Ok(text.to_owned()),
    }
}

fn upgrade() -> Command {
    Command::new("upgrade").about("Replace running servers by the program installed now").args([
        flag("keep-going", None, "Do not stop at the first that can't be upgraded"),
        value("timeout", 't', "seconds", "How long to wait for each")
            .value_parser(value_parser!(u32))
            .default_value("20"),
        patterns().required(true).help("Names, or patterns such as 'vac-*'"),
    ])
}

fn write_procs_cf() -> Command {
    Command::new("write-procs-cf").about("Write a configuration for conserver").args([
        value("out", 'f', "file", "File, or - for stdout")
            .default_value("/etc/conserver/procs.cf")
            .value_hint(ValueHint::FilePath),
        value("hosts", 'H', "file", "Also the instances on the hosts in <file>")
            .value_hint(ValueHint::FilePath),
        Arg::new("ssh")
            .long("ssh")
            .value_name("command")
            .default_value("ssh -o BatchMode=yes")
            .help("How to reach a host"),
        flag("reload", Some('R'), "Reload conserver"),
        patterns(),
    ])
}

fn flag(long: &'static str, short: Option<char>, help: &'static str) -> Arg {
    Arg::new(long).long(long).short(short).action(ArgAction::SetTrue).help(help)
}

fn value(long: &'static str, short: char, value: &'static str, help: &'static str) -> Arg {
    Arg::new(long).long(long).short(short).value_name(value).help(help)
}

fn time(long: &'static str, short: char, help: &'static str) -> Arg {
    value(long, short, "time", help).allow_hyphen_values(true)
}

fn name() -> Arg {
    Arg::new("name").required(true).help("The instance's name")
}

fn patterns() -> Arg {
    Arg::new("pattern").num_args(0..).help("Names, or patterns such as 'vac-*'; default: all")
}
