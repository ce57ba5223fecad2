//! A console server: it runs one child process on a PTY and shares the child's console with many
//! clients. The crate is an application: it has no stable API. What is `pub` is so for the tests and
//! the fuzz targets.
//!
//! # Layers
//!
//! | module | what it owns | what it may use |
//! |---|---|---|
//! | [`manage`] | `manage-procs`: the configured instances, their units, what of them runs, their consoles | [`cli`], `config`, `event_text`, `reply_filter`, `telnet`, `sys` |
//! | [`server`] | every descriptor; it does what the console decided, on one edge-triggered poll | `handover`, `console`, `systemd`, [`cli`], `config`, `event_text`, `sys` |
//! | [`handover`] | the complete state of a server, as bytes that another version can read | `console`, `config`, `sys` |
//! | [`console`] | the console: a state machine that decides everything and does nothing | `telnet`, [`reply_filter`], `config`, the exit status of `sys` |
//! | [`systemd`] | the protocols of the service manager: socket activation, sd_notify, the descriptor store | `config`, `sys` |
//! | [`cli`] | the options: parsing them, help, what they mean together | `config` |
//! | [`config`] | what a command line means, as validated values | nothing |
//! | `event_text` | an event as a sentence | nothing |
//! | [`telnet`] | the telnet codec: bytes in, data and answers out | nothing |
//! | [`reply_filter`] | the escape sequences: those that a terminal would answer, the modes that they leave it in, text without them | nothing |
//! | [`sys`] | the operating system where no safe wrapper exists; all `unsafe` | nothing |
//! | [`limits`] | every size, timeout and budget, with its reason | nothing |
//!
//! A module uses only modules further down; `tests/layers.rs` checks that for each folder. The
//! console has no descriptor, no clock and no environment: the time is an argument of each call, as a
//! plain number, so that the same code runs in a simulation. The server's event loop meets the
//! operating system behind traits, and another simulation implements these.
//!
//! *The contract*, with its sections, is `docs/procserv.md`: what procServ does and this program does
//! too.
//!
//! # The console stream
//!
//! All clients see the same sequence of bytes: the output of the child and the messages of the
//! server. One ring buffer holds it, at absolute offsets, and every reader (client, log, terminal,
//! standard output) is a cursor into the ring and an encoding. A slow reader costs the others
//! nothing; when the ring overwrites bytes that it has not read, it is told how many. With
//! `--history` the ring is larger by that size, and the cursor of a new client starts that far back.
//!
//! # The path of a byte
//!
//! From the child: the PTY's master becomes readable, the server reads at most a budget, the console
//! appends the bytes to the stream, and the server writes them to every reader that has room,
//! straight from the ring where the encoding changes nothing. Chunks for the log go into a bounded
//! queue. The log's thread takes them from there, writes and syncs; the event loop never waits for
//! it. Syslog is one more reader with a thread of its own. The console also queues audit events: the
//! server turns them into the lines of the events file and into the status file, which a third
//! thread writes.
//!
//! From a client: the telnet decoder removes telnet's own bytes, command characters are executed, and
//! all that is neither a command nor ignored waits in a bounded queue until the PTY takes it. A client
//! that has filled its share of the queue is not read, so that its own writes block.
//!
//! # Restarts of the child
//!
//! Listening sockets for the child are opened once and passed to each child ([`config::listen`]). A
//! child can also be replaced by one that is started beside it (`--overlap`). While both run, the
//! console interleaves their output line by line, and the server keeps the old child in a field of
//! its own.
//!
//! # Restarts of the server
//!
//! For an upgrade in place the server encodes its complete state ([`handover`]) and executes the
//! program that is installed now. That program continues in the same process with the same
//! descriptors. After a crash nobody can do that. Under `--fdstore` the service manager therefore
//! always holds the descriptors, and a file in memory with the console and a snapshot of the rest. The
//! server writes there in such an order that the next one finds a whole state, at whichever
//! instruction this one dies.

pub mod cli;
pub mod config;
pub mod console;
pub(crate) mod event_text;
pub mod handover;
pub mod limits;
pub mod manage;
pub(crate) mod reply_filter;
pub mod server;
#[cfg(test)]
mod sim_support;
pub mod sys;
pub(crate) mod systemd;
pub mod telnet;

/// What `-V` prints and the greeting shows, without a line end (contract section 3).
pub const VERSION: &str =
    concat!("procServ Process Server 2.9.0 (procserv-ng ", env!("CARGO_PKG_VERSION"), ")");
