//! Programs that the server must not become. It goes on as if nothing had been, and says why.

use crate::support::dialogue::started;
use crate::support::{Client, TestEnv, TestServer, cases, descriptors, find, processes_with, show};
use crate::upgrade::ask::{assert_echo, count, notice, upgrade};
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::signal::Signal;
use std::fs::{self, Permissions};
use std::io::{Read, Write, pipe};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

cases![
    no_program,
    program_that_was_never_there_again,
    directory,
    empty_file,
    half_a_program,
    program_of_another_machine,
    not_executable,
    program_that_does_nothing,
    program_that_crashes,
    program_that_fails_and_says_why,
    program_that_answers_something_else,
    program_that_answers_too_much,
    program_that_floods_silently,
    program_that_hangs_is_killed_with_all_it_started,
    answer_to_another_state,
    installed_procserv_of_somebody_else.only_if(Path::new(PEER).exists(), "no /usr/bin/procServ"),
    program_exchanged_after_its_rehearsal,
    log_that_hangs,
    stderr_that_nobody_reads_stops_nothing,
    sigterm_ends_a_rehearsal,
    after_a_refusal_it_can_be_tried_again,
];

const PEER: &str = "/usr/bin/procServ";

/// A server whose program can be exchanged, and what must not change by a refusal.
struct Subject {
    server: TestServer,
    user: Client,
    refusals: usize,
    before: (String, Vec<(i32, String)>, Vec<i32>),
}

impl Subject {
    fn new(env: &TestEnv) -> Subject {
        let (server, mut user) = started(env.server().installed().logged());
        assert_echo(&mut user, "before");
        server.file_with("log", "before\r\nbefore\r\n");
        let before = Subject::look(&server);
        Subject { server, user, refusals: 0, before }
    }

    fn look(server: &TestServer) -> (String, Vec<(i32, String)>, Vec<i32>) {
        let exe = fs::read_link(format!("/proc/{}/exe", server.pid())).unwrap();
        let starts = fs::read_to_string(server.path("starts")).unwrap();
        let identity = format!("{} {starts}", exe.display());
        let mut processes = processes_with(server.dir());
        processes.sort_unstable();
        (identity, descriptors(server.pid()), processes)
    }

    /// Installs this file.
    fn install(&self, content: impl AsRef<[u8]>, mode: u32) {
        // By another process, see `ServerBuilder::for_anybody`.
        let part = self.server.path("part");
        fs::write(self.server.path("content"), content).unwrap();
        let copied = Command::new("cp").arg(self.server.path("content")).arg(&part).status();
        assert!(copied.is_ok_and(|status| status.success()));
        fs::set_permissions(&part, Permissions::from_mode(mode)).unwrap();
        fs::rename(part, self.server.path("procServ")).unwrap();
    }

    fn install_script(&self, script: &str) {
        self.install(format!("#!/bin/sh\n{script}\n"), 0o755);
    }

    /// Asks for an upgrade and panics unless it is refused for this reason, and that is all.
    fn refuses(&mut self, env: &TestEnv, reason: &str) {
        let line = format!("@@@ procServ server not upgraded: {reason}\r\n");
        let lines = count(&self.server.file("log"), line.as_bytes());
        let log = self.server.file("log");
        let stderr = self.server.stderr();
        self.refusals += 1;
        let word = format!("after {}", self.refusals);
        self.server.signal(Signal::SIGUSR1);
        env.wait_for("a refusal", || {
            find(&self.server.file("log")[log.len()..], b"upgraded: ").map(drop)
        });
        assert_echo(&mut self.user, &word);
        let now = self.server.file_with("log", format!("{word}\r\n{word}\r\n"));
        let expected = format!("{line}{word}\r\n{word}\r\n");
        assert_eq!(show(&now[log.len()..]), show(expected.as_bytes()));
        assert_eq!(count(&now, line.as_bytes()), lines + 1);
        let said = self.server.stderr();
        assert_eq!(said[stderr.len()..], format!("procServ: not upgraded: {reason}\n"));
        env.wait_for("processes and descriptors as before", || {
            (Subject::look(&self.server) == self.before).then_some(())
        });
        self.server.connect().greeting();
    }

    fn ends(self) {
        assert_eq!(self.server.terminate().code(), Some(0));
        assert!(!self.server.path("ctl").exists());
    }
}

/// A script in the place of the program is refused for this reason.
fn script(env: &TestEnv, script: &str, reason: &str) {
    let mut subject = Subject::new(env);
    subject.install_script(script);
    subject.refuses(env, reason);
    subject.ends();
}

/// As is a file.
fn file(env: &TestEnv, content: &[u8], mode: u32, reason: &str) {
    let mut subject = Subject::new(env);
    subject.install(content, mode);
    subject.refuses(env, reason);
    subject.ends();
}

fn no_program(env: &TestEnv) {
    let mut subject = Subject::new(env);
    fs::remove_file(subject.server.path("procServ")).unwrap();
    subject.refuses(env, "No such file or directory");
    subject.refuses(env, "No such file or directory");
    subject.ends();
}

fn program_that_was_never_there_again(env: &TestEnv) {
    let mut subject = Subject::new(env);
    fs::remove_file(subject.server.path("procServ")).unwrap();
    std::os::unix::fs::symlink("procServ", subject.server.path("procServ")).unwrap();
    subject.refuses(env, "Too many levels of symbolic links");
    subject.ends();
}

fn directory(env: &TestEnv) {
    let mut subject = Subject::new(env);
    fs::remove_file(subject.server.path("procServ")).unwrap();
    fs::create_dir(subject.server.path("procServ")).unwrap();
    subject.refuses(env, "Permission denied");
    subject.ends();
}

fn empty_file(env: &TestEnv) {
    file(env, b"", 0o755, "Exec format error");
}

fn half_a_program(env: &TestEnv) {
    let whole = fs::read(env.program()).unwrap();
    let mut subject = Subject::new(env);
    for part in [10, 100, 4096] {
        subject.install(&whole[..part], 0o755);
        // What is wrong is for the kernel to say, or it is killed at its first instruction.
        subject.refuses(env, if part < 4096 { "Exec format error" } else { CUT });
    }
    subject.ends();
}

/// The head is whole, and says where there is nothing.
const CUT: &str = "the new program was killed by signal 11";

fn program_of_another_machine(env: &TestEnv) {
    let mut program = fs::read(env.program()).unwrap();
    // e_machine: Sun's, of 1987.
    program[18..20].copy_from_slice(&2u16.to_ne_bytes());
    file(env, &program, 0o755, "Exec format error");
}

fn not_executable(env: &TestEnv) {
    file(env, &fs::read(env.program()).unwrap(), 0o644, "Permission denied");
}

fn program_that_does_nothing(env: &TestEnv) {
    script(env, "exit 0", "the new program did not answer");
    file(env, &fs::read("/bin/true").unwrap(), 0o755, "the new program did not answer");
}

fn program_that_crashes(env: &TestEnv) {
    script(env, "kill -SEGV $$", "the new program was killed by signal 11");
}

fn program_that_fails_and_says_why(env: &TestEnv) {
    let words = "echo 'libnew.so: not found'; echo more; exit 127";
    script(env, words, "the new program refused with status 127: libnew.so: not found");
}

fn program_that_answers_something_else(env: &TestEnv) {
    script(env, "echo yes", "the new program did not answer");
}

fn program_that_answers_too_much(env: &TestEnv) {
    script(env, "exec yes", "the new program does something else");
}

fn program_that_floods_silently(env: &TestEnv) {
    let flood = "yes >&2 & i=0; while [ $i -lt 2000 ]; do i=$((i + 1)); echo x >&2; done; exit 3";
    script(env, flood, "the new program refused with status 3: ");
}

fn program_that_hangs_is_killed_with_all_it_started(env: &TestEnv) {
    let mut subject = Subject::new(env);
    subject.install_script("sleep 1000 & sleep 1000 | sleep 1000");
    subject.server.signal(Signal::SIGUSR1);
    env.wait_for("the whole group", || {
        (processes_with(subject.server.dir()).len() >= subject.before.2.len() + 4).then_some(())
    });
    // The server serves meanwhile.
    assert_echo(&mut subject.user, "meanwhile");
    let reason = "the new program gave no answer in time";
    subject.server.file_with("log", format!("not upgraded: {reason}\r\n"));
    env.wait_for("nothing left", || {
        (Subject::look(&subject.server) == subject.before).then_some(())
    });
    subject.ends();
}

/// What a program may have kept of an earlier rehearsal.
fn answer_to_another_state(env: &TestEnv) {
    script(env, "echo procServ can go on from 00000000", "the new program did not answer");
}

fn installed_procserv_of_somebody_else(env: &TestEnv) {
    let mut subject = Subject::new(env);
    subject.install(fs::read(PEER).unwrap(), 0o755);
    subject.server.signal(Signal::SIGUSR1);
    let log =
        subject.server.file_with("log", "not upgraded: the new program refused with status 1");
    assert_eq!(count(&log, notice(env).as_bytes()), 0);
    assert_echo(&mut subject.user, "after");
    env.wait_for("nothing left", || {
        (Subject::look(&subject.server) == subject.before).then_some(())
    });
    subject.ends();
}

/// It answers well, and is not there any more when it is needed.
fn program_exchanged_after_its_rehearsal(env: &TestEnv) {
    let program = env.program().display();
    let script = format!("'{program}' \"$@\" || exit; rm procServ; exec true");
    let mut subject = Subject::new(env);
    subject.install_script(&script);
    subject.refuses(env, "No such file or directory");
    // No child is to get what the new program would have got.
    for (number, what) in descriptors(subject.server.pid()).split_off(3) {
        let info = format!("/proc/{}/fdinfo/{number}", subject.server.pid());
        // A client that has just left.
        let Ok(info) = fs::read_to_string(info) else { continue };
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap().trim();
        let flags = i32::from_str_radix(flags, 8).unwrap();
        assert_ne!(flags & nix::libc::O_CLOEXEC, 0, "{number} {what}");
    }
    subject.ends();
}

fn log_that_hangs(env: &TestEnv) {
    let (mut reader, writer) = pipe().unwrap();
    let child = ["emit", "150016", "say", "END", "cat"];
    let setup = env.server().opts(["-L", "-"]).stdout(writer).child(child);
    let (server, mut user) = started(setup);
    user.until("END\r\n");
    server.signal(Signal::SIGUSR1);
    assert_echo(&mut user, "meanwhile");
    server.file_with("stderr", "\n");
    assert_eq!(server.stderr(), "procServ: not upgraded: log is hung\n");
    assert_echo(&mut user, "after");
    // When the log is read, an upgrade is possible again, and nothing is missing.
    server.signal(Signal::SIGUSR1);
    let mut log = Vec::new();
    let notice = notice(env);
    while find(&log, notice.as_bytes()).is_none() {
        let mut buffer = [0; 65536];
        let count = reader.read(&mut buffer).unwrap();
        assert!(count > 0, "the log ended");
        log.extend_from_slice(&buffer[..count]);
    }
    let text = String::from_utf8_lossy(&log).replace(&notice, "");
    let text = text.replace("@@@ procServ server not upgraded: log is hung\r\n", "");
    let lines: String = (0..2344).map(|n| format!("{n:<63}\r\n")).collect();
    let end = format!("{lines}END\r\nmeanwhile\r\nmeanwhile\r\nafter\r\nafter\r\n");
    // A line may have been ended for the notice.
    let (text, end) = (text.replace("\r\n", ""), end.replace("\r\n", ""));
    assert!(text.ends_with(&end), "{}", show(text.as_bytes()));
    assert_eq!(server.terminate().code(), Some(0));
}

/// Both have something to say on stderr: a log that can't be opened, and an upgrade.
fn stderr_that_nobody_reads_stops_nothing(env: &TestEnv) {
    let (_reader, mut writer) = pipe().unwrap();
    let room = fcntl(&writer, FcntlArg::F_GETPIPE_SZ).unwrap();
    writer.write_all(&vec![b'x'; room as usize]).unwrap();
    let setup = env.server().installed().stderr(writer);
    fs::create_dir(setup.path("logs")).unwrap();
    let (server, mut user) = started(setup.opts(["-L", "logs/log", "--events", "events"]));
    fs::remove_dir_all(server.path("logs")).unwrap();
    server.signal(Signal::SIGHUP);
    server.file_with("events", "No such file or directory");
    fs::remove_file(server.path("procServ")).unwrap();
    server.signal(Signal::SIGUSR1);
    server.file_with("events", "upgrade_failed");
    assert_echo(&mut user, "goes on");
    assert_eq!(server.terminate().code(), Some(0));
}

fn sigterm_ends_a_rehearsal(env: &TestEnv) {
    let subject = Subject::new(env);
    subject.install_script("echo >tried; sleep 1000 & sleep 1000");
    subject.server.signal(Signal::SIGUSR1);
    subject.server.file_with("tried", "\n");
    assert_eq!(subject.server.terminate().code(), Some(0));
    env.wait_for("nothing left", || processes_with(subject.server.dir()).is_empty().then_some(()));
}

fn after_a_refusal_it_can_be_tried_again(env: &TestEnv) {
    let mut subject = Subject::new(env);
    subject.install_script("exit 0");
    subject.refuses(env, "the new program did not answer");
    subject.install(fs::read(env.program()).unwrap(), 0o755);
    upgrade(env, &subject.server);
    assert_echo(&mut subject.user, "new");
    subject.install_script("exit 0");
    subject.before = Subject::look(&subject.server);
    subject.user.send("again\n");
    subject.user.expect("again\nagain\n");
    subject.server.file_with("log", "again\r\nagain\r\n");
    subject.refuses(env, "the new program did not answer");
    subject.ends();
}
