//! The server: owns every descriptor and does what the console decides. One thread, one poll.
//!
//! A turn takes what has come, in the order in which it matters (signals, timers, the child's
//! output, what clients typed, new connections), does what the console then wants done, and hands
//! the console stream to everybody who takes it. Each step has a budget, so that a busy one cannot
//! keep the others waiting, and no step blocks, but for these, which are rare:
//!
//! - With `--child-pidfile` each start removes the PID file, and reads it to find the daemon: a thread
//!   does it, and is waited for up to [`FILE_WAIT`], unless it still has another job.
//! - The end of a child that a server before this one started is waited for up to [`REAP_WAIT`].
//!
//! [`FILE_WAIT`]: crate::limits::FILE_WAIT
//! [`REAP_WAIT`]: crate::limits::REAP_WAIT
//!
//! # A file system that hangs
//!
//! A call on it may take for ever, close(2) included: FUSE asks the file system, NFS writes what it has
//! cached. The kernel makes that call for each descriptor that is closed on exec, and for all of them
//! when a process or the last thread with its table ends. So no file of `-L`, `--events`,
//! `--status-file`, `--pidfile`, `--info-file` and `--child-pidfile` is open in the event loop's
//! descriptor table while the loop runs. Each thread that writes has a table of its own
//! ([`DescriptorTable`](crate::sys::fd::DescriptorTable)) and opens, renames and removes its files itself.
//! What was measured with FUSE:
//!
//! | the file is | what waits for the file system |
//! |---|---|
//! | open, close-on-exec | exec: that of a child, which inherits the table, and that of an upgrade |
//! | open, inherited | the end of the process, not exec |
//! | open in the table of another thread | exec and the end of the process, which end that thread |
//! | in a socket, on its way ([`Passage`](crate::sys::passage::Passage)), its sender has closed it | nothing: neither exec nor the end of the process nor closing the socket |
//!
//! An upgrade is therefore made only when each thread has closed its files, and the log waits in a
//! socket for the new program. The end of the process cannot be had in this way: a thread that waits in
//! the kernel keeps a zombie, of which all descriptors are closed, until the file system answers.
//!
//! # When the system says no
//!
//! | call | failure | outcome |
//! |---|---|---|
//! | epoll_wait, kevent | interrupted | a turn like any other |
//! | | anything else | the one fatal failure: the server ends, says so, and exits with the errno |
//! | accept | interrupted, connection gone | the next one |
//! | | no descriptor, no memory, anything else; or few descriptors are left (16, or half of those that the server does not need itself) | that listener pauses for a second; reported once, until no connection waits any more |
//! | locking the directory of a socket file, at the start | anything, 5 s | the socket is bound without the lock |
//! | registering a connection | anything | that connection is closed |
//! | reading from a client | interrupted, would block | read again; read later |
//! | | no memory | again after 10 ms |
//! | | anything else | as an end of file: the client is gone |
//! | writing to a client | short, would block | the rest is written later |
//! | | no memory | again after 10 ms |
//! | | the other side is gone | what it sent before is still read, up to its end |
//! | | anything else | the client is gone |
//! | opening a PTY, fork | anything | `@@@ Child ... could not be started`, a line on stderr, and again when the holdoff time is over, but not within a second |
//! | chdir, exec | anything | written to the child's terminal and to stderr, exit status 255, then as after any end |
//! | setgroups, setgid, setuid (`--user`) | anything | as chdir |
//! | reading the child's PID file, /proc | anything | read again for 10 s; then announced, and the processes that are there are killed |
//! | reading `/proc/PID/stat` of an orphan, of the process in the child's PID file and its ancestors | hangs, as that process executes a program of a file system that hangs | the event loop waits. Of other processes only a kernel that lists no children (without CONFIG_PROC_CHILDREN) makes it read the same |
//! | killing an orphan of the child | not allowed | the orphan is left alone |
//! | | the orphan does not end | the same, 5 s after SIGKILL |
//! | reading from the PTY | interrupted, would block | read again; read later |
//! | | no memory | again after 10 ms; the last output of a child that has ended is waited for 5 s |
//! | | anything else, end of file | the child has given up its terminal: its group is killed |
//! | writing to the PTY | short, would block | the rest stays queued |
//! | | no memory | again after 10 ms |
//! | | anything else | the input is dropped: nobody can read it |
//! | kill, waitid | anything | the process was gone already |
//! | writing the log | short | the rest is written |
//! | | no space, read-only, I/O error, ... | announced once; tried again each second; the log says how many bytes are missing |
//! | | no process reads the pipe any more | the same, but tried again only when there is new output |
//! | | hangs | the child waits while the log is a full mebibyte behind, until the log has made no progress for 5 s; then the console goes on and the log says what is missing |
//! | writing the log, syslog, events at the end | 2 s are not enough | reported on stderr, with the number of bytes left behind |
//! | syncing the log | the file system cannot (EINVAL) | that file is not synced |
//! | | anything | announced once; the log goes on, and says after the next sync how many bytes may not have reached the disk |
//! | unshare of a thread's descriptor table | not allowed, as in some containers, also by a filter that ends the process for it: another process tries it first | the thread's files are open in the table of the process: one that hangs hangs the start of children |
//! | opening or rotating the log | hangs | as writing it |
//! | opening a log anew that was removed | anything | the removed file goes on; tried again each second |
//! | renaming the log or the events, opening the next | anything | announced once; the old file goes on, and it is tried again, not within a second |
//! | writing events | anything | announced once; they wait, bounded, and are tried again each second; those that have no room are counted |
//! | replacing the status file | anything | announced once; tried again each second |
//! | looking at PID file and info file after an upgrade | hangs | its thread waits; another upgrade is refused meanwhile |
//! | removing PID file, info file | hangs, 1 s | reported on stderr, with the name of the file |
//! | removing the child's PID file before a start | anything, 50 ms | the child is started; the process that the file names is refused, as it is no descendant |
//! | sending to syslog | no room | its thread waits for up to a second |
//! | | anything | announced once; lines are counted for a second, then it is tried again and gets the number |
//! | opening the log anew | anything | reported on stderr; the old file goes on |
//! | sending to the service manager | no room | tried again each second, with the newest news |
//! | | anything else | the news is dropped |
//! | storing a descriptor with the service manager, removing one | interrupted | again |
//! | | no room, no memory, too many descriptors are on their way | queued, and tried again each 20 ms; at the end for 2 s, then the next server has it removed |
//! | | anything else | the descriptor does not outlive a crash |
//! | upgrade: memfd, fork, exec of the new program | anything | reported in the log and on stderr; this server goes on |
//! | the check run of the new program | wrong or no answer, death, 5 s | the same; the program is killed with its process group |
//! | waiting for the log, events and status, PID files, the service manager's store before the exec | 5 s | the same, `log is hung`, `events are hung`, `PID file is hung`, `service manager is hung` |
//! | stat of the new program before the exec | it is not the file that had the check run, or has changed since | another check run, up to five in all |
//! | | anything | reported in the log and on stderr; this server goes on |
//! | the exec itself | a signal has come meanwhile | handled first, then tried again |
//! | | a descriptor cannot be executed: a script, an older system | executed by its path |
//! | | anything | as above |
//! | the limits of descriptors, memory and processes before the exec | they are not those of the check run | the same |
//! | after the exec, up to the first turn: every call that the new program cannot do without (epoll_create, eventfd, socketpair, socket, registering what is polled, reading the state, looking at what is taken over) | no descriptor, no memory, no room | reported once on stderr; tried again each 100 ms for as long as it takes, while child, clients and PTY wait |
//! | after the exec: memory for less than 256 KiB | none | tried again each 100 ms |
//! | after the exec: a second stack for signal handlers | none | not asked for |
//! | after the exec: a signal | it comes before there is a handler | stays pending until there is one |
//! | after the exec: the modes of a client's terminal | anything else | the client is gone |
//! | after the exec: starting a writing thread | anything | reported once on stderr; this server goes on, and it is tried again each 100 ms; meanwhile the log is treated like one that hangs |
//! | after the exec: the dynamic linker, before the program itself runs; the kernel's own mappings | no descriptor, no memory | fatal, and nothing can be tried again. It had what it needs in the check run, under the same limits; a descriptor is kept free for it, and the exec gives back the memory of the program before. A static build has no dynamic linker |
//! | after the exec | the state or a descriptor in it is not what was handed over | fatal: reported on stderr, exits with the errno |
//! | memory for the stream that outlives the server | none | the stream is in the memory of the process, or a part of it is not noted: after a crash, output may be missing |
//! | saving the state for after a crash | anything | reported once on stderr; tried again, not within a second |
//! | memory for the last bytes of the console | none | announced once; fewer bytes are kept, and it is tried again as output comes |
//! | stderr | anything | ignored: there is nobody to report it to |
//! | | no room | not waited for: the line is dropped |

pub mod api;
mod event_loop;
pub mod health;
mod memory;
mod os;
mod records;
mod service_manager;
#[cfg(test)]
mod sim;
pub mod startup;
mod writers;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;

use self::api::ApiSession;
use self::event_loop::Tokens;
use self::event_loop::child::Child;
use self::event_loop::listener::Listener;
use self::event_loop::peer::Peer;
use self::event_loop::upgrade::Handover;
use self::os::System;
use self::os::child_socket::ChildSocket;
use self::os::fdstore::FdStore;
use self::records::{Records, RecordsJob, RecordsReply};
use self::service_manager::ServiceReporter;
use self::writers::sink::SinkWriter;
use self::writers::{LogJob, LogReply};
use crate::config::network::AllowedNetworks;
use crate::console::Console;
use crate::console::clock::Monotonic;
use crate::console::event::ClientId;
use crate::handover::state::ServerIdentity;

/// Everything that runs.
struct Server<S: System> {
    system: S,
    console: Console,
    child: Option<Child<S::Process>>,
    /// The child that is being replaced, under `--overlap`, until it has ended.
    old_child: Option<Child<S::Process>>,
    /// The sockets that every child is given (`--listen`).
    child_sockets: Vec<ChildSocket>,
    listeners: Vec<Listener<S::Socket>>,
    peers: BTreeMap<ClientId, Peer<S::Connection>>,
    /// What the clients of `--api` among them sent and are to be sent.
    api: BTreeMap<ClientId, ApiSession>,
    log: Option<SinkWriter<S::Handle<LogJob, LogReply>>>,
    /// The file that `log` is opened by, if it has a name.
    log_path: Option<PathBuf>,
    /// Standard output under `-d`: diagnostics, and without `-f` the console.
    stdout: Option<SinkWriter<S::Handle<LogJob, LogReply>>>,
    /// With `--syslog`.
    syslog: Option<SinkWriter<S::Handle<LogJob, LogReply>>>,
    /// With `--events` or `--status-file`.
    records: Option<Records<S::Handle<RecordsJob, RecordsReply>>>,
    /// With `--notify`.
    service: Option<ServiceReporter>,
    /// The way to the service manager, with `--notify`.
    notifier: Option<Rc<S::Notifier>>,
    /// What outlives a crash, with `--fdstore`.
    store: Option<FdStore<S::Notifier>>,
    tokens: Tokens,
    /// The space for everything that is read.
    buffer: Box<[u8]>,
    /// The exit status, once the server is to end.
    exit: Option<u8>,
    identity: ServerIdentity,
    handover: Handover<S::Process>,
    /// When reads and writes are made again for which the system had no memory.
    io_retry: Option<Monotonic>,
    /// `--announce`.
    announces: bool,
    /// `--allow-from`.
    allowed_networks: Option<AllowedNetworks>,
}
