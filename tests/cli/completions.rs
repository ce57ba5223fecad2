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
    bash_completes_instances.needs("bash"),
    zsh_takes_its_file.needs("zsh"),
    zsh_completes_instances.needs("zsh"),
    fish_completes.needs("fish"),
    fish_completes_instances.needs("fish"),
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
        if name == "manage-procs" {
            let made = with_instances(shell, &fs::read_to_string(&path).unwrap(), definition);
            fs::write(&path, made).unwrap();
        }
        let kept = Path::new(DIRECTORY).join(path.file_name().unwrap());
        if env::var_os("PROCSERV_WRITE").is_some() {
            fs::copy(&path, &kept).unwrap();
        }
        let made = fs::read_to_string(&path).unwrap();
        assert!(made == fs::read_to_string(&kept).unwrap(), "not up to date: {}", kept.display());
    }
}

/// The end of the file for bash. A colon in a name ends a word there, so the line is split here.
const BASH_INSTANCES: &str = r#"
_manage__procs_instances() {
    _manage__procs "$@"
    local line="${COMP_LINE:0:COMP_POINT}" words names
    read -ra words <<<"$line"
    [[ $line != *[[:space:]] ]] || words+=("")
    names=$("$1" complete -- "${words[@]:1}" 2>/dev/null)
    [[ -n $names ]] || return 0
    local typed="${words[-1]}"
    mapfile -t COMPREPLY <<<"$names"
    if [[ $COMP_WORDBREAKS == *:* ]]; then
        COMPREPLY=("${COMPREPLY[@]#"${typed%"${typed##*:}"}"}")
    fi
}

complete -F _manage__procs_instances -o bashdefault -o default manage-procs
"#;

/// What zsh calls for an argument that is an instance.
const ZSH_INSTANCES: &str = r#"(( $+functions[_manage-procs_instances] )) ||
_manage-procs_instances() {
    local -a line names
    line=(${(z)LBUFFER})
    [[ $LBUFFER != *[[:space:]] ]] || line+=('')
    line=("${(@Q)line[$(( ${line[(I)*manage-procs]} + 1 )),-1]}")
    names=(${(f)"$(manage-procs complete -- "${line[@]}" 2>/dev/null)"})
    if (( $#names )); then
        compadd -a names
    else
        _default
    fi
}

"#;

const FISH_INSTANCES: &str = r#"function __fish_manage_procs_instances
    set -l words (commandline -opc) (commandline -ct)
    $words[1] complete -- $words[2..] 2>/dev/null
end

"#;

/// The file for a shell, which asks the program for the names of instances.
fn with_instances(shell: Shell, made: &str, definition: &clap::Command) -> String {
    match shell {
        Shell::Zsh => {
            let end = "if [ \"$funcstack[1]\"";
            let (functions, end) = made.split_at(made.find(end).unwrap());
            let line = |line: &str| match line.contains("pattern -- ")
                || line.contains(":console -- ")
                || line.starts_with("':name -- ")
            {
                true => line.replace(":_default'", ":_manage-procs_instances'") + "\n",
                false => format!("{line}\n"),
            };
            let functions: String = functions.lines().map(line).collect();
            functions + ZSH_INSTANCES + end
        }
        Shell::Fish => {
            let takes = |command: &&clap::Command| {
                let id =
                    |arg: &Arg| ["name", "pattern", "console"].contains(&arg.get_id().as_str());
                command.get_name() != "add" && command.get_positionals().any(id)
            };
            let commands = definition.get_subcommands().filter(takes);
            let commands: Vec<&str> = commands.map(clap::Command::get_name).collect();
            format!(
                "{made}\n{FISH_INSTANCES}complete -c manage-procs -n \
                 \"__fish_manage_procs_using_subcommand {}\" -f -a \
                 \"(__fish_manage_procs_instances)\"\n",
                commands.join(" ")
            )
        }
        _ => format!("{made}{BASH_INSTANCES}"),
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

/// With instances `vac1`, `vac:2` and `ioc`, and the program in the path.
fn home() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join(".config/procServ.conf");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, "[vac1]\ncommand = x\n[vac:2]\ncommand = x\n[ioc]\ncommand = x\n").unwrap();
    let program = env!("CARGO_BIN_EXE_manage-procs");
    std::os::unix::fs::symlink(program, home.path().join("manage-procs")).unwrap();
    home
}

/// The beginning of a script that uses these instances. As root, `--user` has to be typed.
fn at_home(home: &tempfile::TempDir) -> String {
    let path = home.path().display();
    format!("export HOME={path} PATH={path}:$PATH XDG_RUNTIME_DIR={path}\n")
}

fn bash_completes_instances() {
    let home = home();
    for (line, expected) in [
        ("attach v", &["vac1", "vac:2"][..]),
        ("attach vac:", &["2"]),
        ("-v status ioc ", &["ioc", "vac1", "vac:2"]),
        ("logs -n 7 i", &["ioc"]),
        ("set i", &["ioc"]),
        // Not the name of an instance.
        ("--root i", &[]),
        ("logs -n i", &[]),
        ("add i", &[]),
        ("attach ioc i", &[]),
        ("set ioc i", &[]),
    ] {
        let script = format!(
            "{}source ./manage-procs.bash || exit
            compopt() {{ :; }}
            COMP_LINE='manage-procs --user {line}'
            COMP_POINT=${{#COMP_LINE}} COMP_WORDS=($COMP_LINE) COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
            _manage__procs_instances manage-procs \"${{COMP_WORDS[-1]}}\" x
            printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            at_home(&home)
        );
        let said = run("bash", &["--norc"], &script);
        let words: Vec<&str> = offered(&said).into_iter().filter(|word| !word.is_empty()).collect();
        assert_eq!(words, expected, "{line}");
    }
}

fn zsh_completes_instances() {
    let home = home();
    let script = format!(
        "{}zsh -fn _manage-procs || exit
        compdef() {{ :; }}
        compadd() {{ print -l $names; }}
        _default() {{ print default; }}
        source ./_manage-procs
        LBUFFER='echo; manage-procs --user attach vac'
        _manage-procs_instances
        LBUFFER='manage-procs --user status ioc '
        _manage-procs_instances
        LBUFFER='manage-procs --user attach ioc i'
        _manage-procs_instances",
        at_home(&home)
    );
    let said = run("zsh", &["-f"], &script);
    assert_eq!(said, "vac1\nvac:2\nioc\nvac1\nvac:2\ndefault\n");
    let file = fs::read_to_string(Path::new(DIRECTORY).join("_manage-procs")).unwrap();
    assert_eq!(
        file.matches(":_manage-procs_instances'").count(),
        file.matches("pattern -- ").count() + 8
    );
}

fn fish_completes_instances() {
    let home = home();
    let script = format!(
        "{}source manage-procs.fish; and complete -C 'manage-procs --user attach v'",
        at_home(&home)
    );
    let said = run("fish", &["--no-config"], &script);
    assert_eq!(offered(&said), ["vac1", "vac:2"]);
}
