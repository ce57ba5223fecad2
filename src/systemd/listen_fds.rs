//! Sockets that systemd opened and passes: LISTEN_FDS of them from descriptor 3 on, to the process
//! LISTEN_PID, with the names LISTEN_FDNAMES (sd_listen_fds(3)).

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use crate::config::endpoint::Passed;
use crate::sys::fd;

/// The first descriptor that is passed.
const FIRST: i32 = 3;

/// What one has that was given no name.
const NO_NAME: &[u8] = b"unknown";

/// The sockets that were passed and have not been taken.
#[derive(Debug, Default)]
pub(crate) struct ListenFds(Vec<(Vec<u8>, OwnedFd)>);

impl ListenFds {
    /// Takes what was passed to this process, `pid`; `env` looks variables up. To be called once, and
    /// before anything else opens descriptors.
    pub(crate) fn new(pid: u32, env: &dyn Fn(&str) -> Option<OsString>) -> ListenFds {
        let [listen_pid, count, names] = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"]
            .map(|name| env(name).unwrap_or_default());
        let passed = passed(pid, &listen_pid, &count, &names).into_iter();
        // One that is not open ends the list: the variables say too much.
        ListenFds(
            passed.map_while(|(number, name)| Some((name, fd::adopt(number).ok()?))).collect(),
        )
    }

    /// Those that `which` means: one, or all of a name.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn take(&mut self, which: &Passed) -> io::Result<Vec<OwnedFd>> {
        let is_meant = |(name, fd): &mut (Vec<u8>, OwnedFd)| match which {
            Passed::Number(number) => fd.as_raw_fd() == *number,
            Passed::Name(wanted) => name == wanted,
        };
        let taken: Vec<OwnedFd> = self.0.extract_if(.., is_meant).map(|(_, fd)| fd).collect();
        if taken.is_empty() {
            return Err(io::Error::other("the service manager has passed no such socket"));
        }
        Ok(taken)
    }

    /// The one that `which` means, with its name.
    pub(crate) fn take_named(&mut self, which: i32) -> Option<(Vec<u8>, OwnedFd)> {
        let at = self.0.iter().position(|(_, fd)| fd.as_raw_fd() == which)?;
        Some(self.0.remove(at))
    }

    /// Those whose name `is_meant`, with their names.
    pub(crate) fn take_by_name(
        &mut self,
        is_meant: impl Fn(&[u8]) -> bool,
    ) -> Vec<(Vec<u8>, OwnedFd)> {
        self.0.extract_if(.., |(name, _)| is_meant(name)).collect()
    }

    /// Closes what nobody took; what to say about each.
    pub(crate) fn close(self) -> Vec<String> {
        let said = self.0.into_iter().map(|(name, fd)| {
            let (number, name) = (fd.as_raw_fd(), String::from_utf8_lossy(&name).into_owned());
            format!("descriptor {number} was passed as {name} and is not used: closed")
        });
        said.collect()
    }
}

/// The descriptors with their names, if the variables mean the process `pid`.
fn passed(pid: u32, listen_pid: &OsStr, count: &OsStr, names: &OsStr) -> Vec<(i32, Vec<u8>)> {
    let number = |text: &OsStr| text.to_str()?.parse::<u32>().ok();
    let count = match (number(listen_pid), number(count)) {
        (Some(meant), Some(count)) if meant == pid => count,
        _ => return Vec::new(),
    };
    let end = i32::try_from(count).ok().and_then(|count| FIRST.checked_add(count));
    let names = names.as_bytes().split(|&byte| byte == b':').map(<[u8]>::to_vec);
    let names = names.map(|name| if name.is_empty() { NO_NAME.to_vec() } else { name });
    (FIRST..end.unwrap_or(FIRST)).zip(names.chain(std::iter::repeat(NO_NAME.to_vec()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(listen_pid: &str, count: &str, names: &str) -> Vec<(i32, String)> {
        let passed = passed(77, listen_pid.as_ref(), count.as_ref(), names.as_ref());
        let text = |name| String::from_utf8(name).unwrap();
        passed.into_iter().map(|(number, name)| (number, text(name))).collect()
    }

    fn named(names: &[&str]) -> Vec<(i32, String)> {
        (3..).zip(names.iter().map(ToString::to_string)).collect()
    }

    #[test]
    fn descriptors_have_numbers_and_names() {
        assert_eq!(parsed("77", "1", "a.socket"), named(&["a.socket"]));
        assert_eq!(parsed("77", "3", "a:b:a"), named(&["a", "b", "a"]));
        assert_eq!(parsed("77", "0", ""), []);
    }

    #[test]
    fn names_may_be_too_few_or_too_many() {
        assert_eq!(parsed("77", "2", ""), named(&["unknown", "unknown"]));
        assert_eq!(parsed("77", "3", "a::"), named(&["a", "unknown", "unknown"]));
        assert_eq!(parsed("77", "1", "a:b"), named(&["a"]));
    }

    #[test]
    fn what_is_anothers_or_no_number_is_nothing() {
        for (pid, count) in
            [("78", "1"), ("", "1"), ("77", ""), ("77", "-1"), ("77", "x"), ("77", "4294967295")]
        {
            assert_eq!(parsed(pid, count, "a"), [], "{pid} {count}");
        }
    }
}
