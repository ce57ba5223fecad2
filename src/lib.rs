//! A console server: one child process on a PTY, its console shared with many clients.
//!
//! # Layers
//!
//! | module | what it is | knows |
//! |---|---|---|
//! | [`manage`] | `manage-procs`: configured instances, their units, what of them lives, their consoles | [`cli`] and what it makes, `reply_filter`, `telnet`, `sys` |
//! | [`server`] | owns every descriptor and does what the console decided, on one edge-triggered poll | `handover`, `console`, `systemd`, [`cli`] and what it makes, `sys` |
//! | [`handover`] | all that a server is, as bytes that another version of it can read | `console`, `sys` |
//! | [`console`] | the console: a state machine that decides everything and does nothing | `telnet`, plain data |
//! | [`systemd`] | what a service manager passes to the server and is told by it | [`config`], `sys` |
//! | [`cli`] | the definition of the options: what was typed, made into a [`config`] | [`config`] |
//! | [`telnet`] | the codec: bytes in, data and answers out | nothing |
//! | [`reply_filter`] | what a console says to a terminal: what that would answer, and the modes it is left in | nothing |
//! | [`sys`] | the operating system where safe wrappers end; all `unsafe` | nothing of consoles |
//!
//! Arrows point down only. The console has no descriptor, no clock and no environment: time comes in
//! with each call, as plain numbers, so the same code runs under a simulation. The server's loop
//! meets the operating system behind a trait, and a simulation stands behind the same trait.
//! [`limits`] has every size, timeout and budget with its reason.
//!
//! *The contract*, with its sections, is `docs/procserv.md`: what procServ does, and this program too.
//!
//! # The console stream
//!
//! Everybody sees the same sequence of bytes: what the child writes, and what the server says. So
//! there is one ring of them, at absolute offsets, and every reader (client, log, terminal,
//! standard output) is a cursor in it and an encoding. A reader that lags costs nobody anything;
//! one that the ring passes is told how much it missed. With `--history` the ring is larger by as much,
//! and the cursor of a new client begins so far behind.
//!
//! # The life of a byte
//!
//! From the child: the PTY's master becomes readable, the server reads at most a budget, the
//! console appends it to the stream, and the server writes to every reader that takes it, straight from the
//! ring where the encoding changes nothing. The log's chunks are laid in a bounded place that its thread
//! takes them from, to write and sync, and the loop never waits for it. Syslog is one more reader with a thread of its
//! own. The console collects what happened as audit events; the server makes the lines of the events
//! file and the status file of them, and a third thread writes these.
//!
//! From a client: the telnet decoder takes out what is telnet's, commands are run,
//! and what is neither command nor ignored waits in a bounded queue until the PTY takes it. A client
//! whose share of the queue is full is not read, so that the pressure reaches whoever types.
//!
//! # Children come and go
//!
//! Sockets for the child are opened once and passed to each ([`config::listen`]). A child can be replaced by
//! one that is started beside it: for as long as there are two, the console interleaves their output
//! line by line, and the server holds the old one in a place of its own.
//!
//! # Servers come and go
//!
//! At an upgrade in place the server writes down all that it is ([`handover`]), executes the program
//! that is installed now, and that one goes on, in the same process and with the same descriptors.
//! After a crash there is nobody to do that: under `--fdstore` the descriptors and a crash snapshot of
//! the state are with the service manager all the time, and the next server takes them from there.

pub mod cli;
pub mod config;
pub mod console;
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
