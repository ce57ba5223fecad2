//! Runs cases, and on another program than ours checks that the marks on them still hold.
//!
//! With `PROCSERV_SHOW_MARKED` set it prints how the marked cases failed: right for the right reason?

use super::reaper::{self, Reaper};
use super::{TestEnv, fake_ioc, hanging_fs, machine, process};
use libtest_mimic::{Arguments, Failed, Trial};
use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;
use std::sync::Mutex;
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

/// How often a marked case is run until it fails. A difference seen once is a difference, for which
/// a race may need some luck; where there is none any more, the case passes always.
const TRIES: usize = 10;

/// How long a case may take in all, so that none takes minutes to fail.
const LIMIT: Duration = Duration::from_secs(100);

/// When the run is given up because a case has not ended, after the end of the case's own time: it
/// waits for something without a deadline.
const HANGS: Duration = Duration::from_secs(30);

/// The cases that run now, by their threads, and when their time is over.
static RUNNING: Mutex<Vec<(ThreadId, &str, Instant)>> = Mutex::new(Vec::new());

/// One test: a function that panics when the program under test is not as it should be.
pub struct Case {
    name: &'static str,
    body: fn(&TestEnv),
    mark: Mark,
    skip: Option<String>,
    limit: Duration,
}

/// What is expected of a case on a program that is not ours.
#[derive(Clone, Copy)]
enum Mark {
    Passes,
    Fails(&'static str),
    Varies(&'static str),
}

impl Case {
    /// A case that passes on both programs. Use the macro `cases!`.
    pub fn new(path: &'static str, body: fn(&TestEnv)) -> Case {
        // Without the name of the test target.
        let name = path.split_once("::").map_or(path, |(_, name)| name);
        Case { name, body, mark: Mark::Passes, skip: None, limit: LIMIT }
    }

    /// The other program fails here, and for this reason. If it passes each of [`TRIES`] times, the
    /// run fails.
    pub fn differs_on_oracle(self, reason: &'static str) -> Case {
        Case { mark: Mark::Fails(reason), ..self }
    }

    /// The other program fails here now and then, for this reason. Not run on it.
    pub fn flaky_on_oracle(self, reason: &'static str) -> Case {
        Case { mark: Mark::Varies(reason), ..self }
    }

    /// Ignored, and shown with what is `missing` on this machine in a few words, unless `possible`.
    pub fn only_if(self, possible: bool, missing: impl Into<String>) -> Case {
        let skip = if possible { self.skip } else { Some(missing.into()) };
        Case { skip, ..self }
    }

    /// Ignored where this program is not installed.
    pub fn needs(self, program: &str) -> Case {
        self.only_if(machine::installed(program), format!("no {program}"))
    }

    /// Ignored without root's rights.
    pub fn needs_root(self) -> Case {
        self.only_if(machine::is_root(), "not root")
    }

    /// Ignored where no file system can be mounted by a process.
    pub fn needs_fuse(self) -> Case {
        self.only_if(hanging_fs::is_available(), "no /dev/fuse or not root")
    }

    /// Ignored without IPv6.
    pub fn needs_ipv6(self) -> Case {
        self.only_if(machine::has_ipv6(), "no IPv6")
    }

    /// May take so long in all.
    pub fn takes_up_to(self, limit: Duration) -> Case {
        Case { limit, ..self }
    }

    fn into_trial(self, env: TestEnv) -> Trial {
        let Case { name, body, mark, skip, limit } = self;
        let run = move |env: &TestEnv| caught(env, name, body, limit);
        if let Some(reason) = skip {
            return Trial::test(name, || Ok(())).with_kind(reason).with_ignored_flag(true);
        }
        match mark {
            Mark::Fails(reason) if !env.ours() => {
                Trial::test(name, move || must_fail(reason, &env.with_short_timeout(), run))
            }
            Mark::Varies(reason) if !env.ours() => {
                show_marked(&format!("{name}, not run: {reason}"));
                Trial::test(name, move || run(&env).map_err(Failed::from))
                    .with_kind("varies")
                    .with_ignored_flag(true)
            }
            _ => Trial::test(name, move || run(&env).map_err(Failed::from)),
        }
    }
}

/// Runs the cases as the command line says, or is the stand-in child if started as one.
pub fn main(cases: impl FnOnce() -> Vec<Case>) -> ExitCode {
    if let Some(code) = reaper::act() {
        return code;
    }
    if let Some(steps) = fake_ioc::steps() {
        return fake_ioc::run(&steps);
    }
    let reaper = Reaper::start();
    let mut arguments = Arguments::from_args();
    // Most cases wait most of the time; more threads than cores shorten the run.
    arguments.test_threads = arguments.test_threads.or(Some(8));
    process::become_subreaper();
    process::unignore_keyboard_signals();
    collect_panics();
    let env = TestEnv::new();
    let trials = cases().into_iter().map(|case| case.into_trial(env)).collect();
    thread::spawn(give_up_hanging);
    let conclusion = libtest_mimic::run(&arguments, trials);
    if !reaper.finish() {
        return ExitCode::FAILURE;
    }
    conclusion.exit_code()
}

/// Ends the run when a case hangs.
fn give_up_hanging() {
    loop {
        thread::sleep(Duration::from_secs(1));
        let running = RUNNING.lock().expect("the running cases");
        if let Some((_, name, _)) = running.iter().find(|(.., end)| end.elapsed() > HANGS) {
            eprintln!("\n{name} waits without a deadline; the run is given up");
            std::process::exit(101);
        }
    }
}

fn must_fail(
    reason: &str,
    env: &TestEnv,
    run: impl Fn(&TestEnv) -> Result<(), String>,
) -> Result<(), Failed> {
    let Some(report) = (0..TRIES).find_map(|_| run(env).err()) else {
        return Err(format!("passes on this program, but is marked: {reason}").into());
    };
    show_marked(&format!("as marked ({reason}):\n{report}"));
    Ok(())
}

fn show_marked(text: &str) {
    if std::env::var_os("PROCSERV_SHOW_MARKED").is_some() {
        eprintln!("---- {text}");
    }
}

thread_local! {
    /// The panic message of the case this thread runs; `None` while it runs none.
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Adds what a guard knows to the report of a panic under way.
pub(super) fn add_to_report(text: &str) {
    PANIC.with_borrow_mut(|report| {
        if let Some(report) = report {
            report.push_str(text);
        }
    });
}

fn collect_panics() {
    let default = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let collected = PANIC.with_borrow_mut(|report| {
            report.as_mut().map(|report| {
                *report = info.to_string();
            })
        });
        if collected.is_none() {
            default(info);
        }
    }));
}

fn caught(
    env: &TestEnv,
    name: &'static str,
    body: fn(&TestEnv),
    limit: Duration,
) -> Result<(), String> {
    let (thread, end) = (thread::current().id(), Instant::now() + limit);
    RUNNING.lock().expect("the running cases").push((thread, name, end));
    PANIC.set(Some(String::new()));
    let result = panic::catch_unwind(AssertUnwindSafe(|| body(&env.ending_at(end))));
    let report = PANIC.take().unwrap_or_default();
    RUNNING.lock().expect("the running cases").retain(|(other, ..)| *other != thread);
    result.map_err(|_| report)
}
