//! Sockets that the stand-in passes to the program it becomes, as systemd does (sd_listen_fds(3)).

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use std::env;
use std::ffi::CString;
use std::net::TcpListener;
use std::os::fd::{IntoRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::sync::Mutex;

/// The names of the sockets opened, descriptors 3 and up.
static NAMES: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Opens a socket and keeps it open over exec.
pub(super) fn pass(endpoint: &str, name: String) {
    let (kind, place) = endpoint.split_once(':').expect("KIND:PLACE");
    let socket: OwnedFd = match kind {
        "tcp" => TcpListener::bind(place).expect("bind").into(),
        "unix" => UnixListener::bind(place).expect("bind").into(),
        "dgram" => UnixDatagram::bind(place).expect("bind").into(),
        other => panic!("no kind of socket: {other}"),
    };
    fcntl(&socket, FcntlArg::F_SETFD(FdFlag::empty())).expect("F_SETFD");
    let mut names = NAMES.lock().expect("the names");
    assert_eq!(socket.into_raw_fd(), 3 + i32::try_from(names.len()).expect("few"));
    names.push(name);
}

/// The environment for what this process becomes.
pub(super) fn environment() -> Vec<CString> {
    let names = NAMES.lock().expect("the names");
    let mut variables: Vec<_> = env::vars_os().collect();
    if !names.is_empty() {
        let pid = std::process::id().to_string();
        let count = names.len().to_string();
        let list = names.join(":");
        let about = [("LISTEN_PID", pid), ("LISTEN_FDS", count), ("LISTEN_FDNAMES", list)];
        variables.extend(about.map(|(name, value)| (name.into(), value.into())));
    }
    let texts = variables.into_iter().map(|(mut variable, value)| {
        variable.push("=");
        variable.push(value);
        CString::new(variable.into_vec()).expect("no NUL")
    });
    texts.collect()
}
