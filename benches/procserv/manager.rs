//! A stand-in for the service manager's store: it keeps what a server with `--fdstore` sends to it.

use std::collections::BTreeMap;
use std::io::IoSliceMut;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use procserv_ng::sys::fd;

use super::Result;

/// How soon the thread notices that it is to end.
const TICK: Duration = Duration::from_millis(20);

/// The thread that hears the server. Dropped, it ends and closes what it keeps.
pub struct Manager {
    done: Arc<AtomicBool>,
    kept: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Manager {
    /// Listens on a new socket with this path, which is the server's `$NOTIFY_SOCKET`.
    pub fn new(path: &Path) -> Result<Manager> {
        let socket = UnixDatagram::bind(path)?;
        socket.set_read_timeout(Some(TICK))?;
        let (done, kept) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (is_done, count) = (Arc::clone(&done), Arc::clone(&kept));
        let thread = thread::spawn(move || keep(&socket, &is_done, &count));
        Ok(Manager { done, kept, thread: Some(thread) })
    }

    /// How many descriptors it keeps.
    pub fn kept(&self) -> usize {
        self.kept.load(Ordering::Relaxed)
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic there was shown already.
            let _ = thread.join();
        }
    }
}

fn keep(socket: &UnixDatagram, done: &AtomicBool, count: &AtomicUsize) {
    let mut kept: BTreeMap<String, OwnedFd> = BTreeMap::new();
    let mut buffer = [0; 4096];
    while !done.load(Ordering::Relaxed) {
        let (text, descriptor) = match receive(socket, &mut buffer) {
            Ok(message) => message,
            Err(Errno::EAGAIN | Errno::EINTR) => continue,
            Err(_) => return,
        };
        let Some(name) = text.lines().find_map(|line| line.strip_prefix("FDNAME=")) else {
            continue;
        };
        match descriptor {
            Some(descriptor) => drop(kept.insert(name.to_owned(), descriptor)),
            None => drop(kept.remove(name)),
        }
        count.store(kept.len(), Ordering::Relaxed);
    }
}

/// The next message, with the descriptor that came with it.
fn receive(socket: &UnixDatagram, buffer: &mut [u8]) -> nix::Result<(String, Option<OwnedFd>)> {
    let mut space = nix::cmsg_space!(i32);
    let mut slices = [IoSliceMut::new(buffer)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut slices, Some(&mut space), flags)?;
    let mut numbers = message.cmsgs()?.filter_map(|control| match control {
        ControlMessageOwned::ScmRights(numbers) => numbers.first().copied(),
        _ => None,
    });
    let descriptor = numbers.next().and_then(|number| fd::adopt(number).ok());
    let count = message.bytes;
    Ok((String::from_utf8_lossy(&buffer[..count]).into_owned(), descriptor))
}
