//! Every size and timeout of manage-procs, each with its reason.

use std::time::Duration;

/// Files of this size, in bytes, and larger ones are not read: a thousand instances need far less.
pub(crate) const FILE_MAX: u64 = 4 << 20;

/// How deep references in a value of a configuration file may be nested: Python's limit.
pub(crate) const REFERENCES_MAX: usize = 10;

/// How many bytes are looked at for one such value: with ten references to ten references and so
/// on, it would need more memory than there is.
pub(crate) const EXPANSION_MAX: usize = 4 << 20;

/// The greatest width of a column, enough for paths. A longer cell shifts only the rest of its row.
pub(crate) const COLUMN_MAX: usize = 120;

/// How long a host may take to accept a connection, as a user is waiting.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes that wait for the terminal or for the server. The other side is not read while there are
/// more.
pub(crate) const ATTACH_QUEUE_MAX: usize = 64 << 10;

/// Bytes that a user has typed or pasted and the server has not accepted. More are not read, and
/// then the detach key behind them has no effect.
pub(crate) const TYPED_MAX: usize = 64 << 20;

/// Bytes that are read, or written, with one system call. A pipe that is ready for writing accepts
/// as many without blocking (`PIPE_BUF`).
pub(crate) const ATTACH_CHUNK: usize = 4096;

/// How long the terminal may take to accept the sequences that put its modes back.
pub(crate) const FINAL_OUTPUT_TIMEOUT: Duration = Duration::from_millis(300);

/// After the detach key: for how long the server may accept nothing of what was typed before.
pub(crate) const UNSENT_TIMEOUT: Duration = Duration::from_secs(1);

/// After so long a silence the console has replayed its history.
pub(crate) const REPLAY_QUIET: Duration = Duration::from_millis(200);

/// A console that is never silent has replayed its history by then.
pub(crate) const REPLAY_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a command that changes a file waits for another command that does.
pub(crate) const EDIT_LOCK_TIMEOUT: Duration = Duration::from_secs(5);
