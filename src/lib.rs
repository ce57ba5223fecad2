//! procServ, written anew: runs one child process on a PTY and shares its console with many clients.
//!
//! This crate is two programs. It is a library only so that tests, benchmarks and fuzz targets can use
//! its parts: no stable API.
//!
//! *The contract*, with its sections, is `docs/procserv.md`: what procServ does, and this program too.
//!
//! # Layers
//!
//! | folder | what it is | what it imports |
//! |---|---|---|
//! | [`manage`] | `manage-procs`: the configured instances, their units, the running servers | `reply_filter`, [`telnet`], [`cli`], [`config`], [`sys`] |
//! | [`server`] | the event loop, which owns every descriptor and does what the console decides; start-up, writers, records | [`handover`], [`console`], `systemd`, [`cli`], [`config`], [`sys`] |
//! | [`handover`] | the state of a server, as bytes that other versions of the program can read | [`console`], [`sys`] |
//! | [`console`] | the state machine that decides everything and does no I/O | [`telnet`], [`config`], one type of [`sys`] |
//! | `systemd` | the protocols of a service manager: passed sockets, notifications | [`config`], [`sys`] |
//! | [`cli`] | the options of `procServ`: makes a [`config::Config`] of argv | [`config`] |
//! | [`config`] | what a command line means, as values | nothing |
//! | [`telnet`] | the telnet codec: bytes in, data and answers out | nothing |
//! | `reply_filter` | takes the queries out of what a terminal is sent, and tells which modes it is left in | nothing |
//! | [`sys`] | the operating system, where nix and the standard library have no safe wrapper; all `unsafe` | nothing |
//!
//! Imports go in one direction only, which `tests/layers.rs` checks folder by folder. [`limits`], which
//! all may import, has every size, timeout and budget with its reason.
//!
//! The console has no descriptor, no clock and no environment: events and the time come in with calls,
//! and effects go out. So a simulation can run the same code, with many seeds. The event loop meets the
//! operating system through the traits of `server::os`, and a second simulation implements these.
//!
//! # The console stream
//!
//! Every client sees the same sequence of bytes: the output of the child, and the server's messages.
//! There is one ring buffer of it, with absolute offsets, and every reader (client, log, standard
//! output, syslog) is a cursor and an encoding. A reader that lags delays no other; a reader that the
//! ring overruns is told how many bytes it missed. `--history` makes the ring larger, and the cursor of
//! a new client begins so far back.
//!
//! # From the child to the readers
//!
//! The master of the PTY becomes readable. The server reads from it, within a budget for each turn of
//! the loop, and the console appends the bytes to the stream. The server then writes them to every
//! reader that takes them, directly from the ring if the encoding changes nothing. The log goes as
//! chunks through a queue of limited size to a thread, which writes and syncs it: the loop never waits
//! for a disk. Syslog is a reader with a thread of its own. The console also collects audit events, of
//! which the server makes the events file and the status file; a third thread writes these.
//!
//! # From a client to the child
//!
//! The decoder takes the telnet commands out of the input, and command characters are acted on. Input
//! that is neither a command nor ignored waits in a queue of limited size until the PTY takes it. A
//! client whose share of the queue is full is not read from, so that its connection fills up and the
//! sender has to wait.
//!
//! # Replacing the child
//!
//! Sockets for the child are opened once and passed to each child ([`config::listen`]). Under `--overlap`
//! a new child is started beside the old one. While both run, the console interleaves their output line
//! by line.
//!
//! # Replacing the server
//!
//! At an upgrade in place the server writes its state down ([`handover`]) and executes the program that
//! is installed now, which goes on from the state, in the same process and with the same descriptors.
//! After a crash nobody can do that. Under `--fdstore` the service manager therefore has the descriptors
//! and a snapshot of the state all the time, and the next server takes them from there.

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
