//! Refusing system calls of a process: this program is its debugger (ptrace(2)).

use nix::errno::Errno;
use nix::libc::{self, c_long};
use nix::sys::ptrace::{self, Event, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

/// What is missing if [`is_available`] is false.
pub(crate) const NO_PTRACE: &str = "no system calls can be refused here";

/// Returns true if this process may trace another one, and knows its registers.
pub(crate) fn is_available() -> bool {
    let scope = fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope");
    !scope.is_ok_and(|scope| matches!(scope.trim(), "2" | "3"))
}

/// How long the process may run without a stop.
const LIMIT: Duration = Duration::from_secs(10);

/// A system call that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    /// The number of the call.
    pub(crate) call: c_long,
    /// True if the dynamic linker has made it.
    pub(crate) by_linker: bool,
}

/// The process, whose main thread stops at each system call.
pub(crate) struct Tracer(Pid);

impl Tracer {
    /// Has to be followed, in the same thread, by [`refuse_after_exec`](Self::refuse_after_exec).
    pub(crate) fn attach(pid: i32) -> Tracer {
        let pid = Pid::from_raw(pid);
        let options = Options::PTRACE_O_TRACEEXEC | Options::PTRACE_O_TRACESYSGOOD;
        ptrace::seize(pid, options).expect("PTRACE_SEIZE");
        Tracer(pid)
    }

    /// Waits until the process executes a program, and refuses call number `index` of its main thread
    /// after that, with the error that `errno` gives for it. Nothing is refused if the program waits
    /// for events (epoll_wait) before. The process then goes on without its debugger. `None` if nothing
    /// was refused.
    ///
    /// # Panics
    /// No program is executed.
    pub(crate) fn refuse_after_exec(
        self,
        index: usize,
        errno: fn(c_long) -> Option<Errno>,
    ) -> Option<Refused> {
        self.run_to_exec();
        // The end of the call that executes the program.
        self.next_stop()?;
        for _ in 0..index {
            // The begin and the end of a call.
            if self.at_call()? == libc::SYS_epoll_wait {
                ptrace::detach(self.0, None).expect("PTRACE_DETACH");
                return None;
            }
            self.next_stop()?;
        }
        let call = self.at_call()?;
        let registers = ptrace::getregs(self.0).expect("PTRACE_GETREGS");
        if call == libc::SYS_epoll_wait {
            ptrace::detach(self.0, None).expect("PTRACE_DETACH");
            return None;
        }
        let by_linker = self.is_in_linker(registers.rip);
        if let Some(errno) = errno(call) {
            self.refuse(call, errno)?;
        }
        ptrace::detach(self.0, None).expect("PTRACE_DETACH");
        Some(Refused { call, by_linker })
    }

    /// Refuses the call that has begun.
    fn refuse(&self, call: c_long, errno: Errno) -> Option<()> {
        let before = ptrace::getregs(self.0).expect("PTRACE_GETREGS");
        let mut registers = before;
        if call == libc::SYS_brk {
            // The answer to a refusal, and to no wish at all, is the end of the memory there is.
            registers.rdi = 0;
        } else {
            registers.orig_rax = u64::MAX;
        }
        ptrace::setregs(self.0, registers).expect("PTRACE_SETREGS");
        self.next_stop()?;
        let mut registers = ptrace::getregs(self.0).expect("PTRACE_GETREGS");
        registers.rdi = before.rdi;
        if call != libc::SYS_brk {
            registers.rax = (-i64::from(errno as i32)) as u64;
        }
        ptrace::setregs(self.0, registers).expect("PTRACE_SETREGS");
        Some(())
    }

    fn run_to_exec(&self) {
        loop {
            match self.wait() {
                WaitStatus::PtraceEvent(_, _, event)
                    if event == Event::PTRACE_EVENT_EXEC as i32 =>
                {
                    return;
                }
                WaitStatus::Stopped(_, signal) => {
                    ptrace::cont(self.0, signal).expect("PTRACE_CONT");
                }
                WaitStatus::PtraceEvent(..) => ptrace::cont(self.0, None).expect("PTRACE_CONT"),
                other => panic!("instead of an exec: {other:?}"),
            }
        }
    }

    /// Goes on to the begin of the next call. Returns its number, or `None` if the process has ended.
    fn at_call(&self) -> Option<c_long> {
        self.next_stop()?;
        let registers = ptrace::getregs(self.0).expect("PTRACE_GETREGS");
        Some(registers.orig_rax as c_long)
    }

    fn next_stop(&self) -> Option<()> {
        let mut signal: Option<Signal> = None;
        loop {
            ptrace::syscall(self.0, signal.take()).expect("PTRACE_SYSCALL");
            match self.wait() {
                WaitStatus::PtraceSyscall(_) => return Some(()),
                WaitStatus::Stopped(_, stopped_by) => signal = Some(stopped_by),
                WaitStatus::PtraceEvent(..) => {}
                WaitStatus::Exited(..) | WaitStatus::Signaled(..) => return None,
                other => panic!("{other:?}"),
            }
        }
    }

    fn wait(&self) -> WaitStatus {
        let deadline = Instant::now() + LIMIT;
        loop {
            let flags = WaitPidFlag::__WALL | WaitPidFlag::WNOHANG;
            match waitpid(self.0, Some(flags)).expect("wait") {
                WaitStatus::StillAlive if Instant::now() < deadline => {
                    thread::sleep(Duration::from_micros(100));
                }
                status => return status,
            }
        }
    }

    /// Returns true if the instruction at this address is the dynamic linker's.
    fn is_in_linker(&self, address: u64) -> bool {
        let maps = fs::read_to_string(format!("/proc/{}/maps", self.0)).expect("maps");
        maps.lines().any(|line| {
            let (range, rest) = line.split_once(' ').expect("a range");
            let (from, to) = range.split_once('-').expect("a range");
            let [from, to] = [from, to].map(|hex| u64::from_str_radix(hex, 16).expect("hex"));
            (from..to).contains(&address) && rest.contains("/ld-")
        })
    }
}
