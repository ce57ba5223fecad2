//! The command line for another host, made of what the user has typed here.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use clap::parser::ValueSource;
use clap::{ArgAction, ArgMatches, Command};

/// The options of a command that were given, each with `=` before its value, and the other words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// The options before the command, without those that select hosts.
    pub(crate) common: Vec<OsString>,
    pub(crate) command: String,
    pub(crate) options: Vec<OsString>,
    /// What follows `--`.
    pub(crate) words: Vec<OsString>,
}

impl Arguments {
    /// Takes the command line apart. `definition` is that of the whole program.
    pub(crate) fn of(definition: &Command, matches: &ArgMatches) -> Option<Arguments> {
        let (name, given) = matches.subcommand()?;
        let mut arguments = Arguments {
            common: Vec::new(),
            command: name.to_owned(),
            options: Vec::new(),
            words: Vec::new(),
        };
        let common = definition.get_arguments().filter(|arg| !is_ours(arg.get_id().as_str()));
        common.for_each(|arg| add(arg, matches, &mut arguments.common, &mut Vec::new()));
        let command = definition.find_subcommand(name)?;
        for arg in command.get_arguments() {
            add(arg, given, &mut arguments.options, &mut arguments.words);
        }
        if given.get_flag("json") {
            arguments.common.push("--json".into());
        }
        for _ in 0..given.get_count("verbose") {
            arguments.common.push("--verbose".into());
        }
        Some(arguments)
    }

    /// Has an option with these values, or none of them, in place of what was given.
    pub(crate) fn set(&mut self, option: &str, value: Option<&str>) {
        let start = format!("--{option}");
        self.options.retain(|word| {
            let rest = word.as_bytes().strip_prefix(start.as_bytes());
            !rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"="))
        });
        self.options.extend(value.map(|value| format!("{start}={value}").into()));
    }

    /// The same command, whose answer is JSON.
    pub(crate) fn into_json(mut self) -> Arguments {
        self.common.retain(|word| word != "--json");
        self.common.push("--json".into());
        self
    }

    /// The same command for other words.
    pub(crate) fn with_words<S: AsRef<OsStr>>(&self, words: &[S]) -> Arguments {
        Arguments {
            words: words.iter().map(|word| word.as_ref().to_owned()).collect(),
            ..self.clone()
        }
    }

    /// Another command in the same scope, whose answer is JSON.
    pub(crate) fn another(&self, command: &str) -> Arguments {
        Arguments {
            common: self.common.clone(),
            command: command.to_owned(),
            options: Vec::new(),
            words: Vec::new(),
        }
        .into_json()
    }

    /// The text for the shell of the other host, from `manage-procs` on.
    pub(crate) fn shell_text(&self) -> OsString {
        let mut text = OsString::from("manage-procs");
        let dashes = (!self.words.is_empty()).then(|| OsString::from("--"));
        let command = [OsString::from(&self.command)];
        let options = self.common.iter().chain(&command).chain(&self.options);
        for word in options.chain(&dashes).chain(&self.words) {
            text.push(" ");
            text.push(quoted(word));
        }
        text
    }
}

/// Returns true for the options that are not passed on as they are.
fn is_ours(id: &str) -> bool {
    matches!(id, "host" | "json" | "verbose")
}

/// Adds an argument that was given to the options, or to the other words.
fn add(
    arg: &clap::Arg,
    matches: &ArgMatches,
    options: &mut Vec<OsString>,
    words: &mut Vec<OsString>,
) {
    let id = arg.get_id().as_str();
    if matches.value_source(id) != Some(ValueSource::CommandLine) {
        return;
    }
    let values = matches.get_raw(id).into_iter().flatten();
    match (arg.get_long(), arg.get_action()) {
        (None, _) => words.extend(values.map(OsStr::to_owned)),
        (Some(long), ArgAction::SetTrue) => {
            if matches.get_flag(id) {
                options.push(format!("--{long}").into());
            }
        }
        (Some(long), _) => options.extend(values.map(|value| {
            let mut option = OsString::from(format!("--{long}="));
            option.push(value);
            option
        })),
    }
}

/// A word in the quotes of a shell, whatever is in the word. sh(1), csh(1), zsh(1) and fish(1) read
/// the result as the same word: fish knows escapes between single quotes, so no backslash is there.
fn quoted(word: &OsStr) -> OsString {
    let mut text = Vec::new();
    let mut is_open = false;
    let mut toggle = |text: &mut Vec<u8>, open: bool| {
        if is_open != open {
            text.push(b'\'');
            is_open = open;
        }
    };
    for &byte in word.as_bytes() {
        let is_special = matches!(byte, b'\'' | b'\\');
        toggle(&mut text, !is_special);
        if is_special {
            text.push(b'\\');
        }
        text.push(byte);
    }
    if text.is_empty() {
        toggle(&mut text, true);
    }
    toggle(&mut text, false);
    OsStr::from_bytes(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::manage::cli;
    use crate::manage::registry::shlex;

    fn arguments(words: &[&str]) -> Arguments {
        let matches = cli::definition().try_get_matches_from(words).unwrap();
        Arguments::of(&cli::definition(), &matches).unwrap()
    }

    #[test]
    fn hosts_are_left_out_and_the_rest_stays() {
        for (line, text) in [
            ("-H h status", "'manage-procs' 'status'"),
            (
                "--system -H h --root /x logs -f -S -1h --no-time vac-*",
                "'manage-procs' '--system' '--root=/x' 'logs' '--follow' '--since=-1h' '--no-time' '--' 'vac-*'",
            ),
            (
                "-v upgrade -H a,b -t 7 x y",
                "'manage-procs' '--verbose' 'upgrade' '--timeout=7' '--' 'x' 'y'",
            ),
            ("--ho=h --json list", "'manage-procs' '--json' 'list'"),
            (
                "-H h add -U ioc -e A=1 -e B=2 x cmd -H -- y",
                "'manage-procs' 'add' '--user=ioc' '--environment=A=1' '--environment=B=2' '--' 'x' 'cmd' '-H' '--' 'y'",
            ),
            ("-H h send x it's -- -n", "'manage-procs' 'send' '--' 'x' 'it'\\''s' '-n'"),
            ("-H h mode x off", "'manage-procs' 'mode' '--' 'x' 'off'"),
        ] {
            let words: Vec<&str> = std::iter::once("manage-procs").chain(line.split(' ')).collect();
            let made = arguments(&words).shell_text().into_string().unwrap();
            assert_eq!(made.replacen("manage-procs", "'manage-procs'", 1), text, "{line}");
        }
    }

    #[test]
    fn the_other_program_understands_the_same() {
        let first = arguments(&["manage-procs", "-H", "h", "send", "x", "--", "-a", "b\\'c", ""]);
        let text = first.shell_text().into_string().unwrap();
        let words = shlex::split(&text).unwrap();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        assert_eq!(arguments(&words), first);
    }

    #[test]
    fn options_can_be_replaced() {
        let mut made = arguments(&["manage-procs", "logs", "-n", "7", "--no-time"]);
        made.set("lines", Some("all"));
        made.set("no-time", None);
        assert_eq!(made.options, ["--lines=all"]);
    }

    proptest! {
        #[test]
        fn any_word_is_one_word_to_a_shell(word in "[ -~\n\t\u{e9}]{0,12}") {
            let text = quoted(OsStr::new(&word)).into_string().unwrap();
            prop_assert_eq!(shlex::split(&text).unwrap(), [word]);
            prop_assert!(!text.contains("\\'") || text.contains('\\'));
        }
    }
}
