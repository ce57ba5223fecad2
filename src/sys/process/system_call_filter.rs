//! System calls that a filter (seccomp(2), `SystemCallFilter=` of systemd.exec(5)) may answer with the
//! end of the process. Such a call is first made by a process that does nothing else.

use std::io;
use std::sync::OnceLock;

/// Returns true if unshare(2) of the descriptor table does not end the process.
///
/// # Errors
/// Those of clone(2) and waitpid(2).
pub(crate) fn allows_separate_table() -> io::Result<bool> {
    static KNOWN: OnceLock<bool> = OnceLock::new();
    if let Some(&allowed) = KNOWN.get() {
        return Ok(allowed);
    }
    // A process never gets rid of its filters, and nothing here adds one.
    let allowed = !is_filtered() || survives_unshare()?;
    Ok(*KNOWN.get_or_init(|| allowed))
}

/// Returns true if this process has a filter.
fn is_filtered() -> bool {
    const SECCOMP_MODE_FILTER: libc::c_int = 2;
    // SAFETY: a system call on plain numbers.
    unsafe { libc::prctl(libc::PR_GET_SECCOMP) == SECCOMP_MODE_FILTER }
}

fn survives_unshare() -> io::Result<bool> {
    // Without a signal at its end the process is not found by who waits for other children.
    // SAFETY: as fork(2); the child makes system calls on plain numbers, and exits.
    let pid = match unsafe { libc::syscall(libc::SYS_clone, 0, 0, 0, 0, 0) } {
        -1 => return Err(io::Error::last_os_error()),
        0 => unsafe {
            // The end by a filter must not write a core dump.
            libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0);
            libc::unshare(libc::CLONE_FILES);
            libc::_exit(0)
        },
        pid => pid as libc::pid_t,
    };
    let mut status = 0;
    // SAFETY: `status` lives during the call.
    while unsafe { libc::waitpid(pid, &raw mut status, libc::__WALL) } == -1 {
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    Ok(libc::WIFEXITED(status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn process_that_makes_the_call_first_ends_by_itself() {
        assert!(survives_unshare().expect("a process"));
        assert!(allows_separate_table().expect("an answer"));
    }
}
