//! Sockets that the stand-in passes to the program it becomes, as systemd does (sd_listen_fds(3)), and
//! what a program does with sockets that it was passed.

use crate::support::passing::receive;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::socket::{MsgFlags, accept, send};
use nix::unistd::{self, close, dup2};
use std::env;
use std::ffi::CString;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::sync::Mutex;
use std::thread;

/// The names of the sockets opened, descriptors 3 and up.
static NAMES: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Opens a socket and keeps it open over exec, to be told of.
pub(super) fn pass(endpoint: &str, name: String) {
    let number = open(endpoint);
    let mut names = NAMES.lock().expect("the names");
    assert_eq!(number, 3 + i32::try_from(names.len()).expect("few"));
    names.push(name);
}

/// Opens a socket and keeps it open over exec.
pub(super) fn open(endpoint: &str) -> RawFd {
    let (kind, place) = endpoint.split_once(':').expect("KIND:PLACE");
    let socket: OwnedFd = match kind {
        "tcp" => TcpListener::bind(place).expect("bind").into(),
        "unix" => UnixListener::bind(place).expect("bind").into(),
        "dgram" => UnixDatagram::bind(place).expect("bind").into(),
        other => panic!("no kind of socket: {other}"),
    };
    fcntl(&socket, FcntlArg::F_SETFD(FdFlag::empty())).expect("F_SETFD");
    socket.into_raw_fd()
}

/// Tells the service manager.
pub(super) fn notify(text: &str) {
    let socket = UnixDatagram::unbound().expect("a socket");
    let manager = env::var("NOTIFY_SOCKET").expect("NOTIFY_SOCKET");
    let manager = match manager.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(manager),
    };
    let sent = socket.send_to_addr(text.as_bytes(), &manager.expect("an address"));
    sent.expect("a service manager");
}

/// Answers connections as a server that systemd passes sockets to, which block. For ever.
pub(super) fn answer() {
    let number = |name: &str| env::var(name).expect(name).parse::<i32>().expect("a number");
    assert_eq!(number("LISTEN_PID"), std::process::id().cast_signed());
    let serve = |socket: RawFd| loop {
        // No word of std's without unsafe that makes a listener of a number.
        let connection = accept(socket).expect("accept");
        let text = format!("{socket} {}\n", std::process::id());
        // Whoever asked may be gone.
        let _ = send(connection, text.as_bytes(), MsgFlags::MSG_NOSIGNAL);
        let _ = close(connection);
    };
    thread::scope(|scope| {
        (3..3 + number("LISTEN_FDS")).for_each(|socket| drop(scope.spawn(move || serve(socket))));
    });
}

/// Gets all that [`crate::support::passing::serve`] sends.
pub(super) fn fetch(path: &Path) {
    let socket = OwnedFd::from(UnixStream::connect(path).expect("somebody who serves"));
    assert_eq!(socket.as_raw_fd(), 3);
    // What somebody before us left open would be in between.
    let open: Vec<i32> = std::fs::read_dir("/proc/self/fd")
        .expect("/proc/self/fd")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    for number in open.into_iter().filter(|&number| number > 3) {
        // The one that listed them is closed already.
        let _ = unistd::close(number);
    }
    let mut places = vec![socket];
    let mut names = NAMES.lock().expect("the names");
    while let Ok((name, Some(descriptor))) = receive(&places[0]) {
        names.push(name);
        places.push(descriptor);
    }
    // Each moves down by one: the first takes the socket's place.
    for index in 1..places.len() {
        let (before, rest) = places.split_at_mut(index);
        dup2(&rest[0], &mut before[index - 1]).expect("dup2");
    }
    places.pop();
    places.into_iter().for_each(std::mem::forget);
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
