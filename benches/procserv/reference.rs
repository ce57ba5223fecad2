//! The reference: the leanest loop that does a row's work and nothing else, as the limit of what
//! a server can reach on this kernel. It waits for its clients first, starts the child on a PTY,
//! and writes what it reads to the log and to each client; blocking writes, no telnet, no
//! messages, no fsync.

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::process::{Child, Command};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::Result;

/// What a client sees first, so that it knows that it was accepted.
const GREETING: &[u8] = b"reference\r\n";

/// What goes to a client at once.
const BUFFER: usize = 64 << 10;

/// The kill command.
const KILL: u8 = 0x18;

#[derive(Default)]
struct Plan {
    unix: Option<String>,
    tcp: Option<u16>,
    log: Option<String>,
    clients: usize,
    /// Whether what clients send goes to the child.
    interactive: bool,
    child: Vec<String>,
}

fn parse(words: &[String]) -> Result<Plan> {
    let mut plan = Plan::default();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().cloned().ok_or("a value");
        match word.as_str() {
            "--unix" => plan.unix = Some(value()?),
            "--tcp" => plan.tcp = Some(value()?.parse()?),
            "--log" => plan.log = Some(value()?),
            "--clients" => plan.clients = value()?.parse()?,
            "--interactive" => plan.interactive = true,
            first => {
                plan.child = [first.to_owned()].into_iter().chain(words.cloned()).collect();
                break;
            }
        }
    }
    Ok(plan)
}

/// Does what `words` say until the child ends.
pub fn run(words: &[String]) -> Result<()> {
    let plan = parse(words)?;
    let mut log = match &plan.log {
        Some(path) => Some(File::options().append(true).create(true).open(path)?),
        None => None,
    };
    let mut clients = accept(&plan)?;
    let (master, child) = start(&plan.child)?;
    for client in &mut clients {
        client.write_all(GREETING)?;
    }
    if plan.interactive {
        converse(&plan, clients, log, master, child)
    } else {
        copy(&master, &mut log, &clients)
    }
}

fn accept(plan: &Plan) -> Result<Vec<File>> {
    let mut clients = Vec::new();
    if let Some(port) = plan.tcp {
        let listener = TcpListener::bind(("127.0.0.1", port))?;
        while clients.len() < plan.clients {
            let (stream, _) = listener.accept()?;
            stream.set_nodelay(true)?;
            clients.push(File::from(OwnedFd::from(stream)));
        }
    } else if let Some(path) = &plan.unix {
        let listener = UnixListener::bind(path)?;
        while clients.len() < plan.clients {
            clients.push(File::from(OwnedFd::from(listener.accept()?.0)));
        }
    }
    Ok(clients)
}

/// The child on a new PTY. It makes itself leader of its session.
fn start(words: &[String]) -> Result<(File, Child)> {
    let pty = nix::pty::openpty(None, None)?;
    fcntl(&pty.master, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    fcntl(&pty.master, FcntlArg::F_SETFL(OFlag::O_RDWR | OFlag::O_NONBLOCK))?;
    let child = Command::new(std::env::current_exe()?)
        .arg("on-tty")
        .args(words)
        .stdin(pty.slave.try_clone()?)
        .stdout(pty.slave.try_clone()?)
        .stderr(pty.slave)
        .spawn()?;
    Ok((File::from(pty.master), child))
}

/// The first part of `on-tty`: standard input becomes the controlling terminal.
pub fn take_terminal() -> Result<()> {
    nix::unistd::setsid()?;
    // A leader of a session without a terminal gets the first one that it opens.
    File::open(nix::unistd::ttyname(std::io::stdin())?)?;
    Ok(())
}

fn spread(bytes: &[u8], log: &mut Option<File>, clients: &[File]) {
    if let Some(log) = log {
        let _ = log.write_all(bytes);
    }
    for mut client in clients {
        // One that left is the measuring side's end.
        let _ = client.write_all(bytes);
    }
}

/// Until the terminal ends.
fn copy(master: &File, log: &mut Option<File>, clients: &[File]) -> Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        poll(&mut [PollFd::new(master.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE)?;
        match gather(master, &mut buffer) {
            0 => return Ok(()),
            count => spread(&buffer[..count], log, clients),
        }
    }
}

/// All that is there, up to the buffer's size: a terminal gives 4 KiB at most at a time, and one
/// write to each client is cheaper than sixteen. 0: the terminal has ended.
fn gather(mut master: &File, buffer: &mut [u8]) -> usize {
    let mut count = 0;
    while count < buffer.len() {
        match master.read(&mut buffer[count..]) {
            Ok(more @ 1..) => count += more,
            // Nothing more, or the end, which comes again.
            _ => break,
        }
    }
    count
}

/// Both ways. The child is started again when its terminal ends.
fn converse(
    plan: &Plan,
    clients: Vec<File>,
    mut log: Option<File>,
    mut master: File,
    mut child: Child,
) -> Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let (output, inputs) = {
            let mut fds = vec![PollFd::new(master.as_fd(), PollFlags::POLLIN)];
            fds.extend(clients.iter().map(|client| PollFd::new(client.as_fd(), PollFlags::POLLIN)));
            match poll(&mut fds, PollTimeout::NONE) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            let mut ready = fds.iter().map(|fd| fd.any().unwrap_or(false));
            (ready.next().unwrap_or(false), ready.collect::<Vec<bool>>())
        };
        if output {
            match gather(&master, &mut buffer) {
                0 => {
                    child.wait()?;
                    (master, child) = start(&plan.child)?;
                }
                count => spread(&buffer[..count], &mut log, &clients),
            }
        }
        for (mut client, _) in clients.iter().zip(inputs).filter(|(_, ready)| *ready) {
            let count = client.read(&mut buffer)?;
            if count == 0 {
                // The measuring side is done.
                return Ok(());
            }
            if buffer[..count].contains(&KILL) {
                killpg(Pid::from_raw(child.id().cast_signed()), Signal::SIGKILL)?;
            }
            // A terminal whose child has just ended takes nothing.
            let _ = master.write_all(&buffer[..count]);
        }
    }
}
