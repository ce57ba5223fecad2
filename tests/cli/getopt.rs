//! Taking argv apart, and the words of what is wrong with it.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use procserv_ng::cli;
use procserv_ng::config::LogTarget;
use proptest::prelude::*;

use crate::harness::cases;
use crate::parse::{USAGE, config, long_options, refused, run, run_with};

cases![
    procserv_has_these_options_in_this_order,
    errors_are_in_gnus_words,
    error_text_is_not_reencoded,
    help_and_version_win_over_errors_before_them,
    health_is_asked_for_without_a_server,
    the_first_operand_ends_the_options,
    values_are_taken_as_getopt_takes_them,
    bytes_pass_untouched,
    the_last_one_wins,
    every_unambiguous_prefix_is_the_option,
    options_of_our_own_may_be_shortened_where_procserv_has_none,
    an_empty_argv_is_no_panic,
    every_command_line_is_accepted_or_explained,
    bundles_are_their_letters,
];

fn procserv_has_these_options_in_this_order() {
    let names: Vec<_> = long_options().into_iter().map(|(name, _)| name).collect();
    assert_eq!(
        names.join(" "),
        "allow autorestartcmd coresize chdir debug exec foreground help holdoff ignore info-file \
         killcmd killsig logport logfile logstamp name noautorestart oneshot pidfile port quiet \
         restrict timefmt version wait logoutcmd"
    );
}

fn errors_are_in_gnus_words() {
    let missing = "missing argument";
    refused(&[], &[missing]);
    refused(&["--"], &[missing]);
    refused(&["2000"], &[missing]);
    refused(&["-P", "2000"], &[missing]);
    refused(&["-P", "no spec"], &[missing]);
    refused(&["--bogus"], &["unrecognized option '--bogus'", missing]);
    refused(&["--bogus=3", "1", "c"], &["unrecognized option '--bogus=3'"]);
    refused(&["---"], &["unrecognized option '---'", missing]);
    refused(&["--Port", "1", "c"], &["unrecognized option '--Port'"]);
    refused(&["-Z"], &["invalid option -- 'Z'", missing]);
    refused(&["-1", "c"], &["invalid option -- '1'", missing]);
    refused(
        &["-f?:q-", "1", "c"],
        &["invalid option -- '?'", "invalid option -- ':'", "invalid option -- '-'"],
    );
    refused(&["-k"], &["option requires an argument -- 'k'", missing]);
    refused(&["-fqP"], &["option requires an argument -- 'P'", missing]);
    refused(&["--in"], &["option '--info-file' requires an argument", missing]);
    refused(&["--wait=3", "1", "c"], &["option '--wait' doesn't allow an argument"]);
    refused(&["--fore=", "1", "c"], &["option '--foreground' doesn't allow an argument"]);
    refused(&["--savelog=x", "1", "c"], &["option '--savelog' doesn't allow an argument"]);
    let log = "is ambiguous; possibilities: '--logport' '--logfile' '--logstamp' '--logoutcmd'";
    refused(&["--log", "x", "c"], &[&format!("option '--log' {log}")]);
    refused(&["--lo=3", "x", "c"], &[&format!("option '--lo=3' {log}")]);
    refused(
        &["--bad", "-Zq", "--log", "1", "c"],
        &["unrecognized option '--bad'", "invalid option -- 'Z'", &format!("option '--log' {log}")],
    );
    refused(
        &["--killsig", "40", "--bad", "--killsig=-50"],
        &[
            "invalid kill signal 40 (>31) - using default (9)",
            "unrecognized option '--bad'",
            "invalid kill signal 50 (>31) - using default (9)",
            missing,
        ],
    );
    refused(&["--holdoff", "5s"], &[missing]);
}

fn error_text_is_not_reencoded() {
    let words = [b"--\xff".as_slice(), b"-\xfe"].map(OsStr::from_bytes);
    let exit = run_with(&words, &[]).unwrap_err();
    assert_eq!(
        exit.stderr,
        b"ps: unrecognized option '--\xff'\nps: invalid option -- '\xfe'\nps: missing argument\n"
    );
}

fn help_and_version_win_over_errors_before_them() {
    let version =
        concat!("procServ Process Server 2.9.0 (procserv-ng ", env!("CARGO_PKG_VERSION"), ")\n");
    for (words, stderr) in [
        (&["-V"][..], ""),
        (&["-fqV"], ""),
        (&["--vers", "--bad"], ""),
        (&["-P", "bad", "-l", "70000", "-V"], ""),
        (&["--holdoff", "5s", "-V"], ""),
        (&["--bad", "-V"], "ps: unrecognized option '--bad'\n"),
        (&["--bad", "-V", "-h", "--worse"], "ps: unrecognized option '--bad'\n"),
        (
            &["-q", "--killsig", "40", "-V"],
            "ps: invalid kill signal 40 (>31) - using default (9)\n",
        ),
    ] {
        let exit = run(words).unwrap_err();
        assert_eq!(exit.stdout, version.as_bytes(), "{words:?}");
        assert_eq!(String::from_utf8(exit.stderr).unwrap(), stderr, "{words:?}");
        assert_eq!(exit.code, 0, "{words:?}");
    }
    let exit = run(&["-Z", "--hel", "-V"]).unwrap_err();
    assert!(String::from_utf8(exit.stdout).unwrap().starts_with(USAGE));
    assert_eq!(exit.stderr, b"ps: invalid option -- 'Z'\n");
    assert_eq!(exit.code, 0);
}

fn health_is_asked_for_without_a_server() {
    let asked = |words: &[&str]| {
        let argv = std::iter::once(&"procServ").chain(words).map(OsString::from);
        procserv_ng::cli::health_requested(&argv.collect::<Vec<_>>())
    };
    for words in [&["--health", "x"][..], &["--health=x"], &["-q", "--hea", "x", "y"]] {
        assert_eq!(asked(words), Some("x".into()), "{words:?}");
    }
    // It takes no abbreviation of procServ's, and is nobody else's argument.
    for words in [
        &["--he", "x"][..],
        &["--h", "x"],
        &["-V", "--health", "x"],
        &["--bad", "--health", "x"],
        &["2000", "cmd", "--health", "x"],
        &["-n", "--health", "2000", "cmd"],
        &["--", "--health", "x"],
        &["--health"],
        &[],
    ] {
        assert_eq!(asked(words), None, "{words:?}");
    }
    let exit = run(&["--health", "x", "2000", "cmd"]).unwrap_err();
    assert!(exit.code == 1 && exit.stderr.starts_with(b"ps: --health starts no server\n"));
}

fn the_first_operand_ends_the_options() {
    let config = run(&["-q", "2000", "cmd", "-V", "--bad", "--", "-h"]).unwrap();
    assert_eq!(config.child.command, "cmd");
    assert_eq!(config.child.args, ["-V", "--bad", "--", "-h"]);
    assert!(config.quiet);
    let config = run(&["--", "2000", "-q", "-V"]).unwrap();
    assert_eq!(config.child.command, "-q");
    assert_eq!(config.child.args, ["-V"]);
    assert!(!config.quiet);
    let config = run(&["-P", "2000", "--", "--", "x"]).unwrap();
    assert_eq!(config.child.command, "--");
    assert_eq!(config.child.args, ["x"]);
    let config = run(&["-P2000", "-", "x"]).unwrap();
    assert_eq!(config.child.command, "-");
    let config = run(&["2000", ""]).unwrap();
    assert_eq!(config.child.command, "");
}

fn values_are_taken_as_getopt_takes_them() {
    let config = config(&[
        "-fqn",
        "-x",
        "-c--",
        "--logf",
        "--",
        "--port=unix:a=b",
        "-P",
        "1",
        "--info-file=",
        "-e=x",
    ]);
    assert_eq!(config.child.name, "-x");
    assert_eq!(config.child.chdir.unwrap(), OsStr::new("--"));
    assert_eq!(config.log.target, Some(LogTarget::File("--".into())));
    assert_eq!(config.endpoints.controls.len(), 2);
    assert_eq!(config.endpoints.controls[0].to_bytes(), b"unix:a=b");
    assert_eq!(config.files.info.unwrap(), OsStr::new(""));
    assert_eq!(config.child.exec.unwrap(), "=x");
    // With -P given the first operand is the command.
    assert_eq!(config.child.command, "2000");
}

fn bytes_pass_untouched() {
    let raw = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    let words = [
        raw(b"-n\xff"),
        raw(b"--chdir=\xfe="),
        raw(b"-P"),
        raw(b"unix:\xfd"),
        raw(b"\xfc"),
        raw(b"-\xfb"),
    ];
    let words: Vec<_> = words.iter().map(OsString::as_os_str).collect();
    let config = run_with(&words, &[]).unwrap();
    assert_eq!(config.child.name, raw(b"\xff"));
    assert_eq!(config.child.chdir.unwrap().into_os_string(), raw(b"\xfe="));
    assert_eq!(config.endpoints.controls[0].to_bytes(), b"unix:\xfd");
    assert_eq!(config.child.command, raw(b"\xfc"));
    assert_eq!(config.child.args, [raw(b"-\xfb")]);
}

fn the_last_one_wins() {
    let config = config(&[
        "-n",
        "a",
        "--name=b",
        "-l",
        "bad",
        "-l",
        "2001",
        "-f",
        "-f",
        "--logf",
        "x",
        "-L-",
        "-k^A",
        "-k",
        "^B",
        "--holdoff=3",
        "--holdoff=4",
    ]);
    assert_eq!(config.child.name, "b");
    assert_eq!(config.endpoints.log.unwrap().to_string(), "tcp:0.0.0.0:2001");
    assert_eq!(config.log.target, Some(LogTarget::Stdout));
    assert_eq!(config.console.commands.kill, Some(2));
    assert_eq!(config.restart.holdoff.as_secs(), 4);
}

fn every_unambiguous_prefix_is_the_option() {
    let options = long_options();
    for (name, takes_value) in &options {
        for length in 1..=name.len() {
            let prefix = &name[..length];
            let rivals: Vec<_> = options
                .iter()
                .filter(|(other, _)| other.starts_with(prefix))
                .map(|(other, _)| format!(" '--{other}'"))
                .collect();
            let rivals = (rivals.len() > 1 && prefix != name).then(|| rivals.concat());
            // What an option says when it is used wrongly tells which one it was.
            let (word, line) = match (rivals, takes_value) {
                (Some(rivals), _) => (
                    format!("--{prefix}"),
                    format!("option '--{prefix}' is ambiguous; possibilities:{rivals}"),
                ),
                (None, true) if name == "logstamp" => continue,
                (None, true) => {
                    (format!("--{prefix}"), format!("option '--{name}' requires an argument"))
                }
                (None, false) => (
                    format!("--{prefix}=x"),
                    format!("option '--{name}' doesn't allow an argument"),
                ),
            };
            refused(&[&word], &[&line, "missing argument"]);
        }
    }
    assert_eq!(config(&["--logst=x"]).log.stamp.unwrap(), b"x");
}

fn options_of_our_own_may_be_shortened_where_procserv_has_none() {
    assert_eq!(config(&["--g", "7"]).restart.grace.as_secs(), 7);
    assert_eq!(config(&["-g7"]).restart.grace.as_secs(), 7);
    assert!(config(&["--sa"]).log.save);
    assert!(config(&["--sig"]).restart.signal_status);
    assert!(!config(&["--re", "--no"]).log.save);
}

fn an_empty_argv_is_no_panic() {
    let exit = cli::parse(Vec::new(), &|_| None).unwrap_err();
    assert_eq!(exit.stderr, b"procServ: missing argument\n");
    assert_eq!(exit.code, 1);
}

fn word() -> impl Strategy<Value = String> {
    let names: Vec<_> = long_options().into_iter().map(|(name, _)| name).collect();
    prop_oneof![
        "-[a-zA-Z?:=-]{0,5}",
        (prop::sample::select(names), 0..15_usize, "(=[a-z0-9^-]{0,3})?").prop_map(
            |(name, length, value)| format!("--{}{value}", &name[..length.min(name.len())])
        ),
        "[ -~]{0,6}",
    ]
}

proptest! {
    fn every_command_line_is_accepted_or_explained(words in prop::collection::vec(word(), 0..8)) {
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        match run(&words) {
            Ok(config) => prop_assert!(!config.endpoints.controls.is_empty()),
            Err(exit) if exit.code == 0 => prop_assert!(!exit.stdout.is_empty()),
            Err(exit) => {
                prop_assert_eq!(exit.code, 1);
                prop_assert!(exit.stderr.ends_with(b"\n"));
                prop_assert!(exit.stdout.is_empty() || exit.stdout == USAGE.as_bytes());
            }
        }
    }

    /// A bundle is its letters, and a value may be attached or the next word.
    fn bundles_are_their_letters(
        flags in "[dfoqw]{1,5}",
        option in prop::sample::select(vec!["c", "e", "i", "I", "k", "L", "n", "p", "x", "g", "l", "P"]),
        value in "[1-9]{1,4}",
    ) {
        let operands = ["2000", "cmd"];
        let mut single: Vec<String> = flags.chars().map(|flag| format!("-{flag}")).collect();
        single.extend([format!("-{option}"), value.clone()]);
        let attached = vec![format!("-{flags}{option}{value}")];
        let next = vec![format!("-{flags}{option}"), value];
        let [single, attached, next] = [single, attached, next].map(|words| {
            let words: Vec<_> = words.iter().map(String::as_str).chain(operands).collect();
            format!("{:?}", run(&words).unwrap())
        });
        prop_assert_eq!(&single, &attached);
        prop_assert_eq!(&single, &next);
    }
}
