//! Every size and timeout of manage-procs, each with its reason.

use std::time::Duration;

/// Files of this size, in bytes, and larger ones are not read: a thousand instances need far less.
pub(crate) const FILE_MAX: u64 = 4 << 20;

/// What systemd waits for the end of a server beyond the times that its child has: for processes that
/// SIGKILL does not end, and for logs that are not written yet.
pub(crate) const STOP_MARGIN: Duration = Duration::from_secs(30);

/// How deep references in a value of a configuration file may be nested: Python's limit.
pub(crate) const REFERENCES_MAX: usize = 10;

/// How many bytes are looked at for one such value: with ten references to ten references and so
/// on, it would need more memory than there is.
pub(crate) const EXPANSION_MAX: usize = 4 << 20;

/// The greatest width of a column, enough for paths. A longer cell shifts only the rest of its row.
pub(crate) const COLUMN_MAX: usize = 120;

/// How long a host may take to accept a connection, as a user is waiting.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// After so long the user is told that a server does not accept a connection.
pub(crate) const CONNECT_QUIET: Duration = Duration::from_millis(300);

/// Bytes that wait for the terminal or for the server. The other side is not read while there are
/// more.
pub(crate) const ATTACH_QUEUE_MAX: usize = 64 << 10;

/// Standard input has ended and has been sent: a console without telnet that says nothing for so long
/// has answered.
pub(crate) const ANSWER_QUIET: Duration = Duration::from_secs(2);

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

/// The time between two attempts to connect to a server that has ended.
pub(crate) const RECONNECT_PAUSE: Duration = Duration::from_millis(300);

/// How long a server may take to end after it has closed a console. One that runs then goes on.
pub(crate) const SERVER_END: Duration = Duration::from_millis(500);

/// The time between two looks at such a server.
pub(crate) const SERVER_END_LOOK: Duration = Duration::from_millis(20);

/// How long `send` prints what comes, unless told otherwise.
pub(crate) const SEND_WAIT: Duration = Duration::from_secs(1);

/// How long `send` waits for a text, unless told otherwise.
pub(crate) const SEND_UNTIL: Duration = Duration::from_secs(10);

/// How long a command that changes a file waits for another command that does.
pub(crate) const EDIT_LOCK_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a file or a process that belongs to a server or an instance may take to answer. A user is
/// waiting, and a disk that answers at all does so in less.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a server may take to accept a program's connection, to take a request or to answer it, in
/// whole seconds. Its loop never waits for anything.
pub(crate) const API_TIMEOUT: Duration = Duration::from_secs(5);

/// An answer of the interface for programs that is longer than this, in bytes, is none: the status has
/// a few thousand, and some hundred for each client.
pub(crate) const API_ANSWER_MAX: u64 = 4 << 20;

/// The number of units that systemctl is asked for in one call.
pub(crate) const SHOWN_AT_ONCE: usize = 100;

/// How long systemctl may take to tell the state of so many units: far less than a second, and more
/// while systemd reloads.
pub(crate) const SYSTEMCTL_TIMEOUT: Duration = Duration::from_secs(5);

/// How far back the journal is asked for what it has dropped: as far as restarts are counted.
pub(crate) const JOURNAL_SINCE: Duration = Duration::from_secs(24 * 3600);

/// How many entries of the journal are read for that. An instance that writes too much has one each 30
/// seconds.
pub(crate) const JOURNAL_ENTRIES: usize = 10_000;

/// How long journalctl may take to find them: an index leads there. More is not known then.
pub(crate) const JOURNAL_TIMEOUT: Duration = Duration::from_secs(2);

/// How long after its start a unit is looked at. systemd calls a unit started when there is a
/// process, which may fail to become the user or to execute the server.
pub(crate) const START_SETTLE: Duration = Duration::from_millis(200);

/// A child whose predecessors have lived for less than this, in seconds, is in a crash loop.
pub(crate) const CRASH_LOOP_LIFE: u64 = 60;

/// The width of a terminal for which tables are made.
pub(crate) const LINE_MAX: usize = 80;

/// A server that is younger may not have written its status file yet.
pub(crate) const STATUS_FILE_LATE: Duration = Duration::from_secs(1);

/// A disk with less room than this, in bytes, is full.
pub(crate) const ROOM_MIN: u64 = 1 << 20;

/// Threads that look at files and processes, as long as all of these answer.
pub(crate) const WORKERS_MIN: usize = 4;

/// After so long a time without a result, more threads are started.
pub(crate) const WORKER_PATIENCE: Duration = Duration::from_millis(20);

/// The stack of such a thread, in bytes. The parser of command lines needs most of it.
pub(crate) const WORKER_STACK: usize = 1 << 20;

/// How many characters of a message are shown. A path has up to 4095.
pub(crate) const MESSAGE_MAX: usize = 1000;

/// How many characters the value of a label of `metrics` has. A name of an instance has fewer.
pub(crate) const LABEL_MAX: usize = 200;

/// How many bytes of one file are read at a time from its end. What is read is also parsed.
pub(crate) const TAIL_CHUNK: usize = 16 << 10;

/// How many bytes of the files of all instances together are kept in memory, from the end of each.
pub(crate) const TAILS_MAX: usize = 128 << 20;

/// How many bytes of the files of one instance are kept at least, however many instances there are.
pub(crate) const TAIL_MIN: usize = 256 << 10;

/// How many bytes of a log file are searched at a time.
pub(crate) const LOG_CHUNK: usize = 64 << 10;

/// A line of a log file that is longer than this, in bytes, is cut: there may be no end to it.
pub(crate) const LOG_LINE_MAX: usize = 1 << 20;

/// How long the next bytes of a log file may take, which a program may have to decompress.
pub(crate) const LOG_SEARCH_TIMEOUT: Duration = Duration::from_secs(5);

/// How often files are looked at that a command follows.
pub(crate) const FOLLOW_INTERVAL: Duration = Duration::from_millis(250);

/// How many lines `-f` shows at first of what was there before, as `journalctl -f` does.
pub(crate) const FOLLOW_LINES: usize = 10;

/// How many lines `logs` shows if it is not told: a few screens.
pub(crate) const LOG_LINES: usize = 100;

/// How many lines of a child are shown before its end: what fits on a screen for three ends.
pub(crate) const LAST_LINES: usize = 10;

/// How many entries of the journal are read for these lines. The server itself says ten lines at each
/// end and start.
pub(crate) const LAST_LINES_JOURNAL: usize = 500;

/// How long coredumpctl may take to list the core dumps of one unit.
pub(crate) const COREDUMPCTL_TIMEOUT: Duration = Duration::from_secs(2);

/// How much later than the end of its process a core dump may be recorded: systemd-coredump records the
/// time at which it was called, in whole seconds.
pub(crate) const CORE_LATE: Duration = Duration::from_secs(2);

/// How many ends `why` shows: as many as a status file keeps.
pub(crate) const ENDS_SHOWN: usize = 3;

/// An end that is older than this is no reason to do anything about an instance that runs, and no news
/// to `doctor`.
pub(crate) const RECENT_END: Duration = Duration::from_secs(24 * 3600);

/// How often a live view looks at the times of files, and shows how long a child has been running.
pub(crate) const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// The least time between two looks of `watch`. A server writes its status file as often.
pub(crate) const CHANGE_PAUSE: Duration = Duration::from_millis(200);

/// The least time between two looks of a live view at everything, for which systemd is asked.
pub(crate) const LOOK_INTERVAL_MIN: Duration = Duration::from_secs(3);

/// The time between two such looks if no file has changed. It finds processes that are stopped, and
/// files of the configuration that were changed in place.
pub(crate) const LOOK_INTERVAL_MAX: Duration = Duration::from_secs(20);

/// The same if a disk did not answer. Each look leaves behind the threads that wait for that disk.
pub(crate) const LOOK_INTERVAL_HUNG: Duration = Duration::from_secs(60);

/// How often a live view reads the journal if all servers run on: that may take a second.
pub(crate) const JOURNAL_INTERVAL: Duration = Duration::from_secs(60);

/// How far the times of files may be behind the clock: the kernel takes them from its last tick.
pub(crate) const FILE_TIME_LAG: Duration = Duration::from_millis(50);

/// How long `top` waits for the first look before it shows an empty table: systemd may be slow.
pub(crate) const FIRST_LOOK_TIMEOUT: Duration = Duration::from_secs(2);

/// After so long without an answer the user of a live view is told that what is shown is old. systemd
/// may take as long.
pub(crate) const COLLECTOR_PATIENCE: Duration = Duration::from_secs(7);

/// Nobody has read the output of a command that has ended sooner than this.
pub(crate) const READING_TIME: Duration = Duration::from_secs(1);

/// How many bytes of the output of a command `top` shows.
pub(crate) const SHOWN_OUTPUT_MAX: u64 = 1 << 20;
