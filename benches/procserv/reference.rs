//! The reference: the leanest loop that does a row's work and nothing else, as the limit of what
//! a server can reach on this kernel. It waits for its clients first, starts the child on a PTY,
//! and writes each read to the log and to each client; blocking writes, no telnet, no messages,
//! no fsync.

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::process::{Child, Command};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::Result;

/// What a client sees first, so that it knows that it was accepted.
const GREETING: &[u8] = b"reference\r\n";

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
        copy(&master, &mut log, &clients);
        Ok(())
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
    nix::fcntl::fcntl(&pty.master, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC))?;
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
fn copy(mut master: &File, log: &mut Option<File>, clients: &[File]) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count @ 1..) = master.read(&mut buffer) {
        spread(&buffer[..count], log, clients);
    }
}

/// Both ways. The child is started again when its terminal ends.
fn converse(
    plan: &Plan,
    clients: Vec<File>,
    mut log: Option<File>,
    mut master: File,
    mut child: Child,
) -> Result<()> {
    let mut buffer = vec![0; 64 << 10];
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
            match master.read(&mut buffer) {
                Ok(count @ 1..) => spread(&buffer[..count], &mut log, &clients),
                _ => {
                    child.wait()?;
                    (master, child) = start(&plan.child)?;
                }
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
