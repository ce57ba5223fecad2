//! Starting a child on a PTY. All that can be prepared is prepared before the fork. A failure after
//! the fork is printed on the child's terminal, in procServ's words, and on the server's stderr. It
//! ends the child with status 255 (contract section 6).

use std::convert::Infallible;
use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::passed_fds::PassedFds;
use super::signal;
use super::user::Account;
use crate::sys::{cerr, fd, pointers, strerror};

/// One more than the largest error number of Linux, EHWPOISON. Larger numbers are shown without a
/// text.
const ERRNOS: i32 = 134;

/// A child's program, in the form that execve(2) takes.
#[derive(Debug)]
pub(crate) struct PreparedCommand {
    /// The paths where the executable may be, in the order tried.
    candidates: Vec<CString>,
    argv: Vec<CString>,
    env: Vec<CString>,
    dir: Option<CString>,
    /// Soft RLIMIT_CORE, in bytes.
    core_size: Option<u64>,
    /// Soft and hard RLIMIT_NOFILE.
    open_files: Option<(u64, u64)>,
    ignore_hangup: bool,
    /// The user to run as, if not that of the server.
    user: Option<Account>,
    /// The line that is printed if the user cannot be changed, up to the reason.
    user_failed: Vec<u8>,
    /// The same for the directory.
    chdir_failed: Vec<u8>,
    /// The same for the program.
    exec_failed: Vec<u8>,
}

/// A child's program, as the caller has it.
#[derive(Debug, Clone)]
pub(crate) struct ChildCommand {
    /// The server's name in error messages.
    pub(crate) argv0: OsString,
    /// The executable, which is argv\[0\] as well. Without a slash in it, it is looked for in PATH.
    pub(crate) executable: OsString,
    /// The arguments after it.
    pub(crate) args: Vec<OsString>,
    /// The whole environment.
    pub(crate) env: Vec<(OsString, OsString)>,
    /// The directory to run in.
    pub(crate) dir: Option<OsString>,
    /// Soft RLIMIT_CORE, in bytes.
    pub(crate) core_size: Option<u64>,
    /// Soft and hard RLIMIT_NOFILE.
    pub(crate) open_files: Option<(u64, u64)>,
    /// True if SIGHUP is ignored. The end of a session's leader sends one to its foreground, and
    /// would kill a daemon that has not left the session yet.
    pub(crate) ignore_hangup: bool,
    /// The user to run as, if not that of the server.
    pub(crate) user: Option<Account>,
}

impl PreparedCommand {
    /// Prepares a program.
    ///
    /// # Errors
    /// `InvalidInput` if a text has a NUL in it.
    pub(crate) fn new(command: &ChildCommand) -> io::Result<PreparedCommand> {
        let argv: io::Result<Vec<CString>> = std::iter::once(&command.executable)
            .chain(&command.args)
            .map(|arg| c_string(arg))
            .collect();
        let env: io::Result<Vec<CString>> = command
            .env
            .iter()
            .map(|(name, value)| {
                c_string(&OsString::from_vec([name.as_bytes(), b"=", value.as_bytes()].concat()))
            })
            .collect();
        let failed = |what: &[u8], which: &OsStr| {
            [command.argv0.as_bytes(), b": child could not ", what, which.as_bytes(), b", "]
                .concat()
        };
        Ok(PreparedCommand {
            candidates: candidates(&command.executable, &command.env)?,
            argv: argv?,
            env: env?,
            dir: command.dir.as_deref().map(c_string).transpose()?,
            core_size: command.core_size,
            open_files: command.open_files,
            ignore_hangup: command.ignore_hangup,
            user_failed: failed(
                b"become user ",
                command.user.as_ref().map(Account::name).unwrap_or_default(),
            ),
            user: command.user.clone(),
            chdir_failed: failed(b"chdir to ", command.dir.as_deref().unwrap_or_default()),
            exec_failed: failed(b"execute: ", &command.executable),
        })
    }

    /// Starts the program as leader of a session and process group of its own, with `terminal` as
    /// 0, 1, 2 and controlling terminal, and with the descriptors `passed` after them; `more` are
    /// variables for its environment. Returns the PID.
    ///
    /// # Errors
    /// Those of fork(2), and of giving the terminal to the user.
    pub(crate) fn spawn(
        &self,
        terminal: &OwnedFd,
        mut passed: PassedFds,
        more: &[CString],
    ) -> io::Result<i32> {
        if let Some(user) = &self.user {
            user.chown_terminal(terminal)?;
        }
        let argv = pointers(&self.argv);
        let mut env = pointers(more);
        let variable = passed.variable();
        let own = self.env.iter().map(|variable| variable.as_ptr());
        env.splice(0..0, own.chain(variable.map(<*mut _>::cast_const)));
        // An executable file that is no program is run by the shell, as execvp(3) does: `sh FILE
        // args...`.
        let shell_argv: Vec<Vec<*const libc::c_char>> = self
            .candidates
            .iter()
            .map(|file| {
                let head = [c"/bin/sh".as_ptr(), file.as_ptr()];
                head.into_iter().chain(argv.iter().skip(1).copied()).collect()
            })
            .collect();
        let reasons: Vec<Vec<u8>> =
            (0..ERRNOS).map(|errno| [strerror(errno).as_bytes(), b"\n"].concat()).collect();
        // Behind the descriptors that the child gets. Without it, only the terminal is told.
        let stderr = fd::copy_above(io::stderr(), passed.end()).ok();
        let stderr = stderr.as_ref().map(AsRawFd::as_raw_fd);
        let image = ChildExec { program: self, argv, env, shell_argv, reasons, stderr };
        let mut install = || passed.install(variable);
        // A signal for the child stays pending until the child has the default dispositions, as the
        // handlers of this process would swallow it.
        let blocked = signal::SignalMaskGuard::all_but_keyboard()?;
        // SAFETY: between fork and exec the child runs `ChildExec::run` only, which keeps to
        // async-signal-safe calls on data made above.
        let result = match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                image.run(terminal.as_raw_fd(), &mut install);
                // SAFETY: ends the child without running anything of the parent's.
                unsafe { libc::_exit(255) }
            }
            pid => Ok(pid),
        };
        drop(blocked);
        result
    }
}

/// A program with everything that its child needs between fork and exec.
struct ChildExec<'a> {
    program: &'a PreparedCommand,
    argv: Vec<*const libc::c_char>,
    env: Vec<*const libc::c_char>,
    shell_argv: Vec<Vec<*const libc::c_char>>,
    reasons: Vec<Vec<u8>>,
    /// The stderr of the server.
    stderr: Option<RawFd>,
}

impl ChildExec<'_> {
    /// Runs the program, in the child. Returns only if something failed, and after printing what.
    fn run(&self, terminal: RawFd, install: &mut dyn FnMut() -> io::Result<()>) {
        // First of all the child leaves the server's terminal: until then it ignores ^C as the
        // server does.
        if take_terminal(terminal).is_err() {
            return;
        }
        signal::reset_all();
        if let Err(error) = install() {
            let errno = error.raw_os_error().unwrap_or(0);
            self.tell_server(&self.program.exec_failed, errno);
            self.tell(&self.program.exec_failed, errno);
            return;
        }
        if self.program.ignore_hangup {
            signal::ignore(libc::SIGHUP);
        }
        self.set_limits();
        if let Some(user) = &self.program.user
            && user.switch_to().is_err()
        {
            let errno = errno();
            self.tell_server(&self.program.user_failed, errno);
            self.tell(&self.program.user_failed, errno);
            self.tell(&self.program.exec_failed, errno);
            return;
        }
        if let Some(dir) = &self.program.dir {
            // SAFETY: a NUL-terminated path.
            if unsafe { libc::chdir(dir.as_ptr()) } == -1 {
                let errno = errno();
                self.tell_server(&self.program.chdir_failed, errno);
                self.tell(&self.program.chdir_failed, errno);
                self.tell(&self.program.exec_failed, errno);
                return;
            }
        }
        let Err(errno) = self.exec();
        self.tell_server(&self.program.exec_failed, errno);
        self.tell(&self.program.exec_failed, errno);
    }

    fn set_limits(&self) {
        if let Some((soft, hard)) = self.program.open_files {
            set_limit(libc::RLIMIT_NOFILE as _, |limit| {
                limit.rlim_cur = soft as _;
                limit.rlim_max = hard as _;
            });
        }
        if let Some(size) = self.program.core_size {
            set_limit(libc::RLIMIT_CORE as _, |limit| limit.rlim_cur = size as _);
        }
    }

    /// Tries the candidates as execvp(3) does. Returns the error number that says most.
    fn exec(&self) -> Result<Infallible, i32> {
        let mut result = libc::ENOENT;
        for (file, shell_argv) in self.program.candidates.iter().zip(&self.shell_argv) {
            // SAFETY: NUL-terminated strings in null-terminated lists, alive across the call.
            unsafe { libc::execve(file.as_ptr(), self.argv.as_ptr(), self.env.as_ptr()) };
            match errno() {
                libc::ENOENT | libc::ENOTDIR => {}
                libc::EACCES => result = libc::EACCES,
                libc::ENOEXEC => {
                    // SAFETY: as above.
                    unsafe {
                        libc::execve(c"/bin/sh".as_ptr(), shell_argv.as_ptr(), self.env.as_ptr())
                    };
                    return Err(errno());
                }
                other => return Err(other),
            }
        }
        Err(result)
    }

    /// Prints a line on the child's terminal.
    fn tell(&self, prefix: &[u8], errno: i32) {
        for text in [prefix, self.reason(errno)] {
            // SAFETY: a valid buffer; nothing can be done about a failure.
            unsafe { libc::write(2, text.as_ptr().cast(), text.len()) };
        }
    }

    /// Prints a line on the server's stderr, unless that would have to be waited for.
    fn tell_server(&self, prefix: &[u8], errno: i32) {
        let Some(stderr) = self.stderr else {
            return;
        };
        let mut poll = libc::pollfd { fd: stderr, events: libc::POLLOUT, revents: 0 };
        let pieces = [prefix, self.reason(errno)].map(|text| libc::iovec {
            iov_base: text.as_ptr().cast_mut().cast(),
            iov_len: text.len(),
        });
        // A pipe that nobody reads has POLLERR, and a write to it would end the child by a signal.
        // SAFETY: `poll` and the buffers are valid; nothing can be done about a failure.
        unsafe {
            if libc::poll(&raw mut poll, 1, 0) == 1 && poll.revents == libc::POLLOUT {
                libc::writev(stderr, pieces.as_ptr(), 2);
            }
        }
    }

    /// The text of an error number, with a line end.
    fn reason(&self, errno: i32) -> &[u8] {
        let reason = usize::try_from(errno).ok().and_then(|errno| self.reasons.get(errno));
        reason.map_or(b"\n".as_slice(), Vec::as_slice)
    }
}

/// Begins a session with `terminal` as 0, 1, 2 and controlling terminal. Async-signal-safe.
fn take_terminal(terminal: RawFd) -> io::Result<()> {
    // SAFETY: system calls on plain numbers; `terminal` is open.
    unsafe {
        cerr(libc::setsid())?;
        cerr(libc::dup2(terminal, 0))?;
        cerr(libc::dup2(terminal, 1))?;
        cerr(libc::dup2(terminal, 2))?;
        cerr(libc::ioctl(0, libc::TIOCSCTTY as _, 0))?;
    }
    Ok(())
}

/// Changes one limit of this process, if the system allows it. Async-signal-safe.
fn set_limit(resource: libc::c_int, change: impl FnOnce(&mut libc::rlimit)) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is valid for both calls.
    unsafe {
        if libc::getrlimit(resource as _, &mut limit) == 0 {
            change(&mut limit);
            libc::setrlimit(resource as _, &limit);
        }
    }
}

/// Returns the paths where an executable may be: its name if that has a slash, else that name in
/// each directory of PATH.
fn candidates(name: &OsStr, env: &[(OsString, OsString)]) -> io::Result<Vec<CString>> {
    if name.as_bytes().contains(&b'/') || name.is_empty() {
        return Ok(vec![c_string(name)?]);
    }
    let path = env.iter().find(|(key, _)| key == "PATH").map(|(_, value)| value.as_bytes());
    path.unwrap_or(b"/bin:/usr/bin")
        .split(|&byte| byte == b':')
        .map(|dir| {
            let dir: &[u8] = if dir.is_empty() { b"." } else { dir };
            c_string(OsStr::from_bytes(&[dir, b"/", name.as_bytes()].concat()))
        })
        .collect()
}

fn c_string(text: &OsStr) -> io::Result<CString> {
    Ok(CString::new(text.as_bytes())?)
}

fn errno() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(0)
}
