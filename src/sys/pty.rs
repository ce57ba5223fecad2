//! Pseudo terminals, and the modes of a real one.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use nix::sys::termios::{self, InputFlags, LocalFlags, SetArg, Termios};
use nix::unistd::{getpgrp, tcgetpgrp, ttyname};

/// A new PTY: its master, non-blocking, and its slave, both closed on exec. The slave has the
/// kernel's default modes and a window of 0x0.
pub fn open() -> io::Result<(OwnedFd, OwnedFd)> {
    let pair = nix::pty::openpty(None, None)?;
    super::fd::prepare(&pair.master)?;
    nix::fcntl::fcntl(&pair.slave, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC))?;
    Ok((pair.master, pair.slave))
}

/// A terminal that somebody sits at, in the modes for a console. Dropped, it is as it was.
#[derive(Debug)]
pub struct Terminal {
    file: File,
    saved: Termios,
}

impl Terminal {
    /// Opens the terminal behind `fd` anew by its name, so that O_NONBLOCK stays ours, and sets no
    /// echo, no line mode, no XON/XOFF. `None` if it is no terminal, is dead, or if this process is
    /// in its background, where touching it would take it from somebody else.
    pub fn open(fd: BorrowedFd<'_>) -> Option<Terminal> {
        let mut options = File::options();
        options.read(true).write(true).custom_flags(libc::O_NOCTTY | libc::O_NONBLOCK);
        let named = ttyname(fd).map_err(io::Error::from).and_then(|name| options.open(name));
        let file = named.or_else(|error| {
            // Behind su(1) the name is another user's, in a container there may be none; our own
            // terminal has one for everybody.
            if tcgetpgrp(fd).is_ok() { options.open("/dev/tty") } else { Err(error) }
        });
        let file = file.ok()?;
        if is_anothers(&file) {
            return None;
        }
        let saved = termios::tcgetattr(&file).ok()?;
        let mut modes = saved.clone();
        modes.input_flags.remove(InputFlags::IXON | InputFlags::IXOFF);
        modes.local_flags.remove(LocalFlags::ECHO | LocalFlags::ICANON);
        restore_in_a_panic(&file, &saved).ok()?;
        termios::tcsetattr(&file, SetArg::TCSANOW, &modes).ok()?;
        Some(Terminal { file, saved })
    }

    /// To read from and write to.
    pub fn file(&self) -> &File {
        &self.file
    }
}

/// Whether this process is in the background of a terminal. One that is not ours to control (no
/// controlling terminal) is nobody's foreground.
fn is_anothers(file: &File) -> bool {
    tcgetpgrp(file).is_ok_and(|group| group != getpgrp())
}

/// A panic aborts and drops nothing, but whoever sits there wants to read about it and go on.
fn restore_in_a_panic(file: &File, saved: &Termios) -> io::Result<()> {
    let file = file.try_clone()?;
    let saved = libc::termios::from(saved.clone());
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let _ = termios::tcsetattr(&file, SetArg::TCSANOW, &Termios::from(saved));
        report(info);
    }));
    Ok(())
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // A shell that took it back set the modes that it wants. One that was hung up has nothing
        // to restore.
        if !is_anothers(&self.file) {
            let _ = termios::tcsetattr(self.file.as_fd(), SetArg::TCSANOW, &self.saved);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_is_restored_in_a_panic() {
        let (_screen, line) = open().expect("a pseudo terminal");
        let before = termios::tcgetattr(&line).expect("its modes");
        let terminal = Terminal::open(line.as_fd()).expect("a terminal");
        let during = termios::tcgetattr(&line).expect("its modes");
        assert_ne!(during.local_flags, before.local_flags);
        let panicked = std::panic::catch_unwind(|| panic!("on purpose"));
        assert!(panicked.is_err());
        assert_eq!(termios::tcgetattr(&line).expect("its modes"), before);
        drop(terminal);
    }
}
