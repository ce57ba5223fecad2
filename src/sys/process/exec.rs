//! The program that this process was started from: where it is installed, running it, becoming it.

use std::convert::Infallible;
use std::ffi::{CString, OsString};
use std::fs::File;
use std::io::{self, PipeReader};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::signal;
use crate::sys::cerr;

/// Returns the file that this process was started from, by the name that it was started under and with
/// links unresolved, so that a program that is installed there later is found. To be called before any
/// chdir. A name below /dev/fd means another file later, so what it names now is returned instead. The
/// path is empty if nothing is known.
pub(crate) fn program_path() -> PathBuf {
    match execfn() {
        // In a directory that was removed a relative name stays one.
        Some(path) if !path.starts_with("/dev/fd/") => std::path::absolute(&path).unwrap_or(path),
        _ => std::env::current_exe().unwrap_or_default(),
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn execfn() -> Option<PathBuf> {
    // SAFETY: the kernel's auxiliary vector (getauxval(3)) holds a NUL-terminated string that lives as
    // long as this process.
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

/// A program with its arguments and environment, in the form that execve(2) takes.
#[derive(Debug)]
pub(crate) struct ExecImage {
    file: CString,
    argv: Vec<CString>,
    env: Vec<CString>,
}

impl ExecImage {
    /// Prepares `file` with these arguments, of which the first is its own name, and this environment.
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

    /// Replaces this process. Returns only if that fails, with the reason.
    pub(crate) fn exec(&self) -> io::Error {
        let Err(error) =
            exec(&self.file, &crate::sys::pointers(&self.argv), &crate::sys::pointers(&self.env));
        error
    }

    /// Runs the program in a process group of its own, with no descriptors but `kept` and a pipe as its
    /// standard output. Returns the PID and the other end of the pipe, which is non-blocking. If the
    /// program cannot be executed, a NUL and the bytes of the error number arrive there.
    ///
    /// # Errors
    /// Those of pipe(2), fork(2) and opening /dev/null.
    pub(crate) fn spawn(&self, kept: BorrowedFd<'_>) -> io::Result<(i32, PipeReader)> {
        let (answer, sink) = io::pipe()?;
        crate::sys::fd::set_nonblocking_cloexec(&answer)?;
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
                    .and_then(|()| exec(&self.file, &argv, &env));
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
                Ok((pid, answer))
            }
        };
        drop(blocked);
        result
    }
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

/// Calls execve(2). Async-signal-safe.
fn exec(
    file: &CString,
    argv: &[*const libc::c_char],
    env: &[*const libc::c_char],
) -> io::Result<Infallible> {
    // SAFETY: NUL-terminated strings in null-terminated lists, alive across the call.
    unsafe { libc::execve(file.as_ptr(), argv.as_ptr(), env.as_ptr()) };
    Err(io::Error::last_os_error())
}
