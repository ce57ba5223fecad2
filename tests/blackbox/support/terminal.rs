//! A terminal of which the test is the hardware.

use super::{Client, TestEnv};
use nix::fcntl::OFlag;
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};
use nix::sys::termios::{SetArg, Termios, tcgetattr, tcsetattr};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// A pseudo terminal. The test types and reads through `screen`.
pub struct Terminal {
    /// The hardware end.
    pub screen: Client,
    /// Kept open, so that the modes can be looked at after the server has gone.
    line: File,
    path: PathBuf,
}

impl Terminal {
    /// A new terminal with the kernel's default modes.
    pub fn new(env: &TestEnv, dir: &Path) -> Terminal {
        // Close-on-exec, else other servers of this run would keep it from being hung up.
        let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let master = posix_openpt(flags).expect("a pseudo terminal");
        grantpt(&master).expect("grantpt");
        unlockpt(&master).expect("unlockpt");
        let path = PathBuf::from(ptsname_r(&master).expect("ptsname_r"));
        let line = open(&path);
        Terminal { screen: Client::new(*env, dir, OwnedFd::from(master)), line, path }
    }

    /// The line end, for a server's standard input.
    pub fn stdin(&self) -> File {
        open(&self.path)
    }

    /// The name of the terminal.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The modes as they are now.
    pub fn modes(&self) -> Termios {
        tcgetattr(&self.line).expect("tcgetattr")
    }

    /// Sets the modes, as somebody else on this terminal would.
    pub fn set_modes(&self, modes: &Termios) {
        tcsetattr(&self.line, SetArg::TCSANOW, modes).expect("tcsetattr");
    }
}

fn open(path: &Path) -> File {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = File::options();
    options.read(true).write(true).custom_flags(OFlag::O_NOCTTY.bits());
    options.open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
