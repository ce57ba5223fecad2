//! The definition of the options, the help text and the man page name the same options, each with
//! its short form and its value, and no others; and the man page is free of markup errors.

use crate::harness::cases;
use std::collections::BTreeSet;
use std::process::Command;

use procserv_ng::cli;

const MAN_PATHS: [&str; 2] = [
    concat!(env!("CARGO_MANIFEST_DIR"), "/man/procServ.1"),
    concat!(env!("CARGO_MANIFEST_DIR"), "/man/manage-procs.1"),
];
const MANAGE_MAN: &str = include_str!("../../man/manage-procs.1");
const MAN: &str = include_str!("../../man/procServ.1");

cases![
    definition_help_and_man_page_agree,
    no_text_mentions_an_option_that_is_none,
    the_help_fits_a_terminal_and_its_columns,
    commands_and_man_page_agree,
    the_help_of_commands_fits_a_terminal,
    man_renders_the_pages_without_warnings.needs("man"),
    mandoc_finds_nothing.needs("mandoc"),
];

/// An option as people write it: `-c --chdir <dir>`, `--logstamp [<str>]`, `--wait`.
type Shown = BTreeSet<String>;

fn defined() -> Shown {
    shown(&cli::definition())
}

fn shown(definition: &clap::Command) -> Shown {
    definition
        .get_opts()
        .map(|arg| {
            let short = arg.get_short().map(|short| format!("-{short} "));
            let value = arg.get_value_names().map(|names| format!("<{}>", names[0]));
            let value = match (arg.get_action().takes_values(), arg.is_require_equals_set()) {
                (false, _) => String::new(),
                (true, false) => format!(" {}", value.unwrap()),
                (true, true) => format!(" [{}]", value.unwrap()),
            };
            format!("{}--{}{value}", short.unwrap_or_default(), arg.get_long().unwrap())
        })
        .collect()
}

fn help() -> String {
    let exit = cli::parse(vec!["procServ".into(), "-h".into()], &|_| None).unwrap_err();
    assert_eq!((exit.code, exit.stderr), (0, Vec::new()));
    String::from_utf8(exit.stdout).unwrap()
}

/// The help's option lines: everything left of the descriptions.
fn helped(help: &str) -> Shown {
    help.lines()
        .skip_while(|line| *line != "Options:")
        .filter(|line| line.starts_with(' '))
        .map(|line| line.trim_start().split("  ").next().unwrap().to_string())
        .collect()
}

/// The items of the man page's lists that are options, as in the help.
fn documented() -> Shown {
    documented_in(MAN)
}

fn documented_in(page: &str) -> Shown {
    let items = page.lines().filter_map(|line| line.strip_prefix(".It Fl "));
    items
        .map(|item| {
            let words: Vec<_> =
                item.split(' ').filter(|word| !matches!(*word, "," | "Fl")).collect();
            let (names, value) = match words.as_slice() {
                [names @ .., "Ns", "Op", "=", "Ns", "Ar", value] => {
                    (names, format!(" [<{value}>]"))
                }
                [names @ .., "Ar", value] => (names, format!(" <{value}>")),
                names => (names, String::new()),
            };
            let names: Vec<_> = names.iter().map(|name| format!("-{}", unescaped(name))).collect();
            names.join(" ") + &value
        })
        .collect()
}

fn unescaped(roff: &str) -> String {
    roff.replace("\\-", "-")
}

/// The single names, `-c` and `--chdir`.
fn names(options: &Shown) -> BTreeSet<&str> {
    let words = options.iter().flat_map(|option| option.split(' '));
    words.filter(|word| word.starts_with('-')).collect()
}

fn definition_help_and_man_page_agree() {
    assert!(defined().len() > 25);
    assert_eq!(defined(), helped(&help()), "definition against help");
    assert_eq!(defined(), documented(), "definition against man page");
}

fn no_text_mentions_an_option_that_is_none() {
    let options = defined();
    let options = names(&options);
    let help = help();
    let words = help.split(|letter: char| !letter.is_alphanumeric() && letter != '-');
    let mentioned = words.filter(|word| word.starts_with("--"));
    for word in mentioned {
        assert!(options.contains(word), "help mentions {word}");
    }
    for line in MAN.lines().filter(|line| line.starts_with('.') && line.contains("Fl ")) {
        for flag in line.split("Fl ").skip(1) {
            let name = format!("-{}", unescaped(flag.split(' ').next().unwrap()));
            // The page shows how values are given by the example of an option called so.
            let example = matches!(line, ".Fl \\-name Ns = Ns Ar value" | ".Fl \\-name Ar value .");
            assert!(example || options.contains(name.as_str()), "man page: {line}");
        }
    }
}

fn the_help_fits_a_terminal_and_its_columns() {
    for line in help().lines() {
        assert!(line.len() <= 80, "{line}");
        if line.starts_with(" -") || line.starts_with("    --") {
            let (left, description) = line.split_at(26);
            assert!(left.ends_with(' ') && !description.starts_with(' '), "{line}");
        }
    }
}

/// Each command of manage-procs has a section of its own with its options, and what it takes.
fn commands_and_man_page_agree() {
    let definition = procserv_ng::manage::cli::definition();
    let (top, commands) = MANAGE_MAN.split_once(".Sh COMMANDS\n").unwrap();
    let (commands, _) = commands.split_once(".Sh FILES\n").unwrap();
    // Clap adds these two by itself when it parses.
    let mut global = documented_in(top);
    assert!(global.remove("-h --help") && global.remove("-V --version"));
    assert_eq!(global, shown(&definition));
    let mut described = BTreeSet::new();
    for section in commands.split(".Ss ").skip(1) {
        let name = unescaped(section.split_ascii_whitespace().next().unwrap());
        let command = definition.find_subcommand(&name).unwrap_or_else(|| panic!("{name}"));
        assert_eq!(documented_in(section), shown(command), "{name}");
        described.insert(name);
    }
    let defined: BTreeSet<String> =
        definition.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    assert_eq!(defined, described);
}

fn the_help_of_commands_fits_a_terminal() {
    let mut definition = procserv_ng::manage::cli::definition();
    definition.build();
    let helps = definition.get_subcommands_mut().map(|command| command.render_help().to_string());
    for line in helps.collect::<String>().lines() {
        assert!(line.len() <= 80, "{line}");
    }
}

/// Asserts that a program has nothing to complain about in the pages.
#[track_caller]
fn has_no_complaint(program: &str, arguments: &[&str]) {
    for page in MAN_PATHS {
        let mut command = Command::new(program);
        command.args(arguments).arg(page).env("LC_ALL", "C.UTF-8").env("MANWIDTH", "80");
        let output = command.output().unwrap();
        let said =
            [output.stderr, if program == "man" { Vec::new() } else { output.stdout }].concat();
        assert_eq!(String::from_utf8_lossy(&said), "");
        assert!(output.status.success());
    }
}

fn man_renders_the_pages_without_warnings() {
    has_no_complaint("man", &["--warnings", "-l"]);
}

fn mandoc_finds_nothing() {
    has_no_complaint("mandoc", &["-Tlint", "-W", "warning"]);
}
