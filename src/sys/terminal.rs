//! The terminal that somebody sits at: its modes, which are set for a console and given back.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;

use minicbor::{Decode, Encode};
use nix::sys::termios::{self, InputFlags, LocalFlags, SetArg, Termios};
use nix::unistd::{getpgrp, tcgetpgrp, ttyname};

/// A terminal that somebody sits at, in the modes for a console. When it is dropped it gets the
/// modes back that it had.
#[derive(Debug)]
pub(crate) struct Terminal {
    file: File,
    saved: Termios,
}

impl Terminal {
    /// Opens the terminal behind `fd` with [`reopen`] and switches echo, line mode and XON/XOFF
    /// off. Returns `None` if `fd` is no terminal, is dead, or if this process is in the background
    /// of the terminal, where changing the modes would disturb the foreground.
    pub(crate) fn open(fd: BorrowedFd<'_>) -> Option<Terminal> {
        Terminal::open_with(fd, |modes| {
            modes.input_flags.remove(InputFlags::IXON | InputFlags::IXOFF);
            modes.local_flags.remove(LocalFlags::ECHO | LocalFlags::ICANON);
        })
    }

    /// The same, but in raw mode (cfmakeraw(3)).
    pub(crate) fn raw(fd: BorrowedFd<'_>) -> Option<Terminal> {
        Terminal::open_with(fd, termios::cfmakeraw)
    }

    fn open_with(fd: BorrowedFd<'_>, change: fn(&mut Termios)) -> Option<Terminal> {
        let file = reopen(fd).ok()?;
        if is_in_background(&file) {
            return None;
        }
        let saved = termios::tcgetattr(&file).ok()?;
        let mut modes = saved.clone();
        change(&mut modes);
        restore_in_a_panic(&file, &saved).ok()?;
        termios::tcsetattr(&file, SetArg::TCSANOW, &modes).ok()?;
        Some(Terminal { file, saved })
    }

    /// Takes a terminal over that another program in this process opened, with the modes that it had
    /// then.
    ///
    /// # Errors
    /// Those of tcgetattr(3), and of duplicating the descriptor.
    pub(crate) fn adopt(file: File, saved: &TermiosFlags) -> io::Result<Terminal> {
        let saved = Terminal::modes_to_restore(&file, saved)?;
        Ok(Terminal::with_modes(file, saved))
    }

    /// Returns the modes that [`with_modes`](Self::with_modes) takes. A panic restores them from now on.
    ///
    /// # Errors
    /// As with [`adopt`](Self::adopt).
    pub(crate) fn modes_to_restore(file: &File, saved: &TermiosFlags) -> io::Result<Termios> {
        let saved = saved.to_termios(termios::tcgetattr(file)?);
        restore_in_a_panic(file, &saved)?;
        Ok(saved)
    }

    /// Takes a terminal over that has these modes restored at the end.
    pub(crate) fn with_modes(file: File, saved: Termios) -> Terminal {
        Terminal { file, saved }
    }

    /// Returns the modes that the terminal will get back.
    pub(crate) fn saved(&self) -> TermiosFlags {
        TermiosFlags::from(&self.saved)
    }

    /// Sets the modes that the terminal had, for as long as this process is stopped.
    pub(crate) fn restore(&self) {
        let _ = termios::tcsetattr(&self.file, SetArg::TCSANOW, &self.saved);
    }

    /// Sets raw mode again, unless this process is in the background of the terminal now.
    pub(crate) fn retake(&self) {
        if !is_in_background(&self.file) {
            let mut modes = self.saved.clone();
            termios::cfmakeraw(&mut modes);
            let _ = termios::tcsetattr(&self.file, SetArg::TCSANOW, &modes);
        }
    }

    /// Returns true if another group of processes has the terminal.
    pub(crate) fn is_in_background(&self) -> bool {
        is_in_background(&self.file)
    }

    /// Returns the file to read from and write to.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }
}

/// Returns true if [`Terminal::open`] would open a terminal behind `fd`.
pub(crate) fn can_be_used(fd: impl AsFd) -> bool {
    let usable = |file: File| !is_in_background(&file) && termios::tcgetattr(&file).is_ok();
    reopen(fd.as_fd()).is_ok_and(usable)
}

/// Opens the terminal behind `fd` once more by its name. Unlike a duplicate, the new descriptor
/// does not share its O_NONBLOCK flag with the programs that have the terminal open.
///
/// # Errors
/// Those of ttyname(3) and open(2).
pub(crate) fn reopen(fd: BorrowedFd<'_>) -> io::Result<File> {
    let mut options = File::options();
    options.read(true).write(true).custom_flags(libc::O_NOCTTY | libc::O_NONBLOCK);
    let named = ttyname(fd).map_err(io::Error::from).and_then(|name| options.open(name));
    named.or_else(|error| {
        // After su(1) the name belongs to another user, and in a container there may be no name. For
        // the controlling terminal there is one that everybody may open.
        if tcgetpgrp(fd).is_ok() { options.open("/dev/tty") } else { Err(error) }
    })
}

/// The modes of a terminal as plain numbers (termios(3)). A state that is handed over contains them,
/// so the numbers of the fields stay.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct TermiosFlags {
    /// `c_iflag`.
    #[n(0)]
    pub input: u64,
    /// `c_oflag`.
    #[n(1)]
    pub output: u64,
    /// `c_cflag`, with the speeds where they are part of it.
    #[n(2)]
    pub control: u64,
    /// `c_lflag`.
    #[n(3)]
    pub local: u64,
    /// `c_cc`.
    #[cbor(n(4), with = "minicbor::bytes")]
    pub characters: Vec<u8>,
}

impl TermiosFlags {
    // The flags have 32 bits on some systems and 64 on others.
    #[allow(clippy::useless_conversion)]
    fn from(modes: &Termios) -> TermiosFlags {
        let modes = libc::termios::from(modes.clone());
        TermiosFlags {
            input: modes.c_iflag.into(),
            output: modes.c_oflag.into(),
            control: modes.c_cflag.into(),
            local: modes.c_lflag.into(),
            characters: modes.c_cc.to_vec(),
        }
    }

    /// Returns `modes` with these flags and characters.
    fn to_termios(&self, modes: Termios) -> Termios {
        let mut modes = libc::termios::from(modes);
        modes.c_iflag = self.input as libc::tcflag_t;
        modes.c_oflag = self.output as libc::tcflag_t;
        modes.c_cflag = self.control as libc::tcflag_t;
        modes.c_lflag = self.local as libc::tcflag_t;
        for (place, character) in modes.c_cc.iter_mut().zip(&self.characters) {
            *place = *character;
        }
        Termios::from(modes)
    }
}

/// Returns true if this process is in the background of a terminal. A terminal that is not its
/// controlling terminal has no foreground for it.
fn is_in_background(file: &File) -> bool {
    tcgetpgrp(file).is_ok_and(|group| group != getpgrp())
}

/// Has a panic set the `saved` modes before it is reported: it aborts the process, so nothing is
/// dropped.
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
        // A shell that has taken the terminal back has set the modes that it wants.
        if !is_in_background(&self.file) {
            let _ = termios::tcsetattr(self.file.as_fd(), SetArg::TCSANOW, &self.saved);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_is_restored_in_a_panic() {
        let (_screen, line) = crate::sys::pty::open().expect("a pseudo terminal");
        let before = termios::tcgetattr(&line).expect("its modes");
        for open in [Terminal::open, Terminal::raw] {
            let terminal = open(line.as_fd()).expect("a terminal");
            let during = termios::tcgetattr(&line).expect("its modes");
            assert_ne!(during.local_flags, before.local_flags);
            let panicked = std::panic::catch_unwind(|| panic!("on purpose"));
            assert!(panicked.is_err());
            assert_eq!(termios::tcgetattr(&line).expect("its modes"), before);
            drop(terminal);
        }
    }
}
