//! Runs commands on hosts, all at the same time, a thread for each. A host that says nothing is given
//! up, and one that says too much is stopped.

use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::{Child, ChildStderr, ChildStdout, ExitStatus};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::Host;
use super::arguments::Arguments;
use super::command::{self, BEGINNING};
use super::lines::{self, Line, Lines};
use crate::manage::limits::{
    HOST_CHUNK, HOST_COMPLAINTS_MAX, HOST_END_PAUSE, HOST_QUEUE, HOST_START_PAUSE, HOST_TIMEOUT,
    WORKER_STACK,
};
use crate::sys;

/// What is to be done on a host.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) host: Host,
    pub(crate) arguments: Arguments,
}

/// What a host may take and say. Each host has [`HOST_TIMEOUT`] to begin.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Allowance {
    /// The time for all.
    pub(crate) time: Option<Duration>,
    /// The time between two pieces of output.
    pub(crate) silence: Option<Duration>,
    /// How many bytes of output there may be.
    pub(crate) bytes: Option<usize>,
}

/// What comes from a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said {
    Output(Vec<u8>),
    /// A line of standard error, which may be shown.
    Complaint(String),
    /// The command has ended with this exit status, or why there is none. Nothing follows.
    End(Result<u8, String>),
}

/// What comes from the host of this number.
pub(crate) type Report = (usize, Said);

/// Starts the jobs. What all hosts say comes through one channel; a host whose reports are not taken
/// has to wait. The commands are ended when nobody receives any more.
pub(crate) fn start(jobs: &[Job], allowance: Allowance) -> Receiver<Report> {
    let (sender, receiver) = sync_channel(HOST_QUEUE);
    for (number, job) in jobs.iter().enumerate() {
        start_one(number, job.clone(), allowance, sender.clone());
    }
    receiver
}

/// The same with a channel for each host.
pub(crate) fn start_apart(jobs: &[Job], allowance: Allowance) -> Vec<Receiver<Report>> {
    let start = |(number, job): (usize, &Job)| {
        let (sender, receiver) = sync_channel(HOST_QUEUE);
        start_one(number, job.clone(), allowance, sender);
        receiver
    };
    jobs.iter().enumerate().map(start).collect()
}

fn start_one(number: usize, job: Job, allowance: Allowance, sender: SyncSender<Report>) {
    let other = sender.clone();
    let work = move || {
        thread::sleep(HOST_START_PAUSE.saturating_mul(u32::try_from(number).unwrap_or(u32::MAX)));
        let end = Session::run(number, &job, allowance, &sender);
        // Nobody listens any more if the reader of standard output has ended.
        let _ = sender.send((number, Said::End(end)));
    };
    if let Err(error) = thread::Builder::new().stack_size(WORKER_STACK).spawn(work) {
        // The queue has room for each host's first report, or is read.
        thread_failed(number, &error, &other);
    }
}

fn thread_failed(number: usize, error: &io::Error, sender: &SyncSender<Report>) {
    let _ = sender.try_send((number, Said::End(Err(sys::reason(error)))));
}

/// A command that runs.
struct Session<'s> {
    number: usize,
    sender: &'s SyncSender<Report>,
    allowance: Allowance,
    ssh: Ssh,
    started: Instant,
    last_output: Instant,
    /// `None` when the output of the command has begun.
    before: Option<Lines>,
    errors: Lines,
    complaints: usize,
    /// The last line of standard error.
    last: Option<String>,
    bytes: usize,
}

/// The process of ssh, which is ended when this is dropped.
struct Ssh(Child);

impl Drop for Ssh {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Why a session is over.
enum Stop {
    /// Standard output has ended.
    Ended,
    /// Why the command was ended.
    Because(String),
}

impl Session<'_> {
    fn run(
        number: usize,
        job: &Job,
        allowance: Allowance,
        sender: &SyncSender<Report>,
    ) -> Result<u8, String> {
        let failed = |error: io::Error| format!("ssh: {}", sys::reason(&error));
        let mut child =
            command::in_background(&job.host, &job.arguments).spawn().map_err(failed)?;
        let pipes = child.stdout.take().zip(child.stderr.take());
        let mut session = Session {
            number,
            sender,
            allowance,
            ssh: Ssh(child),
            started: Instant::now(),
            last_output: Instant::now(),
            before: Some(Lines::default()),
            errors: Lines::default(),
            complaints: 0,
            last: None,
            bytes: 0,
        };
        let Some((mut output, errors)) = pipes else { return Err("ssh: no output".to_owned()) };
        let mut errors = Some(errors);
        let stop = loop {
            if let Err(stop) = session.turn(&mut output, &mut errors) {
                break stop;
            }
        };
        match stop {
            Stop::Because(why) => Err(why),
            Stop::Ended => {
                let status = session.wait(&mut errors).map_err(failed)?;
                session.judge(status)
            }
        }
    }

    /// Waits for output, and passes it on. A host that never pauses is late, too.
    fn turn(
        &mut self,
        output: &mut ChildStdout,
        errors: &mut Option<ChildStderr>,
    ) -> Result<(), Stop> {
        let limit = self.limit();
        let left = limit.map(|(deadline, _)| deadline.saturating_duration_since(Instant::now()));
        if let Some((_, time)) = limit
            && left == Some(Duration::ZERO)
        {
            return Err(Stop::Because(format!("no answer within {} s", time.as_secs())));
        }
        let [is_output, is_error] = ready(output.as_fd(), errors.as_ref().map(AsFd::as_fd), left);
        if is_error {
            self.read_errors(errors)?;
        }
        if is_output {
            let mut chunk = vec![0; HOST_CHUNK];
            match output.read(&mut chunk) {
                Ok(0) => return Err(Stop::Ended),
                Ok(length) => {
                    chunk.truncate(length);
                    self.take(chunk)?;
                    // Not when it came: somebody may have had to take it first.
                    self.last_output = Instant::now();
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Stop::Because(format!("ssh: {}", sys::reason(&error)))),
            }
        }
        Ok(())
    }

    /// Until when something has to come, and the time that there was for that.
    fn limit(&self) -> Option<(Instant, Duration)> {
        if self.before.is_some() {
            return Some((self.started + HOST_TIMEOUT, HOST_TIMEOUT));
        }
        let whole = self.allowance.time.map(|time| (self.started + time, time));
        let silence = self.allowance.silence.map(|time| (self.last_output + time, time));
        [whole, silence].into_iter().flatten().min()
    }

    /// Takes output, of which that of the command is passed on.
    fn take(&mut self, mut chunk: Vec<u8>) -> Result<(), Stop> {
        if let Some(before) = &mut self.before {
            let Some(rest) = before.find(BEGINNING, &chunk) else { return Ok(()) };
            chunk = rest;
            self.before = None;
        }
        self.bytes = self.bytes.saturating_add(chunk.len());
        if let Some(max) = self.allowance.bytes
            && self.bytes > max
        {
            return Err(Stop::Because(format!("its answer has more than {max} bytes")));
        }
        if chunk.is_empty() { Ok(()) } else { self.send(Said::Output(chunk)) }
    }

    fn read_errors(&mut self, errors: &mut Option<ChildStderr>) -> Result<(), Stop> {
        let mut chunk = vec![0; HOST_CHUNK];
        let read = errors.as_mut().map_or(Ok(0), |errors| errors.read(&mut chunk));
        match read {
            Ok(length @ 1..) => {
                for line in self.errors.push(chunk.get(..length).unwrap_or_default()) {
                    self.complain(line)?;
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            _ => {
                *errors = None;
                if let Some(line) = self.errors.rest() {
                    self.complain(line)?;
                }
            }
        }
        Ok(())
    }

    fn complain(&mut self, line: Line) -> Result<(), Stop> {
        let text = lines::shown(&line.unwrap_or_default());
        let text = text.trim();
        let text = text.strip_prefix("manage-procs: ").unwrap_or(text).to_owned();
        if text.is_empty() {
            return Ok(());
        }
        self.last = Some(text.clone());
        self.complaints += 1;
        match self.complaints {
            ..HOST_COMPLAINTS_MAX => self.send(Said::Complaint(text)),
            HOST_COMPLAINTS_MAX => {
                self.send(Said::Complaint("more messages are not shown".to_owned()))
            }
            _ => Ok(()),
        }
    }

    fn send(&self, said: Said) -> Result<(), Stop> {
        let nobody = || Stop::Because("nobody reads it".to_owned());
        self.sender.send((self.number, said)).map_err(|_| nobody())
    }

    /// Waits for the end of ssh, whose output has ended. A connection that others share may keep
    /// standard error open.
    fn wait(&mut self, errors: &mut Option<ChildStderr>) -> io::Result<ExitStatus> {
        let deadline = Instant::now() + HOST_TIMEOUT;
        while Instant::now() < deadline {
            let status = self.ssh.0.try_wait()?;
            let pause = if status.is_some() { Duration::ZERO } else { HOST_END_PAUSE };
            let fd = errors.as_ref().map(AsFd::as_fd);
            match (fd.map(|fd| ready(fd, None, Some(pause))), status) {
                (Some([true, _]), _) => drop(self.read_errors(errors)),
                (_, Some(status)) => return Ok(status),
                (Some(_), None) => {}
                (None, None) => thread::sleep(pause),
            }
        }
        self.ssh.0.try_wait()?.ok_or_else(|| ErrorKind::TimedOut.into())
    }

    /// What the end of ssh says of the command.
    fn judge(&mut self, status: ExitStatus) -> Result<u8, String> {
        /// ssh itself has failed (ssh(1)).
        const SSH_FAILED: i32 = 255;
        /// There is no such command, or it can't be executed (sh(1)).
        const NO_COMMAND: [i32; 2] = [126, 127];
        let problem = |last: &mut Option<String>| {
            Err(last.take().map_or_else(|| format!("ssh: {status}"), |line| reason(&line)))
        };
        match status.code() {
            Some(code) if code == SSH_FAILED || NO_COMMAND.contains(&code) => {
                problem(&mut self.last)
            }
            _ if self.before.is_some() => problem(&mut self.last),
            Some(code) => Ok(u8::try_from(code).unwrap_or(1)),
            None => problem(&mut self.last),
        }
    }
}

/// What ssh tells of a failure, without the host, which is known: `ssh: connect to host h port 22:
/// Connection refused`, `ops@h: Permission denied (publickey).`
fn reason(line: &str) -> String {
    let of_ssh = line.strip_prefix("ssh: ").and_then(|text| text.rsplit(": ").next());
    let of_server = || line.split_once(": ").filter(|(_, text)| text.starts_with("Permission "));
    of_ssh.or_else(|| Some(of_server()?.1)).unwrap_or(line).to_owned()
}

/// Waits up to `limit` until there is something to read. True for each that has something, or has
/// ended.
fn ready(one: BorrowedFd<'_>, other: Option<BorrowedFd<'_>>, limit: Option<Duration>) -> [bool; 2] {
    let mut fds = vec![PollFd::new(one, PollFlags::POLLIN)];
    fds.extend(other.map(|other| PollFd::new(other, PollFlags::POLLIN)));
    // Not woken a moment too early, only to wait again.
    let limit = limit.map(|limit| PollTimeout::try_from(limit + Duration::from_millis(1)));
    let limit = limit.map_or(PollTimeout::NONE, |limit| limit.unwrap_or(PollTimeout::MAX));
    let _ = poll(&mut fds, limit);
    let is_ready = |place: usize| fds.get(place).and_then(PollFd::any).unwrap_or(false);
    [is_ready(0), is_ready(1)]
}
