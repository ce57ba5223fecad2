//! Users of the system: looking one up, and becoming one.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use minicbor::{Decode, Encode};
use nix::sys::stat::{Mode, fchmod};
use nix::unistd::{Gid, Group, Uid, User, fchown, geteuid};

use crate::sys::cerr;

/// The number of bytes that are read of /etc/passwd.
const PASSWD_MAX: u64 = 1 << 20;

/// A user, with all that is needed to become that user without another look-up. A state that is
/// handed over contains it, so the numbers of its fields stay.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Account {
    /// The user ID.
    #[n(0)]
    pub uid: u32,
    /// The ID of the user's primary group.
    #[n(1)]
    pub gid: u32,
    /// The IDs of all groups.
    #[n(2)]
    pub groups: Vec<u32>,
    /// The ID of the group `tty`, if there is one.
    #[n(3)]
    pub tty: Option<u32>,
    /// The login name.
    #[cbor(n(4), with = "minicbor::bytes")]
    pub name: Vec<u8>,
    /// The home directory.
    #[cbor(n(5), with = "minicbor::bytes")]
    pub home: Vec<u8>,
    /// The shell.
    #[cbor(n(6), with = "minicbor::bytes")]
    pub shell: Vec<u8>,
}

impl Account {
    /// Looks up the user with this name, or else with this number. Returns `None` if there is none.
    ///
    /// # Errors
    /// Those of the user database (getpwnam_r(3), getgrouplist(3)).
    pub(crate) fn find(who: &OsStr) -> io::Result<Option<Account>> {
        let Some(who) = who.to_str().filter(|who| !who.contains('\0')) else {
            return Ok(None);
        };
        let number = who.parse().ok().filter(|_| who.bytes().all(|byte| byte.is_ascii_digit()));
        let user = match (User::from_name(who)?, number) {
            (None, Some(number)) => User::from_uid(Uid::from_raw(number))?,
            (user, _) => user,
        };
        let Some(user) = user else {
            return Ok(None);
        };
        let tty = Group::from_name("tty").ok().flatten();
        let shell = user.shell.into_os_string().into_vec();
        Ok(Some(Account {
            uid: user.uid.as_raw(),
            gid: user.gid.as_raw(),
            groups: groups(&user.name, user.gid)?,
            tty: tty.map(|group| group.gid.as_raw()),
            name: user.name.into_bytes(),
            home: user.dir.into_os_string().into_vec(),
            shell: if shell.is_empty() { b"/bin/sh".to_vec() } else { shell },
        }))
    }

    /// Returns the login name.
    pub(crate) fn name(&self) -> &OsStr {
        OsStr::from_bytes(&self.name)
    }

    /// Returns the variables that login(1) sets in the environment.
    pub(crate) fn variables(&self) -> [(&'static str, &OsStr); 4] {
        let [home, shell] = [&self.home, &self.shell].map(|text| OsStr::from_bytes(text));
        [("HOME", home), ("USER", self.name()), ("LOGNAME", self.name()), ("SHELL", shell)]
    }

    /// Gives a terminal to this user, as login(1) does: others may write to it only through the
    /// group `tty`.
    ///
    /// # Errors
    /// Those of fchown(2) and fchmod(2).
    pub(crate) fn chown_terminal(&self, terminal: impl AsFd) -> io::Result<()> {
        let group = self.tty.unwrap_or(self.gid);
        fchown(&terminal, Some(Uid::from_raw(self.uid)), Some(Gid::from_raw(group)))?;
        let others = if self.tty.is_some() { Mode::S_IWGRP } else { Mode::empty() };
        Ok(fchmod(&terminal, Mode::S_IRUSR | Mode::S_IWUSR | others)?)
    }

    /// Makes this process one of this user, for good. Async-signal-safe, in a process with one
    /// thread.
    pub(crate) fn switch_to(&self) -> io::Result<()> {
        // SAFETY: the list is valid for reading; the others are system calls on plain numbers.
        unsafe {
            cerr(libc::setgroups(self.groups.len() as _, self.groups.as_ptr().cast()))?;
            cerr(libc::setgid(self.gid))?;
            cerr(libc::setuid(self.uid))?;
        }
        Ok(())
    }
}

/// Returns the name that /etc/passwd has for this user (passwd(5)). Other databases are not asked, as
/// that may take long, and the caller does not wait.
pub(crate) fn local_name(uid: u32) -> Option<String> {
    let passwd = File::open("/etc/passwd").ok()?;
    let lines = BufReader::new(passwd.take(PASSWD_MAX)).lines().map_while(Result::ok);
    lines.into_iter().find_map(|line| {
        let mut fields = line.split(':');
        let (name, _, number) = (fields.next()?, fields.next()?, fields.next()?);
        (number.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

/// Returns true if this process is root's and so may become any user.
pub(crate) fn is_root() -> bool {
    geteuid().is_root()
}

#[cfg(not(target_vendor = "apple"))]
fn groups(name: &str, gid: Gid) -> io::Result<Vec<u32>> {
    let groups = nix::unistd::getgrouplist(&std::ffi::CString::new(name)?, gid)?;
    Ok(groups.into_iter().map(Gid::as_raw).collect())
}

#[cfg(target_vendor = "apple")]
fn groups(_name: &str, gid: Gid) -> io::Result<Vec<u32>> {
    Ok(vec![gid.as_raw()])
}
