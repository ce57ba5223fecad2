//! What a child is given between fork and exec: sockets as descriptors 3 and up, and its own PID as
//! LISTEN_PID (sd_listen_fds(3)). All of it is prepared before the fork.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use crate::sys::cerr;

/// The first descriptor that is passed (SD_LISTEN_FDS_START).
const FIRST: RawFd = 3;
const VARIABLE: &[u8] = b"LISTEN_PID=";
/// Room for the ten digits of the largest number and a NUL.
const DIGITS: usize = 11;

/// Sockets on their way to a child.
#[derive(Debug)]
pub(crate) struct PassedFds {
    sockets: Vec<RawFd>,
    /// `LISTEN_PID=` with room for the number and a NUL.
    variable: Vec<u8>,
}

impl PassedFds {
    /// Passes these sockets, in this order.
    pub(crate) fn new(sockets: &[BorrowedFd<'_>]) -> PassedFds {
        let sockets = sockets.iter().map(AsRawFd::as_raw_fd).collect();
        PassedFds { sockets, variable: [VARIABLE, &[0; DIGITS]].concat() }
    }

    /// Returns the variable for the environment, if any socket is passed. [`install`](Self::install)
    /// fills its value in.
    pub(crate) fn variable(&mut self) -> Option<*mut libc::c_char> {
        (!self.sockets.is_empty()).then(|| self.variable.as_mut_ptr().cast())
    }

    /// The number behind those of the sockets in the child.
    pub(crate) fn end(&self) -> RawFd {
        RawFd::try_from(self.sockets.len()).map_or(RawFd::MAX, |count| FIRST + count)
    }

    /// Moves the sockets to their descriptors and fills in the variable at `place`. To be called in
    /// the child, when 0, 1 and 2 are in place. Async-signal-safe.
    ///
    /// # Errors
    /// Those of fcntl(2) and dup2(2).
    pub(crate) fn install(&mut self, place: Option<*mut libc::c_char>) -> io::Result<()> {
        let end = self.end();
        // A socket must not be overwritten before it has been copied.
        for (target, socket) in (FIRST..end).zip(&mut self.sockets) {
            if *socket != target && *socket < end {
                // SAFETY: a system call on plain numbers.
                *socket = cerr(unsafe { libc::fcntl(*socket, libc::F_DUPFD_CLOEXEC, end) })?;
            }
        }
        for (target, &socket) in (FIRST..end).zip(&self.sockets) {
            // SAFETY: system calls on plain numbers. A copy has no close-on-exec flag.
            cerr(unsafe {
                if socket == target {
                    libc::fcntl(socket, libc::F_SETFD, 0)
                } else {
                    libc::dup2(socket, target)
                }
            })?;
        }
        if let Some(place) = place {
            // SAFETY: async-signal-safe, and it never fails.
            let pid = unsafe { libc::getpid() };
            let mut digits = [0; DIGITS];
            let count = write_digits(pid.unsigned_abs(), &mut digits);
            // SAFETY: `place` is the beginning of `variable`, which has room for all the digits
            // after the name and the NUL after them.
            unsafe {
                let place = place.add(VARIABLE.len());
                std::ptr::copy_nonoverlapping(digits.as_ptr().cast(), place, count);
            }
        }
        Ok(())
    }
}

/// Writes `number` in decimal digits. Returns their number, at most ten.
fn write_digits(number: u32, out: &mut [u8; DIGITS]) -> usize {
    let mut count = 0;
    let mut rest = number;
    for place in out.iter_mut() {
        *place = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        count += 1;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if let Some(digits) = out.get_mut(..count) {
        digits.reverse();
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_decimal() {
        for number in [0, 1, 9, 10, 4_194_304, u32::MAX] {
            let mut digits = [0; DIGITS];
            let count = write_digits(number, &mut digits);
            assert_eq!(&digits[..count], number.to_string().as_bytes());
            assert!(count < DIGITS, "a NUL must follow");
        }
    }
}
