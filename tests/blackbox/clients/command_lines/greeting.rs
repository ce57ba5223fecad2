//! The greeting that a line leads to.

use crate::support::{NEGOTIATION, TestServer};

/// What differs from line to line, as it shows in the greeting.
pub(super) struct Greeting<'a> {
    pub(super) kill: &'a str,
    pub(super) mode: &'a str,
    pub(super) toggle: bool,
    pub(super) logout: Option<&'a str>,
    /// The child's directory, below the scratch directory.
    pub(super) dir: &'a str,
    /// The child's name, `None` if that is the command.
    pub(super) name: Option<&'a str>,
    pub(super) command: &'a str,
    pub(super) log: Option<&'a str>,
    pub(super) running: bool,
    /// The shape of a time, 9 for a digit, if it is not that of `%c`.
    pub(super) time: Option<&'a str>,
    pub(super) users: usize,
}

impl Default for Greeting<'_> {
    fn default() -> Self {
        Greeting {
            kill: "^X",
            mode: "ON",
            toggle: true,
            logout: None,
            dir: "",
            name: None,
            command: "./st.cmd",
            log: None,
            running: true,
            time: None,
            users: 0,
        }
    }
}

impl Greeting<'_> {
    /// Compares a greeting, the negotiation included.
    pub(super) fn check(&self, server: &TestServer, greeting: &[u8]) {
        let text = greeting.strip_suffix(NEGOTIATION).expect("the negotiation");
        let text = match self.time {
            Some(shape) => mask(text, shape.as_bytes()),
            None => text.to_vec(),
        };
        server.assert_console(text, &self.text());
    }

    fn text(&self) -> String {
        let Greeting { kill, mode, dir, command, .. } = self;
        let toggle = if self.toggle {
            format!("auto restart mode is {mode}, use ^T to toggle auto restart")
        } else {
            format!("auto restart mode is {mode}, auto restart toggle disabled")
        };
        let line = |yes: bool, text: String| if yes { text } else { String::new() };
        let name = self.name.unwrap_or(command);
        let logout = self.logout.unwrap_or_default();
        let log = self.log.unwrap_or_default();
        let started = match self.name {
            Some(name) => format!("@@@ Child \"{name}\" started as: {command}\n"),
            None => format!("@@@ Child started as: {command}\n"),
        };
        let state = if self.running {
            format!("@@@ Child \"{name}\" PID: <pid>\n")
        } else {
            format!("@@@ Child \"{name}\" is SHUT DOWN\n")
        };
        [
            "@@@ Welcome to procServ (<version>)\n".to_owned(),
            format!("@@@ Use {kill} to kill the child, {toggle}\n"),
            line(
                self.logout.is_some(),
                format!("@@@ Use {logout} to logout from procServ server\n"),
            ),
            "@@@ procServ server PID: <pid>\n".to_owned(),
            "@@@ Server startup directory: <dir>\n".to_owned(),
            format!("@@@ Child startup directory: <dir>{dir}\n"),
            started,
            line(self.log.is_some(), format!("@@@ Child log file: {log}\n")),
            state,
            "@@@ procServ server started at: <time>\n".to_owned(),
            line(self.running, format!("@@@ Child \"{name}\" started at: <time>\n")),
            format!("@@@ {} user(s) and 0 logger(s) connected (plus you)\n", self.users),
            line(
                !self.running,
                format!("@@@ ^R or {kill} restarts the child, ^Q quits the server\n"),
            ),
        ]
        .concat()
    }
}

/// Masks what has this shape, in which 9 is a digit.
pub(super) fn mask(text: &[u8], shape: &[u8]) -> Vec<u8> {
    let fits = |at: &[u8]| {
        at.iter().zip(shape).all(|(byte, shape)| match shape {
            b'9' => byte.is_ascii_digit(),
            other => byte == other,
        })
    };
    let mut masked = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.first() {
        if rest.len() >= shape.len() && fits(rest) {
            masked.extend_from_slice(b"<time>");
            rest = &rest[shape.len()..];
        } else {
            masked.push(*first);
            rest = &rest[1..];
        }
    }
    masked
}
