//! Clients that only read: a thread takes whatever comes to them.

use std::io::Read;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, poll};

use super::Result;
use super::client::{Client, timeout};

/// How soon the thread notices that it is to end.
const TICK: Duration = Duration::from_millis(20);

/// The thread. Dropped, it ends and its connections are closed.
pub struct DrainingClients {
    done: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl DrainingClients {
    /// Reads from all of them from now on.
    pub fn new(clients: Vec<Client>) -> Result<DrainingClients> {
        for client in &clients {
            client.set_nonblocking()?;
        }
        let done = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&done);
        let thread = thread::spawn(move || drain(clients, &flag));
        Ok(DrainingClients { done, thread: Some(thread) })
    }
}

impl Drop for DrainingClients {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic there was shown already.
            let _ = thread.join();
        }
    }
}

fn drain(mut clients: Vec<Client>, done: &AtomicBool) {
    let mut buffer = vec![0; 256 << 10];
    while !done.load(Ordering::Relaxed) {
        let fds = clients.iter().map(|client| PollFd::new(client.file.as_fd(), PollFlags::POLLIN));
        let mut fds: Vec<PollFd<'_>> = fds.collect();
        if poll(&mut fds, timeout(TICK)).is_err() {
            return;
        }
        let ready: Vec<bool> = fds.iter().map(|fd| fd.any().unwrap_or(false)).collect();
        drop(fds);
        let mut ready = ready.into_iter();
        // A connection that has ended would be ready for ever.
        clients.retain(|client| {
            !ready.next().unwrap_or(false) || !matches!((&client.file).read(&mut buffer), Ok(0))
        });
    }
}
