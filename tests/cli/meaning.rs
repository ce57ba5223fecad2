//! What the options mean, alone and together.

use std::ffi::OsStr;

use procserv_ng::config::network::AllowedNetworks;
use procserv_ng::config::{MessageStyle, RestartMode, RunMode, WindowPolicy, WindowSize};

use crate::harness::cases;
use crate::parse::{config, run, run_with, warnings};

cases![
    defaults,
    the_environment_gives_pidfile_and_debug,
    restart_modes,
    service_manager_is_told_if_asked_for,
    service_manager_needs_the_foreground_and_a_line,
    sockets_for_the_child_add_up,
    children_overlap_if_asked_to,
    options_of_our_own_are_strict,
    holdoff_limit,
    stamps,
    numbers_are_read_like_atoi,
    kill_signals,
    number_warnings,
    numbers_beyond_range_are_told_in_every_option,
    permissions_beyond_range_are_told,
    an_invalid_kill_signal_is_always_said,
    endpoint_errors,
    access_options_concern_their_own_endpoints,
    ignore_lists,
];

fn defaults() {
    let config = config(&[]);
    assert_eq!(config.argv0, "ps");
    assert_eq!(config.endpoints.controls.len(), 1);
    assert_eq!(config.endpoints.controls[0].to_string(), "tcp:127.0.0.1:2000");
    assert_eq!(config.endpoints.log, None);
    assert_eq!(config.child.command, "cmd");
    assert_eq!(config.child.name, "cmd");
    assert!(config.child.args.is_empty());
    assert_eq!((config.child.exec, config.child.chdir, config.child.core_size), (None, None, None));
    assert_eq!(config.run_mode, RunMode::Daemon);
    assert_eq!((config.restart.holdoff.as_secs(), config.restart.grace.as_secs()), (15, 0));
    assert_eq!(config.restart.kill_signal, 9);
    assert_eq!((config.log.target, config.log.stamp), (None, None));
    assert_eq!(config.restart.mode, RestartMode::On);
    assert!(!config.restart.wait && !config.quiet && !config.log.save);
    assert_eq!((config.files.pid, config.files.info), (None, None));
    assert_eq!(config.console.time_format, b"%c");
    assert_eq!(config.console.commands.kill, Some(0x18));
    assert_eq!(config.console.commands.toggle, Some(0x14));
    assert_eq!(config.console.commands.logout, None);
    assert!(config.warnings.is_empty());
}

fn the_environment_gives_pidfile_and_debug() {
    let with = |words: &[&str], env| {
        let words: Vec<_> = words.iter().chain(&["2000", "cmd"]).map(OsStr::new).collect();
        run_with(&words, env).unwrap()
    };
    let pid = [("PROCSERV_PID", "env")];
    assert_eq!(with(&[], &pid).files.pid.unwrap(), OsStr::new("env"));
    assert_eq!(with(&["-p", "x"], &pid).files.pid.unwrap(), OsStr::new("x"));
    assert_eq!(with(&["-p", ""], &pid).files.pid.unwrap(), OsStr::new(""));
    assert_eq!(with(&[], &[("PROCSERV_PID", "")]).files.pid, None);
    let debug = [("PROCSERV_DEBUG", "")];
    assert_eq!(with(&[], &debug).run_mode, RunMode::Debug);
    assert_eq!(with(&["-f"], &debug).run_mode, RunMode::DebugForeground);
    assert_eq!(with(&["-f"], &[]).run_mode, RunMode::Foreground);
    assert_eq!(with(&["-d"], &[]).run_mode, RunMode::Debug);
}

fn restart_modes() {
    assert_eq!(config(&["-o"]).restart.mode, RestartMode::Oneshot);
    assert_eq!(config(&["--noauto"]).restart.mode, RestartMode::Off);
    assert_eq!(config(&["--noauto", "--oneshot"]).restart.mode, RestartMode::Oneshot);
    assert_eq!(config(&["--oneshot", "--noauto"]).restart.mode, RestartMode::Off);
}

fn service_manager_is_told_if_asked_for() {
    assert!(!config(&["-f"]).service.notify);
    assert!(config(&["-f", "--notify"]).service.notify);
    assert_eq!(config(&["-f", "--notify"]).restart.ready, None);
    assert!(!config(&["-f", "--notify"]).service.fdstore);
    let kept = config(&["-f", "--fdstore"]);
    assert!(kept.service.fdstore && kept.service.notify);
    let ready = config(&["-d", "--rea", "it is up", "-f"]);
    assert!(ready.service.notify);
    assert_eq!(ready.restart.ready.unwrap(), b"it is up");
    assert_eq!(config(&["-f", "--ready=a", "--ready=b", "--not"]).restart.ready.unwrap(), b"b");
    // Nothing of procServ's means them.
    assert_eq!(config(&["--no"]).restart.mode, RestartMode::Off);
    assert!(!config(&["--re"]).service.notify);
}

fn service_manager_needs_the_foreground_and_a_line() {
    for (options, problem) in [
        (&["--notify"][..], "--notify needs --foreground"),
        (&["--notify", "-d"], "--notify needs --foreground"),
        (&["--ready", "up"], "--ready needs --foreground"),
        (&["--fdstore"], "--fdstore needs --foreground"),
        (&["-f", "--ready="], "--ready needs a text"),
        (&["-f", "--ready", "a\nb"], "--ready looks for a text within one line"),
    ] {
        let exit = run(&[options, &["2000", "cmd"]].concat()).unwrap_err();
        assert_eq!(String::from_utf8(exit.stderr).unwrap(), format!("ps: {problem}\n"));
        assert_eq!((exit.stdout, exit.code), (Vec::new(), 1));
    }
}

fn sockets_for_the_child_add_up() {
    assert!(config(&["-f"]).child.listen.is_empty());
    let listen = config(&["--listen", "tcp://:80", "--liste=unix:///run/x"]).child.listen;
    let texts: Vec<&[u8]> = listen.iter().map(|uri| uri.text.as_slice()).collect();
    assert_eq!(texts, [&b"tcp://:80"[..], b"unix:///run/x"]);
    let exit = run(&["--listen", "x", "2000", "cmd"]).unwrap_err();
    assert!(exit.stderr.starts_with(b"ps: --listen x is none of tcp://"));
    assert_eq!(exit.code, 1);
}

fn children_overlap_if_asked_to() {
    assert_eq!(config(&["--killsig", "9"]).restart.overlap, None);
    let overlap = |options: &[&str]| config(options).restart.overlap.unwrap();
    let default = overlap(&["--overlap", "1500"]);
    assert_eq!((default.after.as_millis(), default.grace.as_secs()), (1500, 10));
    assert_eq!(default.command, None);
    assert_eq!(config(&["--overlap=0"]).restart.grace.as_secs(), 0, "that of SIGTERM");
    assert_eq!(overlap(&["--overlap=0", "-g", "0"]).grace.as_secs(), 0);
    assert_eq!(overlap(&["-g7", "--overl=1", "--reload=^U"]).command, Some(0x15));
    assert_eq!(overlap(&["--overlap=1", "--reloadcmd="]).command, None);
    assert!(config(&["--overlap=1", "--reloadcmd=^U"]).console.ignore.contains(0x15));
    let exit = run(&["--overlap=1", "--child-pidfile=p", "2000", "cmd"]).unwrap_err();
    let refused = b"ps: --overlap does not go with --child-pidfile: a daemon is not replaced\n";
    assert_eq!((&*exit.stderr, exit.code), (&refused[..], 1));
    // Shortened as procServ shortens its own, these are its own.
    assert!(config(&["--re"]).restart.overlap.is_none());
}

fn options_of_our_own_are_strict() {
    assert_eq!(config(&[]).console.history, 0);
    assert_eq!(config(&["--history", "64M"]).console.history, 64 << 20);
    assert_eq!(config(&["--history=10k", "--hist", "7"]).console.history, 7);
    assert_eq!(config(&["--history=64K"]).console.history, 64 << 10);
    for size in ["64k", "64K", "64m", "64M", "64g", "64G"] {
        let rotation = config(&["-L", "log", "--log-rotate", size]).log.rotation;
        assert!(rotation.is_some(), "{size}");
        let events = config(&["--events", "a,1", "--events-rotate", size]).files;
        assert_eq!((events.events_rotation, events.events), (rotation, Some("a,1".into())));
    }
    assert_eq!(config(&[]).console.style, MessageStyle::Current);
    assert_eq!(config(&["--compat", "2.7"]).console.style, MessageStyle::V2_7);
    assert!(config(&[]).console.join_line_ends);
    assert!(config(&["--crlf", "join"]).console.join_line_ends);
    assert!(!config(&["--crlf", "join", "--cr=keep"]).console.join_line_ends);
    assert_eq!(config(&[]).console.window, WindowPolicy::Unset);
    assert_eq!(config(&["--win=follow"]).console.window, WindowPolicy::Follow);
    let size = WindowSize { columns: 65535, rows: 1 };
    assert_eq!(config(&["--window", "65535x1"]).console.window, WindowPolicy::Fixed(size));
    assert_eq!(config(&["--te", "vt100"]).child.term, Some("vt100".into()));
    // procServ's own options keep their abbreviations.
    assert_eq!(config(&["--t", "%s"]).console.time_format, b"%s");
    assert!(config(&["--w"]).restart.wait);
    assert!(!config(&["-L", "log", "--logst"]).log.plain);
    assert!(config(&["-L", "-", "--log-p"]).log.plain);
    assert_eq!(config(&[]).endpoints.allow_from, None);
    let networks =
        config(&["--allow-from", "10.0.0.0/8", "--allow-f=::1,10.1.1.1"]).endpoints.allow_from;
    let mut expected = AllowedNetworks::default();
    expected.add("10.0.0.0/8,::1,10.1.1.1").unwrap();
    assert_eq!(networks, Some(expected));
    // It opens nothing.
    assert_eq!(
        config(&["--allow-from", "0.0.0.0/0"]).endpoints.controls[0].to_string(),
        "tcp:127.0.0.1:2000"
    );
    for (options, problem) in [
        (
            ["--history", "65M"],
            "invalid size '65M' for --history (bytes, or with k or M, up to 64M)",
        ),
        (
            ["--window", "80*24"],
            "invalid size '80*24' for --window (follow, or COLSxROWS as in 80x24)",
        ),
        (["--term", "a b"], "invalid name 'a b' for --term (a terminal type, as xterm-256color)"),
        (["--crlf", "JOIN"], "invalid value 'JOIN' for --crlf (join or keep)"),
        (["--crlf", ""], "invalid value '' for --crlf (join or keep)"),
        (["--log-plain", "-f"], "--log-plain needs --logfile"),
        (["--compat", "2.8"], "invalid version '2.8' for --compat (only 2.7)"),
        (
            ["--allow-from", "10/8"],
            "invalid network '10/8' for --allow-from ([user=|logger=|viewer=] ADDRESS or ADDRESS/BITS)",
        ),
    ] {
        let exit = run(&[&options[..], &["2000", "cmd"]].concat()).unwrap_err();
        assert_eq!(String::from_utf8(exit.stderr).unwrap(), format!("ps: {problem}\n"));
        assert_eq!((exit.stdout, exit.code), (Vec::new(), 1));
    }
    // Nothing of procServ's means them.
    assert_eq!(config(&["--allow"]).endpoints.controls[0].to_string(), "tcp:0.0.0.0:2000");
    assert_eq!(config(&["--al"]).endpoints.controls[0].to_string(), "tcp:0.0.0.0:2000");
    assert_eq!(config(&["--co", "5"]).child.core_size, Some(5));
    assert_eq!(config(&["--ho", "5"]).restart.holdoff.as_secs(), 5);
}

fn holdoff_limit() {
    let both = |options: &[&str]| {
        let config = config(options);
        (config.restart.holdoff.as_secs(), config.restart.holdoff_max.as_secs())
    };
    assert_eq!(both(&[]), (15, 15));
    assert_eq!(both(&["--holdoff", "0"]), (0, 0));
    assert_eq!(both(&["--holdoff-max", "60", "--ho", "2"]), (2, 60));
    assert_eq!(both(&["--holdoff-max=15"]), (15, 15));
}

fn stamps() {
    let stamp =
        |options: &[&str]| config(options).log.stamp.map(|it| String::from_utf8(it).unwrap());
    assert_eq!(stamp(&["--logstamp"]).unwrap(), "[%c] ");
    assert_eq!(stamp(&["--logstamp", "--timefmt", "%T"]).unwrap(), "[%T] ");
    assert_eq!(stamp(&["--logstamp="]).unwrap(), "");
    assert_eq!(stamp(&["--logstamp=%F ", "--timefmt", "%T"]).unwrap(), "%F ");
    // Seen with procServ 2.7.0: the bare option takes no format back.
    assert_eq!(stamp(&["--logstamp=A", "--logstamp"]).unwrap(), "A");
    assert_eq!(stamp(&["--timefmt", "%T"]), None);
}

fn numbers_are_read_like_atoi() {
    for (value, holdoff) in [
        ("5s", 5),
        ("x", 0),
        ("", 0),
        ("+7", 7),
        (" 8", 8),
        ("0.9", 0),
        ("1.5", 1),
        ("-3", 15),
        ("4294967301", 5),
        ("99999999999999999999", 15),
    ] {
        assert_eq!(config(&["--holdoff", value]).restart.holdoff.as_secs(), holdoff, "{value:?}");
    }
    assert_eq!(config(&["--holdoff=4", "--holdoff=-1"]).restart.holdoff.as_secs(), 4);
    assert_eq!(config(&["--coresize="]).child.core_size, Some(0));
    assert_eq!(config(&["--coresize", "-1"]).child.core_size, None);
    assert_eq!(config(&["--coresize=9000000000"]).child.core_size, Some(9_000_000_000));
    assert_eq!(config(&["-g", "-1"]).restart.grace.as_secs(), 0);
}

fn kill_signals() {
    for (value, signal) in [
        ("15", 15),
        ("-15", 15),
        ("+2", 2),
        ("0", 0),
        ("", 0),
        ("x", 0),
        ("31", 31),
        ("32", 9),
        ("-40", 9),
        ("TERM", 15),
        ("SIGTERM", 15),
        ("sigint", 2),
        ("hup", 1),
        ("SIGSIGTERM", 0),
    ] {
        assert_eq!(config(&["--killsig", value]).restart.kill_signal, signal, "{value:?}");
    }
    assert_eq!(config(&["--killsig=TERM", "--killsig=99"]).restart.kill_signal, 15);
}

fn number_warnings() {
    for value in ["5", "", "+5", "-", "-0", "2147483647"] {
        assert!(warnings(&["--holdoff", value, "--coresize", value]).is_empty(), "{value:?}");
    }
    for size in ["9999999999999", "9223372036854775807"] {
        assert!(warnings(&["--coresize", size]).is_empty(), "{size:?}");
    }
    for signal in ["", "-9", "TERM", "SIGKILL", "int"] {
        assert!(warnings(&["--killsig", signal]).is_empty(), "{signal:?}");
    }
    let odd = ["--hold=5s", "--core=1k", "--killsig=FOO", "-g", "x"];
    assert_eq!(
        warnings(&odd),
        [
            "ps: invalid number '5s' for --holdoff - using 5",
            "ps: invalid number '1k' for --coresize - using 1",
            "ps: invalid number 'FOO' for --killsig - using 0",
            "ps: invalid number 'x' for --grace-period - using 0",
        ]
    );
    assert_eq!(
        warnings(&["--hold=-5s", "--core=-1k"]),
        [
            "ps: invalid number '-5s' for --holdoff - using 15",
            "ps: invalid number '-1k' for --coresize - using the default",
        ]
    );
    assert!(warnings(&[&odd[..], &["-q"]].concat()).is_empty());
}

/// What is known of each option that takes a value: whether a number is expected, and in which form.
fn forms(option: &str) -> &'static [&'static str] {
    match option {
        "coresize" | "grace-period" | "history" | "holdoff" | "killsig" => &["N"],
        "holdoff-max" => &["N"],
        "overlap" => &["N"],
        "window" => &["Nx24", "80xN"],
        "log-rotate" | "events-rotate" => &["N", "5,N", "Nk"],
        "api" => &["unix:::N:path"],
        "port" | "logport" => &["N", "127.0.0.1:N", "N.0.0.1:1", "[::1]:N", "unix:::N:path"],
        "listen" => &["tcp://:N", "fd://N"],
        "allow-from" => &["10.0.0.0/N", "N.0.0.0", "::/N"],
        "autorestartcmd" | "chdir" | "child-pidfile" | "compat" | "crlf" | "events" | "exec"
        | "health" | "ignore" | "info-file" | "killcmd" | "logfile" | "logoutcmd" | "logstamp"
        | "name" | "pidfile" | "ready" | "reloadcmd" | "status-file" | "stop-input" | "syslog"
        | "term" | "timefmt" | "user" => &[],
        _ => panic!("is there a number in --{option}?"),
    }
}

fn numbers_beyond_range_are_told_in_every_option() {
    let definition = procserv_ng::cli::definition();
    let options = definition.get_arguments().filter(|arg| arg.get_action().takes_values());
    for option in options.map(|arg| arg.get_long().unwrap()) {
        for form in forms(option) {
            let most = "9".repeat(40);
            for number in ["-1", "-99999999999999999999", "18446744073709551616", &most] {
                // The kill signal has no sign.
                if (option, number) == ("killsig", "-1") {
                    continue;
                }
                let given = format!("--{option}={}", form.replace('N', number));
                let words = [&*given, "--logfile=log", "--port=unix:ctl", "cmd"];
                match run(&words) {
                    Ok(config) => {
                        let told = config.warnings.len();
                        assert!(told == 1, "{given}: {told} warnings");
                    }
                    Err(exit) => assert!(exit.code == 1 && !exit.stderr.is_empty(), "{given}"),
                }
            }
        }
    }
    for (option, number, used) in [
        ("holdoff", "-1", "15"),
        ("holdoff", "2147483648", "15"),
        ("holdoff", "4294967301", "5"),
        ("coresize", "-1", "the default"),
        ("coresize", "9223372036854775808", "9223372036854775807"),
        ("grace-period", "2147483648", "0"),
        ("killsig", "4294967296", "0"),
        ("killsig", "18446744073709551616", "1"),
    ] {
        let given = format!("--{option}={number}");
        let expected = format!("ps: invalid number '{number}' for --{option} - using {used}");
        assert_eq!(warnings(&[&given]), [expected]);
    }
}

fn permissions_beyond_range_are_told() {
    for perm in ["", "0", "660", "0660", "+660", "7777"] {
        let given = format!("unix:::{perm}:path");
        assert!(warnings(&["-P", &given, "-l", &given]).is_empty(), "{perm}");
    }
    for (perm, used) in
        [("10000", "0"), ("17777", "7777"), ("-1", "7777"), ("rw", "0"), ("668", "66")]
    {
        let expected =
            |option| format!("ps: invalid number '{perm}' for --{option} - using {used}");
        let given = format!("raw:unix:::{perm}:path");
        assert_eq!(warnings(&["-P", &given, "-l", &given]), ["port", "logport"].map(expected));
        let warnings = run(&[&given, "cmd"]).unwrap().warnings;
        assert_eq!(warnings, [expected("port").into_bytes()]);
    }
}

/// Unlike other remarks, and as in procServ, these come under `-q`, too.
fn an_invalid_kill_signal_is_always_said() {
    let said = warnings(&["-q", "--killsig", "40x", "--killsig", "5", "--killsig=-60"]);
    assert_eq!(
        said,
        [
            "ps: invalid kill signal 40 (>31) - using default (9)",
            "ps: invalid kill signal 60 (>31) - using default (5)",
        ]
    );
}

fn endpoint_errors() {
    for (words, stderr) in [
        (&["bogus", "c"][..], "Invalid socket spec 'bogus'\n"),
        (&["-l", "bad", "-P", "bogus", "c"], "Invalid socket spec 'bogus'\n"),
        (&["-l", "bad", "-P", "1", "c"], "Invalid socket spec 'bad'\n"),
        (&["-l", "", "1", "c"], "Invalid socket spec ''\n"),
        (&["-P", "1", "-P", "2x", "c"], "Invalid socket spec '2x'\n"),
        (&["-l", "70000", "1", "c"], "ps: invalid control port 70000 (must be <65536)\n"),
        (
            &["--killsig", "40", "-q", "unix:", "c"],
            "ps: invalid kill signal 40 (>31) - using default (9)\nexpected unix socket path spec.\n",
        ),
    ] {
        let exit = run(words).unwrap_err();
        assert_eq!(String::from_utf8(exit.stderr).unwrap(), stderr, "{words:?}");
        assert_eq!(exit.stdout, b"", "{words:?}");
        assert_eq!(exit.code, 1, "{words:?}");
    }
}

fn access_options_concern_their_own_endpoints() {
    let shown = |options: &[&str]| {
        let config =
            run(&[options, &["-l", "1.2.3.4:1", "-P", "5.6.7.8:2", "c"]].concat()).unwrap();
        format!("{} {}", config.endpoints.log.unwrap(), config.endpoints.controls[0])
    };
    assert_eq!(shown(&[]), "tcp:1.2.3.4:1 tcp:127.0.0.1:2");
    assert_eq!(shown(&["--allow"]), "tcp:1.2.3.4:1 tcp:5.6.7.8:2");
    assert_eq!(shown(&["--restrict"]), "tcp:127.0.0.1:1 tcp:127.0.0.1:2");
    // Options count wherever they stand among the options.
    let config = run(&["-P", "3", "--allow", "c"]).unwrap();
    assert_eq!(config.endpoints.controls[0].to_string(), "tcp:0.0.0.0:3");
}

fn ignore_lists() {
    let ignored = |options: &[&str]| {
        let set = config(options).console.ignore;
        (0..=255).filter(|&byte| set.contains(byte)).collect::<Vec<u8>>()
    };
    let no_commands = ["-k", "", "--autorestartcmd="];
    assert_eq!(ignored(&[]), [0, 0x14, 0x18]);
    assert_eq!(ignored(&no_commands), b"");
    assert_eq!(ignored(&[&no_commands[..], &["-i", ""]].concat()), [0]);
    assert_eq!(ignored(&[&no_commands[..], &["-xq"]].concat()), b"\0q");
    assert_eq!(ignored(&["-i^D^C^]", "-x^q", "-k^@"]), [0, 3, 4, 0x11, 0x14, 0x1d]);
    assert_eq!(ignored(&["-i", "a", "-i", "b"]), [0, 0x14, 0x18, b'b']);
}
