//! The shell completions in contrib/completions are what the definition of the options makes, and
//! their shells complete with them. After a change: `PROCSERV_WRITE=1 cargo test --test cli completions`.

use crate::harness::cases;
use std::path::Path;
use std::process::Command;
use std::{env, fs};

use clap::{Arg, ArgAction, ValueHint};
use clap_complete::{Shell, generate_to};
use procserv_ng::{cli, manage};

const DIRECTORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/contrib/completions");
const SHELLS: [Shell; 3] = [Shell::Bash, Shell::Zsh, Shell::Fish];

cases![
    files_are_what_the_definition_makes,
    bash_completes.needs("bash"),
    bash_completes_manage_procs.needs("bash"),
    zsh_takes_its_file.needs("zsh"),
    fish_completes.needs("fish"),
];

fn files_are_what_the_definition_makes() {
    // The child's command line, which the server's own parsing takes off before clap sees the rest.
    let mut definition = cli::definition().arg(
        Arg::new("command")
            .action(ArgAction::Append)
            .num_args(1..)
            .trailing_var_arg(true)
            .value_hint(ValueHint::CommandWithArguments),
    );
    compare("procServ", &mut definition);
    compare("manage-procs", &mut manage::cli::definition());
}

fn compare(name: &str, definition: &mut clap::Command) {
    let made = tempfile::tempdir().unwrap();
    for shell in SHELLS {
        let path = generate_to(shell, definition, name, made.path()).unwrap();
        let kept = Path::new(DIRECTORY).join(path.file_name().unwrap());
        if env::var_os("PROCSERV_WRITE").is_some() {
            fs::copy(&path, &kept).unwrap();
        }
        let made = fs::read_to_string(&path).unwrap();
        assert!(made == fs::read_to_string(&kept).unwrap(), "not up to date: {}", kept.display());
    }
}

/// What `script` writes, run by `shell` in the directory of the files; nothing may go to stderr.
#[track_caller]
fn run(shell: &str, options: &[&str], script: &str) -> String {
    let mut command = Command::new(shell);
    command.args(options).args(["-c", script]).current_dir(DIRECTORY);
    let output = command.output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert!(output.status.success(), "{}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// The options that begin with `--log`.
fn expected() -> Vec<String> {
    let definition = cli::definition();
    let longs = definition.get_arguments().filter_map(|arg| arg.get_long());
    let mut longs: Vec<_> =
        longs.filter(|long| long.starts_with("log")).map(|long| format!("--{long}")).collect();
    longs.sort();
    longs
}

/// The first word of each line, in order.
fn offered(lines: &str) -> Vec<&str> {
    let mut words: Vec<_> = lines.lines().filter_map(|line| line.split('\t').next()).collect();
    words.sort_unstable();
    words
}

fn bash_completes() {
    let script = "source ./procServ.bash || exit
        complete -p procServ
        COMP_WORDS=(procServ --log) COMP_CWORD=1
        _procServ procServ --log procServ
        printf '%s\\n' \"${COMPREPLY[@]}\"";
    let said = run("bash", &["--norc"], script);
    let (rule, words) = said.split_once('\n').unwrap();
    assert_eq!(rule, "complete -o bashdefault -o default -o nosort -F _procServ procServ");
    assert_eq!(offered(words), expected());
    // What follows a file option is a file of this directory.
    let script = "source ./procServ.bash || exit
        compopt() { :; }
        COMP_WORDS=(procServ --logfile proc) COMP_CWORD=2
        _procServ procServ proc --logfile
        printf '%s\\n' \"${COMPREPLY[@]}\"";
    assert_eq!(offered(&run("bash", &["--norc"], script)), ["procServ.bash", "procServ.fish"]);
}

fn bash_completes_manage_procs() {
    let script = "source ./manage-procs.bash || exit
        COMP_WORDS=(manage-procs re) COMP_CWORD=1
        _manage__procs manage-procs re manage-procs
        printf '%s\\n' \"${COMPREPLY[@]}\"";
    let said = run("bash", &["--norc"], script);
    assert_eq!(offered(&said), ["remove", "restart"]);
}

fn zsh_takes_its_file() {
    let script = "zsh -fn _procServ || exit
        fpath=($PWD $fpath)
        autoload -U compinit && compinit -D -u
        print $_comps[procServ]";
    let said = run("zsh", &["-f"], script);
    assert_eq!(said, "_procServ\n");
}

fn fish_completes() {
    let script = "source procServ.fish; and complete -C 'procServ --log'";
    let said = run("fish", &["--no-config"], script);
    assert_eq!(offered(&said), expected());
}
