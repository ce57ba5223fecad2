//! Every size, timeout and budget, each with its reason.

use std::time::Duration;

/// The console stream holds at most this much for readers that lag, and on top of it what
/// `--history` wants. More would only delay the moment a reader is told that it is too slow; less
/// would skip output over a short pause.
pub const STREAM_BUFFER_MAX: usize = 1 << 20;

/// A stream that grows beyond [`STREAM_BUFFER_MAX`] leaves at least this much memory to the rest of
/// the server, which cannot go on without.
pub const STREAM_HEADROOM: usize = 4 << 20;

/// The largest `--history`: what a person can still look through, and a server can still hand over.
pub const HISTORY_OPTION_MAX: usize = 64 << 20;

/// Arrival times are kept for one second in so many bytes of the stream, so that they take no more
/// memory than the stream does. A console that says less in each second, for months, has older
/// lines stamped with the time of one shortly before them.
pub const TIMESTAMP_MIN_SPACING: usize = 32;

/// What the stream holds while everybody keeps up: a page.
pub const STREAM_BUFFER_MIN: usize = 4096;

/// A reader's staging area is refilled up to this size: large enough that a system call is
/// worth its cost, small enough that thousands of stuck readers are affordable.
pub const STAGE_MAX: usize = 32 << 10;

/// Bytes from clients held for a child that does not read. A pasted megabyte fits, so that
/// commands behind it still act.
pub const INPUT_MAX: usize = 1 << 20;

/// Each client may have this much queued even while others fill the queue, so that a typist is
/// heard, commands included, next to a paste that a deaf child does not take.
pub const INPUT_RESERVE: usize = 4 << 10;

/// Bytes read with one call: a PTY never gives more, and an idle server keeps this much.
pub const READ_SIZE: usize = 4096;

/// PTY bytes read in one turn. A turn is the latency of everything else.
pub const PTY_BUDGET: usize = 64 << 10;

/// Bytes read from one client in one turn.
pub const CLIENT_BUDGET: usize = 16 << 10;

/// Bytes thrown away of a client whose connection is closed: all that a Unix socket holds, so that
/// it sees an end and no reset. One that goes on sending is not waited for.
pub const DRAIN_MAX: usize = 1 << 20;

/// Connections accepted from one listener in one turn.
pub const ACCEPT_BUDGET: usize = 16;

/// Connections that wait to be accepted: what the standard library has for its listeners.
pub const BACKLOG: i32 = 128;

/// How long a listener pauses when the system has no descriptor left.
pub const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// Descriptors that are never given to clients: the log, the child's PTY and the rest need some.
pub const RESERVED_FDS: u64 = 16;

/// Output of a dead child that is read before its death is announced, when something that it
/// left behind goes on writing.
pub const POST_EXIT_OUTPUT_MAX: usize = 1 << 20;

/// A read or a write for which the system had no memory is made again after so long.
pub const IO_RETRY: Duration = Duration::from_millis(10);

/// So often reading the last output of a dead child may be refused, some seconds in all, before its
/// death is announced without it.
pub const POST_EXIT_REFUSALS_MAX: u32 = 500;

/// How long the server waits, at SIGTERM or before it starts another one, for a child that got
/// SIGKILL. A process in an uninterruptible sleep must not keep the server.
pub const KILL_WAIT: Duration = Duration::from_secs(1);

/// How long the parent of a dead child that is not ours may take to reap it: only then is its status
/// known. The loop stands still meanwhile; an init does it at once.
pub const REAP_WAIT: Duration = Duration::from_millis(100);

/// The unit in which the kernel tells when a process was started, 1/`USER_HZ`; on some machines it is
/// shorter.
pub const KERNEL_TICK: Duration = Duration::from_millis(10);

/// What a child left behind is looked for again after so long, then after twice that, and so on.
pub const ORPHAN_SCAN_INTERVAL: Duration = Duration::from_millis(5);

/// But no longer than that: it is looked for in all of the system's processes.
pub const ORPHAN_SCAN_INTERVAL_MAX: Duration = Duration::from_millis(200);

/// What survives SIGKILL so long, in an uninterruptible sleep, does not keep the next child waiting.
pub const ORPHAN_WAIT: Duration = Duration::from_secs(5);

/// How long a program that makes itself a daemon may take to tell its PID.
pub const DAEMON_WAIT: Duration = Duration::from_secs(10);

/// Meanwhile it is looked for this often.
pub const DAEMON_SCAN_INTERVAL: Duration = Duration::from_millis(50);

/// So much of a PID file is read.
pub const PID_MAX: u64 = 64;

/// A child that ends at once is followed by the next no sooner than this after its start, whatever
/// the holdoff time: procServ's pace, at which neither the processor nor the log suffers.
pub const RESTART_INTERVAL_MIN: Duration = Duration::from_millis(500);

/// A start for which the system had no process or terminal to give is tried again at most this
/// often, whatever the holdoff time.
pub const START_RETRY: Duration = Duration::from_secs(1);

/// At exit: how long clients that still have output pending may take to accept it.
pub const CLIENT_LINGER: Duration = Duration::from_millis(250);

/// At exit: how long the log may take for what is left.
pub const LOG_LINGER: Duration = Duration::from_secs(2);

/// Data is synced to the disk at most this often, and at the latest this long after a write.
pub const SYNC_INTERVAL: Duration = Duration::from_millis(500);

/// A log that failed is tried again this often.
pub const LOG_RETRY: Duration = Duration::from_secs(1);

/// A log that made no progress for this long no longer pauses the child.
pub const LOG_STALL_TIMEOUT: Duration = Duration::from_secs(5);

/// System calls for one writer in one turn: one that takes everything in small bites must not keep
/// the others waiting.
pub const WRITES_PER_TURN: usize = 8;

/// A client that is about to be passed pauses the child so long: on a busy machine it may only wait
/// for its turn, and while the server pauses it gets it.
pub const CLIENT_WAIT: Duration = Duration::from_millis(20);

/// So much it has to take in that time to be waited for once more: 3 MB/s. Slower ones are told what
/// they miss.
pub const CLIENT_WAIT_MIN_BYTES: usize = 64 << 10;

/// More than a socket's buffers take when nobody reads at its other end.
pub const PROVEN_READER_BYTES: u64 = 512 << 10;

/// A client that took less than that so far may be one that never reads. If it is the only one that
/// lags, the machine is not too busy for it, and it is waited for only so long.
pub const NEW_CLIENT_WAIT: Duration = Duration::from_millis(4);

/// Buffers on their way to the log writer. Two keep it busy while the loop fills a third.
pub const LOG_JOBS: usize = 3;

/// Other jobs that may wait for the log writer: reopenings, of which a later one is worth as much as
/// an earlier one, and diagnostic lines.
pub const LOG_OTHERS: usize = 16;

/// Bytes of one buffer for the log writer.
pub const LOG_JOB_MAX: usize = 64 << 10;

/// Older files that `--log-rotate` and `--events-rotate` keep unless told otherwise, and at most: each of
/// them is renamed.
pub const LOG_KEEP: u32 = 5;
/// See [`LOG_KEEP`].
pub const LOG_KEEP_MAX: u32 = 1000;

/// A line for syslog is cut into pieces of this size: with its header a message that rsyslog, which
/// cuts the rest off, and others take whole.
pub const SYSLOG_LINE_MAX: usize = 7 << 10;

/// How long syslog may have no room before a line is given up: it may only be busy. Nobody waits
/// for it, and an upgrade waits longer.
pub const SYSLOG_SEND_TIMEOUT: Duration = Duration::from_secs(1);

/// A syslog that refused nothing for so long works again: it is not to be said again and again.
pub const SYSLOG_RECOVERY: Duration = Duration::from_secs(10);

/// Events that wait for a file that can't be written, in bytes: some thousands.
pub const EVENTS_MAX: usize = 1 << 20;

/// The status file is replaced at most this often.
pub const STATUS_INTERVAL: Duration = Duration::from_millis(200);

/// How long an upgrade waits for the new program's answer, and then for the log.
pub const HANDOVER_TIMEOUT: Duration = Duration::from_secs(5);

/// A server that has taken another one's place tries so often to get what the kernel has refused it.
pub const SHORTAGE_RETRY: Duration = Duration::from_millis(100);

/// An upgrade tries so many programs, if each is replaced by another one before it is executed.
pub const UPGRADE_CHECKS: usize = 5;

/// An answer is shorter, as is what a program says that refuses.
pub const ANSWER_MAX: usize = 4096;

/// Letters of the child's name that the service manager is shown: it takes no message over 4 KiB.
pub const STATUS_NAME_MAX: usize = 200;

/// A message that the service manager has no room for is tried again this often.
pub const NOTIFY_RETRY: Duration = Duration::from_secs(1);

/// A watchdog is fed at most this often: no service manager asks for more, and a typing error in a
/// unit must not make the server spin.
pub const WATCHDOG_MIN: Duration = Duration::from_millis(1);

/// Half of the memory that outlives a crash. It takes only what is written to it.
pub const FDSTORE_SLOT_SIZE: usize = 64 << 20;

/// What the service manager is to keep, and has no room for, is offered again this often.
pub const FDSTORE_RETRY: Duration = Duration::from_millis(20);

/// The exit status of a child of which nobody can tell it.
pub const UNKNOWN_EXIT_CODE: u8 = 255;

/// With two children beside each other: so long a line of one is waited for while the other has
/// something to say. A line that a program writes in pieces is whole by then, and nobody at a
/// keyboard takes it for a pause.
pub const LINE_TIMEOUT: Duration = Duration::from_millis(200);

/// What is held of a child meanwhile, about; then it is not read.
pub const LINES_HELD_MAX: usize = 64 << 10;

/// What a child has of its `--grace-period` when another takes its place and the option is not given,
/// in seconds: time to finish what it has begun.
pub const OVERLAP_GRACE: u32 = 10;

/// Messages that are taken in one turn from a child that tells its service manager something.
pub const NOTIFICATIONS_PER_TURN: usize = 16;

/// A terminal's sequence that is longer is data, such as a picture, and no question: it is not held
/// back any longer.
pub const SEQUENCE_MAX: usize = 4096;
