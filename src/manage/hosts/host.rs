//! Names of hosts, as ssh(1) takes them.

use std::fmt;

/// A host, and the user to be there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Host(String);

impl Host {
    /// Reads `[USER@]HOST`. An address of IPv6 may be in brackets.
    ///
    /// # Errors
    /// A text that is no host: it might be an option of ssh, or several words to a shell.
    pub(crate) fn parse(text: &str) -> Result<Host, String> {
        let good = |letter: char| letter.is_ascii_alphanumeric() || "_-.:@[]".contains(letter);
        // ssh takes what is behind the last `@` for the host.
        let parts = text.rsplit_once('@').map_or([text, text], |(user, host)| [user, host]);
        let is_word = |part: &str| !part.is_empty() && !part.starts_with('-');
        if parts.into_iter().all(is_word) && text.chars().all(good) {
            return Ok(Host(text.to_owned()));
        }
        Err(format!("{text:?} is no host"))
    }

    /// The host as the user has written it.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The host without the user.
    pub(crate) fn without_user(&self) -> &str {
        self.0.rsplit('@').next().unwrap_or(&self.0)
    }

    /// The word for ssh, which knows no brackets.
    pub(crate) fn destination(&self) -> String {
        let host = self.without_user();
        let user = self.0.strip_suffix(host).unwrap_or_default();
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        format!("{user}{}", bare.unwrap_or(host))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The parts of `HOST:NAME`. `None` for a text that is something else.
pub(crate) fn split_name(text: &str) -> Option<(Host, &str)> {
    // The colons of an address are between brackets.
    let from = text.find(']').unwrap_or(0);
    let (host, name) = text.split_at_checked(from + text.get(from..)?.find(':')?)?;
    let name = name.strip_prefix(':')?;
    (!name.is_empty()).then_some((Host::parse(host).ok()?, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_host_is_refused() {
        for text in ["h", "u@h", "u.v@h-1.example", "::1", "u@[fe80::1]", "a@b@c"] {
            assert_eq!(Host::parse(text).unwrap().as_str(), text);
        }
        for text in [
            "",
            "-oProxyCommand=x",
            "u@-h",
            "-u@h",
            "u@",
            "@h",
            "a b",
            "a;b",
            "$(a)",
            "a/b",
            "h\n",
            "é",
        ] {
            assert!(Host::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ssh_gets_no_brackets() {
        for (text, word) in [("u@[::1]", "u@::1"), ("[::1]", "::1"), ("u@h", "u@h"), ("h", "h")] {
            assert_eq!(Host::parse(text).unwrap().destination(), word);
        }
    }

    #[test]
    fn hosts_and_names() {
        let split = |text| split_name(text).map(|(host, name)| (host.0, name));
        for (text, host, name) in
            [("h:ioc1", "h", "ioc1"), ("u@h:a:b", "u@h", "a:b"), ("u@[::1]:x", "u@[::1]", "x")]
        {
            assert_eq!(split(text), Some((host.to_owned(), name)), "{text}");
        }
        for text in ["ioc1", "h:", ":x", "-h:x", "[::1]", ""] {
            assert_eq!(split(text), None, "{text}");
        }
    }
}
