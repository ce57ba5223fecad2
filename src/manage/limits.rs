//! Every size and timeout of manage-procs, each with its reason.

use std::time::Duration;

/// A file that anybody may have put there is read up to this size: far more than a thousand instances
/// need.
pub(crate) const FILE_MAX: u64 = 4 << 20;

/// How deep a value of a configuration file may refer to others that refer to others: Python's limit.
pub(crate) const REFERENCES_MAX: usize = 10;

/// How long such a value may become, and how much may be looked at for it. Ten references to ten
/// references and so on are more than there is memory for.
pub(crate) const EXPANSION_MAX: usize = 4 << 20;

/// Columns of a table are as wide as paths are; one that is longer puts only its own row out of line.
pub(crate) const COLUMN_MAX: usize = 120;

/// How long a host may take to answer: a person waits.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes that wait for the terminal or for the server before the other side is no longer read.
pub(crate) const ATTACH_QUEUE_MAX: usize = 64 << 10;

/// What a person has typed and pasted may wait in this size: the detach key is behind it.
pub(crate) const TYPED_MAX: usize = 64 << 20;

/// Bytes read at once, and written at once to what may block: a pipe that takes anything takes this.
pub(crate) const ATTACH_CHUNK: usize = 4096;

/// How long the terminal may take for what puts its modes back.
pub(crate) const FINAL_OUTPUT_TIMEOUT: Duration = Duration::from_millis(300);

/// After the detach key: what was typed before it is given up when the server took nothing of it for
/// so long.
pub(crate) const UNSENT_TIMEOUT: Duration = Duration::from_secs(1);

/// A console that has been quiet for so long has shown what it had to replay.
pub(crate) const REPLAY_QUIET: Duration = Duration::from_millis(200);

/// One that is never quiet has done so by then.
pub(crate) const REPLAY_TIMEOUT: Duration = Duration::from_secs(5);
