//! The program that this process was started from: where it is installed, running it, becoming it.

use std::convert::Infallible;
use std::ffi::{CStr, CString, OsString};
use std::fs::File;
use std::io::{self, PipeReader};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;

use super::program_file::{self, ProgramFile};
use super::signal;
use crate::sys::cerr;

/// Returns the file that this process was started from, by the name that it was started under and
/// with links unresolved, so that a program that is installed there later is found. To be called
/// before any chdir.
///
/// A process that was started from a descriptor has a name below /dev/fd, which means another file
/// later. Then the path is `handed_over`, the path of the program before this one, or else the path
/// that the file has now. The path is empty if nothing is known.
pub(crate) fn program_path(handed_over: Option<&Path>) -> PathBuf {
    match (execfn(), handed_over) {
        // In a directory that was removed a relative name stays one.
        (Some(path), _) if !is_descriptor(&path) => std::path::absolute(&path).unwrap_or(path),
        (_, Some(path)) => path.to_owned(),
        (_, None) => std::env::current_exe().unwrap_or_default(),
    }
}

/// Gives this process the name that execve(2) of `path` would have given it, if it was started from
/// a descriptor. Some kernels name such a process by the number of the descriptor.
pub(crate) fn restore_process_name(path: &Path) {
    if execfn().is_some_and(|name| is_descriptor(&name))
        && let Some(name) = path.file_name()
    {
        super::set_name(name);
    }
}

fn is_descriptor(path: &Path) -> bool {
    path.starts_with("/dev/fd")
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn execfn() -> Option<PathBuf> {
    // SAFETY: the kernel's auxiliary vector (getauxval(3)) holds a NUL-terminated string that lives
    // as long as this process.
    let name = unsafe {
        let name = libc::getauxval(libc::AT_EXECFN) as *const libc::c_char;
        (!name.is_null()).then(|| std::ffi::CStr::from_ptr(name))
    };
    name.map(|name| OsString::from_vec(name.to_bytes().to_vec()).into())
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn execfn() -> Option<PathBuf> {
    None
}

/// The signals that a program begins with ignored when this process executes it. The runtime of a Rust
/// program handles these two, on a second stack, unless they are ignored when it begins; if there is no
/// memory for the stack, the program ends. An ignored signal ends a program that has caused it anyway.
const IGNORED_OVER_EXEC: [Signal; 2] = [Signal::SIGSEGV, Signal::SIGBUS];

/// Undoes what a program that executed this one has done for that.
pub(crate) fn restore_signals() {
    signal::restore_default(&IGNORED_OVER_EXEC);
}

/// A program with its arguments and environment, in the form that execve(2) takes.
#[derive(Debug)]
pub(crate) struct ExecImage {
    file: CString,
    argv: Vec<CString>,
    env: Vec<CString>,
}

impl ExecImage {
    /// Prepares `file` with these arguments, of which the first is its own name, and this
    /// environment.
    ///
    /// # Errors
    /// `InvalidInput` if a text has a NUL in it.
    pub(crate) fn new(
        file: &Path,
        argv: impl IntoIterator<Item = OsString>,
        env: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> io::Result<ExecImage> {
        let argv = argv.into_iter().map(|word| CString::new(word.into_vec()));
        let env = env
            .into_iter()
            .map(|(name, value)| CString::new([name.as_bytes(), b"=", value.as_bytes()].concat()));
        Ok(ExecImage {
            file: CString::new(file.as_os_str().as_bytes())?,
            argv: argv.collect::<Result<_, _>>()?,
            env: env.collect::<Result<_, _>>()?,
        })
    }

    /// Replaces this process by `program`, which was opened by this path. Returns only if that fails,
    /// with the reason.
    pub(crate) fn exec(&self, program: &ProgramFile) -> io::Error {
        let program = program.descriptor().map(|file| file.as_raw_fd());
        let _ignored = signal::IgnoredGuard::new(&IGNORED_OVER_EXEC);
        let Err(error) = exec(
            program,
            &self.file,
            &crate::sys::pointers(&self.argv),
            &crate::sys::pointers(&self.env),
        );
        error
    }

    /// Runs the program in a process group of its own, with no descriptors but `kept` and a pipe as
    /// its standard output. The new process opens the file, as that may take as long as the file
    /// system does.
    ///
    /// # Errors
    /// Those of pipe(2), socketpair(2), fork(2) and opening /dev/null.
    pub(crate) fn spawn(&self, kept: BorrowedFd<'_>) -> io::Result<SpawnedImage> {
        let (answer, sink) = io::pipe()?;
        crate::sys::fd::set_nonblocking_cloexec(&answer)?;
        let (program, opened) = UnixDatagram::pair()?;
        let null = File::options().read(true).write(true).open("/dev/null")?;
        let (argv, env) = (crate::sys::pointers(&self.argv), crate::sys::pointers(&self.env));
        let blocked = signal::SignalMaskGuard::all()?;
        // SAFETY: between fork and exec the child makes async-signal-safe calls only, on data made
        // above.
        let result = match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                let stdio = [null.as_raw_fd(), sink.as_raw_fd(), null.as_raw_fd()];
                let Err(error) = prepare_child(stdio, kept.as_raw_fd())
                    .and_then(|()| program_file::open_and_send(&self.file, opened.as_fd()))
                    .and_then(|program| exec(program, &self.file, &argv, &env));
                let [a, b, c, d] = error.raw_os_error().unwrap_or(0).to_ne_bytes();
                // SAFETY: a valid buffer; ends the child without running anything of the parent's.
                unsafe {
                    libc::write(sink.as_raw_fd(), [0, a, b, c, d].as_ptr().cast(), 5);
                    libc::_exit(255)
                }
            }
            pid => {
                // Parent and child both do it: whichever comes first, the child leads a group before
                // anybody signals it.
                // SAFETY: system call on plain numbers.
                unsafe { libc::setpgid(pid, pid) };
                Ok(SpawnedImage { pid, answer, program })
            }
        };
        drop(blocked);
        result
    }
}

/// A process that runs a program to check it.
#[derive(Debug)]
pub(crate) struct SpawnedImage {
    /// The PID.
    pub(crate) pid: i32,
    /// The other end of standard output, non-blocking. If the program cannot be executed, a NUL and the
    /// bytes of the error number arrive here.
    pub(crate) answer: PipeReader,
    /// The socket where the opened file arrives, for [`ProgramFile::receive`].
    pub(crate) program: UnixDatagram,
}

/// Sets up the child between fork and exec. Async-signal-safe.
fn prepare_child(stdio: [RawFd; 3], kept: RawFd) -> io::Result<()> {
    signal::reset_all();
    // SAFETY: system calls on plain numbers; the descriptors are open, and above 2.
    unsafe {
        libc::setpgid(0, 0);
        for (number, fd) in (0..).zip(stdio) {
            cerr(libc::dup2(fd, number))?;
        }
        cerr(libc::fcntl(kept, libc::F_SETFD, 0))?;
    }
    Ok(())
}

/// Calls execve(2) for the open file `program`, or for `file`, its path, if the program has to be
/// executed by a path: a script, whose interpreter finds its descriptor closed (ENOENT), or on a system
/// that executes no descriptors or does not let this process do so. Async-signal-safe.
fn exec(
    program: Option<RawFd>,
    file: &CStr,
    argv: &[*const libc::c_char],
    env: &[*const libc::c_char],
) -> io::Result<Infallible> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Some(program) = program {
        let (path, flags) = (c"".as_ptr(), libc::AT_EMPTY_PATH);
        let (argv, env) = (argv.as_ptr(), env.as_ptr());
        // SAFETY: as below.
        unsafe { libc::syscall(libc::SYS_execveat, program, path, argv, env, flags) };
        let error = io::Error::last_os_error();
        if !matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOSYS | libc::EPERM)) {
            return Err(error);
        }
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = program;
    // SAFETY: NUL-terminated strings in null-terminated lists, alive across the call.
    unsafe { libc::execve(file.as_ptr(), argv.as_ptr(), env.as_ptr()) };
    Err(io::Error::last_os_error())
}
