//! Runs cases of which some can't be run on every machine.

use libtest_mimic::{Arguments, Trial};
use std::io::Write;
use std::process::{Command, ExitCode, Stdio};

/// One test: a function that panics when something is not as it should be.
pub(crate) struct Case {
    name: &'static str,
    body: fn(),
    missing: Option<&'static str>,
}

impl Case {
    /// A case for every machine. Use the macro `cases!`.
    pub(crate) fn new(path: &'static str, body: fn()) -> Case {
        // Without the name of the test target.
        let name = path.split_once("::").map_or(path, |(_, name)| name);
        Case { name, body, missing: None }
    }

    /// Ignored where this program is not installed.
    pub(crate) fn needs(self, program: &'static str) -> Case {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let installed = std::env::split_paths(&path).any(|it| it.join(program).is_file());
        Case { missing: if installed { self.missing } else { Some(program) }, ..self }
    }
}

/// The cases of a module, by the names of their functions: `pub(crate) fn cases() -> Vec<Case>`.
macro_rules! cases {
    ($($name:ident $(.$method:ident($($argument:expr),*))*),* $(,)?) => {
        pub(crate) fn cases() -> Vec<$crate::harness::Case> {
            vec![$(
                $crate::harness::Case::new(concat!(module_path!(), "::", stringify!($name)), $name)
                    $(.$method($($argument),*))*
            ),*]
        }
    };
}
pub(crate) use cases;

/// What a Python program makes of texts: it reads them from standard input with a NUL between two,
/// and writes as many with a NUL after each.
pub(crate) fn python(program: &str, texts: &[String]) -> Vec<String> {
    let mut python = Command::new("python3")
        .args(["-c", program])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = python.stdin.take().unwrap();
    let input = texts.join("\0");
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()).unwrap());
    let output = python.wait_with_output().unwrap();
    writer.join().unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    let made: Vec<String> = output.split_terminator('\0').map(str::to_owned).collect();
    assert_eq!(made.len(), texts.len());
    made
}

/// Runs the cases as the command line says.
pub(crate) fn run(cases: impl Iterator<Item = Case>) -> ExitCode {
    let trials = cases.map(|Case { name, body, missing }| {
        let trial = Trial::test(name, move || {
            body();
            Ok(())
        });
        match missing {
            Some(program) => trial.with_kind(format!("no {program}")).with_ignored_flag(true),
            None => trial,
        }
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}
