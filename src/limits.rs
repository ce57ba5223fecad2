//! Every size, timeout and budget of the server, each with its reason. Those of `manage-procs` are
//! in `manage::limits`.

use std::time::Duration;

// The console stream and its readers.

/// The stream holds at most this many bytes for readers that lag, and `--history` on top of it.
/// With more, a reader would only be told later that it is too slow. With less, output would be
/// skipped after a short pause.
pub(crate) const STREAM_BUFFER_MAX: usize = 1 << 20;

/// The same while a client lags that reads. On a busy machine such a client may be out of its turn
/// for as long as a child takes to write this.
pub(crate) const STREAM_BUFFER_EXTENDED: usize = 8 << 20;

/// A stream that grows beyond [`STREAM_BUFFER_MAX`] leaves at least this many bytes of memory to the
/// rest of the server, which cannot go on without.
pub(crate) const STREAM_HEADROOM: usize = 4 << 20;

/// What the stream holds, in bytes, while no reader lags: a page.
pub(crate) const STREAM_BUFFER_MIN: usize = 4096;

/// The largest `--history`, in bytes: what a person can still look through, and a server can
/// still hand over.
pub(crate) const HISTORY_OPTION_MAX: usize = 64 << 20;

/// The time of arrival is kept for at most one time in so many bytes of the stream, so that
/// times take no more memory than the stream does. If a console writes less at a time, for
/// months, older lines are stamped with the time of a line shortly before them.
pub(crate) const TIMESTAMP_MIN_SPACING: usize = 32;

/// The staging area of a reader is refilled up to this size in bytes: large enough that a system
/// call is worth its cost, small enough that thousands of readers that do not read are
/// affordable.
pub(crate) const STAGE_MAX: usize = 32 << 10;

/// A client that has read within so long is waited for, however far it lags. On a busy machine it
/// may have to wait for its turn about that long.
pub(crate) const CLIENT_READS: Duration = Duration::from_millis(250);

/// How often the kernel is asked whether a client reads that does not lag.
pub(crate) const CLIENT_LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// How long a client that is about to be overrun, and of which nobody knows whether it reads,
/// pauses the child. On a busy machine the client may only be waiting for its turn, which it gets
/// while the server pauses.
pub(crate) const CLIENT_WAIT: Duration = Duration::from_millis(20);

/// A client that has taken so many bytes reads: the buffers of a socket take less when nobody
/// reads at its other end.
pub(crate) const PROVEN_READER_BYTES: u64 = 512 << 10;

/// How long a client that has taken less than [`PROVEN_READER_BYTES`] is waited for if no other
/// client lags: it may be one that never reads, and the machine is not too busy for it.
pub(crate) const NEW_CLIENT_WAIT: Duration = Duration::from_millis(4);

/// System calls for one writer in one turn of the loop: a writer that takes only a few bytes at a
/// time must not keep the others waiting.
pub(crate) const WRITES_PER_TURN: usize = 8;

/// While two children run, how long an unfinished line of one is waited for when the other has
/// output. By then a line that a program writes in pieces is whole, and nobody at a keyboard
/// notices the pause.
pub(crate) const LINE_TIMEOUT: Duration = Duration::from_millis(200);

/// About how many bytes of a child are held back meanwhile; with more, the child is not read.
pub(crate) const LINES_HELD_MAX: usize = 64 << 10;

// Input, and the turns of the event loop.

/// Bytes of a line that a client types that are recorded as one event. A longer line is recorded in
/// pieces.
pub(crate) const TYPED_MAX: usize = 4 << 10;

/// Bytes from clients that are held for a child that does not read. A pasted megabyte fits, so
/// that commands after it still act.
pub(crate) const INPUT_MAX: usize = 1 << 20;

/// Each client may have this many bytes queued even if others fill the queue, so that a person
/// who types is heard, commands included, beside a paste that the child does not read.
pub(crate) const INPUT_RESERVE: usize = 4 << 10;

/// So many commands of one client are obeyed one by one in [`COMMAND_INTERVAL`], more than a person
/// gives. Each of them is said to all readers and recorded: a client that sends commands without end
/// would fill the disk with megabytes a second.
pub(crate) const COMMANDS_MAX: u32 = 20;

/// See [`COMMANDS_MAX`]. A person who leans on a key sees within this time what came of it.
pub(crate) const COMMAND_INTERVAL: Duration = Duration::from_secs(1);

/// Bytes that are read with one call: a PTY never gives more, and a server that has nothing to do
/// keeps so much memory.
pub(crate) const READ_SIZE: usize = 4096;

/// How long after a read or a write for which the system had no memory it is tried again.
pub(crate) const IO_RETRY: Duration = Duration::from_millis(10);

/// Bytes that are read from a PTY in one turn. Everything else waits for the end of a turn.
pub(crate) const PTY_BUDGET: usize = 64 << 10;

/// Bytes that are read from one client in one turn.
pub(crate) const CLIENT_BUDGET: usize = 16 << 10;

/// The least time between two sizes of the child's window: ten a second. A program that draws a screen
/// does so for each.
pub(crate) const WINDOW_INTERVAL: Duration = Duration::from_millis(100);

/// Connections that are accepted from one listener in one turn.
pub(crate) const ACCEPT_BUDGET: usize = 16;

/// Bytes of a client that are discarded when its connection is closed, so that it sees an end and
/// no reset: a Unix socket holds no more. A client that goes on sending is not waited for.
pub(crate) const DRAIN_MAX: usize = 1 << 20;

/// Connections that may wait to be accepted: as many as for listeners of the standard library.
pub(crate) const BACKLOG: i32 = 128;

/// How long a server waits for another one that binds a socket file in the same directory, which may
/// be open to other users.
pub(crate) const SOCKET_LOCK_WAIT: Duration = Duration::from_secs(5);

/// How long a server waits for another one that writes or removes a PID file in the same directory.
/// That takes microseconds; a process that keeps the directory locked must not hold up a start or an
/// end for longer.
pub(crate) const FILE_LOCK_WAIT: Duration = Duration::from_secs(1);

/// How long a listener pauses if the system has no descriptor left.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// Descriptors that are never given to clients: the log, the PTY of the child and others need
/// some.
pub(crate) const RESERVED_FDS: u64 = 16;

/// With a low limit of open files, half of the descriptors beyond this number are reserved instead:
/// about as many a server has open itself.
pub(crate) const SERVER_FDS: u64 = 16;

/// But at least as many are reserved: both ends of the next PTY, a file of `/proc`, and a file that a
/// writing thread opens anew.
pub(crate) const RESERVED_FDS_MIN: u64 = 4;

/// Descriptors that every server has open besides its endpoints and files: epoll and its waker, two
/// for signals, the PTY of the child.
pub(crate) const OWN_FDS: u64 = 5;

/// At exit, how long clients may take to accept the output that is left for them.
pub(crate) const CLIENT_LINGER: Duration = Duration::from_millis(250);

// Children.

/// Bytes of a dead child that are read before its end is announced, if a process that it left
/// behind goes on writing.
pub(crate) const POST_EXIT_OUTPUT_MAX: usize = 1 << 20;

/// How many times reading the last output of a dead child may be refused, some seconds in all,
/// before its end is announced without that output.
pub(crate) const POST_EXIT_REFUSALS_MAX: u32 = 500;

/// How long the server waits for a child that got SIGKILL, at SIGTERM or before it starts another
/// one. A process in an uninterruptible sleep must not keep the server.
pub(crate) const KILL_WAIT: Duration = Duration::from_secs(1);

/// How long the parent of a dead child may take to reap it, if that is not this server: only then
/// the status is known. The loop waits meanwhile, but an init reaps at once.
pub(crate) const REAP_WAIT: Duration = Duration::from_millis(100);

/// The exit status of a child if nobody can tell it.
pub(crate) const UNKNOWN_EXIT_CODE: u8 = 255;

/// The least time from the start of a child that ends at once to the next start, whatever the
/// holdoff time: the pace of procServ, which strains neither the processor nor the log.
pub(crate) const RESTART_INTERVAL_MIN: Duration = Duration::from_millis(500);

/// Restarts of the last day are counted in slots of this length, so that a child that ends at once
/// for days takes little memory.
pub(crate) const RESTART_SLOT: Duration = Duration::from_secs(600);

/// The slots of a day.
pub(crate) const RESTART_SLOTS: usize = 144;

/// A start is tried again at most this often, whatever the holdoff time, if the system had no
/// process or terminal to give.
pub(crate) const START_RETRY: Duration = Duration::from_secs(1);

/// The longest unit in which the kernel tells when a process was started, 1/USER_HZ.
pub(crate) const KERNEL_TICK: Duration = Duration::from_millis(10);

/// How long after a signal to orphans the next scan for them is. The time doubles with each scan.
pub(crate) const ORPHAN_SCAN_INTERVAL: Duration = Duration::from_millis(5);

/// The longest time between two scans for orphans: each of them reads all processes of the
/// system.
pub(crate) const ORPHAN_SCAN_INTERVAL_MAX: Duration = Duration::from_millis(200);

/// How long orphans that survive SIGKILL, in an uninterruptible sleep, keep the next child from
/// being started.
pub(crate) const ORPHAN_WAIT: Duration = Duration::from_secs(5);

/// How long a program that makes itself a daemon may take to write its PID file.
pub(crate) const DAEMON_WAIT: Duration = Duration::from_secs(10);

/// How often that file is read meanwhile.
pub(crate) const DAEMON_SCAN_INTERVAL: Duration = Duration::from_millis(50);

/// How long the event loop waits for a PID file to be removed or read: far longer than a disk takes that
/// has not gone to sleep, and hardly noticed by anybody if it hangs.
pub(crate) const FILE_WAIT: Duration = Duration::from_millis(50);

/// At exit, how long the removal of PID file and info file may take.
pub(crate) const FILE_LINGER: Duration = Duration::from_secs(1);

/// Bytes that are read of a PID file.
pub(crate) const PID_MAX: u64 = 64;

/// The seconds that an old child has of `--grace-period` when a new one takes its place, if that
/// option is not given: time to finish what it has begun.
pub(crate) const OVERLAP_GRACE: u32 = 10;

/// The seconds of `--grace-period` that a child has after the text of `--stop-input`, if that option is
/// not given: time to finish what it has begun.
pub(crate) const STOP_INPUT_WAIT: u32 = 10;

/// Messages to a service manager that are read from one child in one turn.
pub(crate) const NOTIFICATIONS_PER_TURN: usize = 16;

// The interface for programs.

/// Bytes of one line that a program sends: more than a person pastes, and little memory.
pub const API_LINE_MAX: usize = 64 << 10;

/// A program with so many bytes of answers and events that it has not taken is not read, and misses
/// events: some hundred events, or ten times a status.
pub const API_OUTPUT_MAX: usize = 256 << 10;

/// Lines of one program that are executed in one turn of the loop: each may ask for a whole status.
pub(crate) const API_BUDGET: usize = 16;

/// Commands that one program may give in a second. Each has a line on the console and an event.
pub(crate) const API_COMMANDS_PER_SECOND: u32 = 20;

// Files and syslog.

/// Buffers on their way to the thread that writes the log. Two keep the thread busy while the
/// loop fills a third.
pub(crate) const LOG_JOBS: usize = 3;

/// Bytes in one of these buffers.
pub(crate) const LOG_JOB_MAX: usize = 64 << 10;

/// Other jobs that may wait for that thread: diagnostic lines, and requests to reopen the log, of
/// which a later one is worth as much as an earlier one.
pub(crate) const LOG_OTHERS: usize = 16;

/// The log is synced to the disk at most this often, and at the latest this long after a write.
pub(crate) const SYNC_INTERVAL: Duration = Duration::from_millis(500);

/// How often a log is tried again after a failure.
pub(crate) const LOG_RETRY: Duration = Duration::from_secs(1);

/// A log that has made no progress for so long no longer pauses the child.
pub(crate) const LOG_STALL_TIMEOUT: Duration = Duration::from_secs(5);

/// At exit, how long the log may take to write what is left.
pub(crate) const LOG_LINGER: Duration = Duration::from_secs(2);

/// A writer that is out of time at exit has so long to say how far it got.
pub(crate) const LOG_ABANDON: Duration = Duration::from_millis(250);

/// How many older files `--log-rotate` and `--events-rotate` keep unless they say so.
pub(crate) const LOG_KEEP: u32 = 5;

/// The most older files that these options may keep: each of them is renamed at each rotation.
pub(crate) const LOG_KEEP_MAX: u32 = 1000;

/// Lines for syslog are cut into pieces of so many bytes. With its header a piece is a message
/// that fits into 8 KiB, which rsyslog and others take whole.
pub(crate) const SYSLOG_LINE_MAX: usize = 7 << 10;

/// How long syslog, which may be busy, may have no room before a line is given up. Only the
/// thread of syslog waits, and an upgrade waits longer.
pub(crate) const SYSLOG_SEND_TIMEOUT: Duration = Duration::from_secs(1);

/// A syslog that has refused nothing for so long works again: a syslog that is often full must
/// not be reported again and again.
pub(crate) const SYSLOG_RECOVERY: Duration = Duration::from_secs(10);

/// Bytes of events that wait for a file that cannot be written: some thousands of events.
pub(crate) const EVENTS_MAX: usize = 1 << 20;

/// An event with more bytes is shortened for the journal: all fields of an entry together have to be a
/// datagram, which a socket takes up to about 200 kB of.
pub(crate) const JOURNAL_EVENT_MAX: usize = 32 << 10;

/// Bytes that a text of a shortened event has at most, and the name of the server in each entry.
pub(crate) const JOURNAL_TEXT_MAX: usize = 512;

/// How many words or endpoints a shortened event has at most.
pub(crate) const JOURNAL_LIST_MAX: usize = 8;

/// Bytes that the sentence of an entry has at most: what `journalctl` shows of one without `--all`.
pub(crate) const JOURNAL_MESSAGE_MAX: usize = 4 << 10;

/// How many ends of children the status file has: enough to tell a loop from an accident.
pub(crate) const ENDS_KEPT: usize = 3;

/// Bytes that are read of a status file that a dead server left behind.
pub(crate) const STATUS_FILE_MAX: u64 = 1 << 20;

/// The status file is replaced at most this often.
pub(crate) const STATUS_INTERVAL: Duration = Duration::from_millis(200);

/// The status file is so old at most when the log has got more. Whoever draws a rate of it asks a few
/// times a minute.
pub(crate) const STATUS_OUTPUT_INTERVAL: Duration = Duration::from_secs(15);

// Upgrades.

/// How long an upgrade waits for the answer of the new program, and then for the log.
pub(crate) const HANDOVER_TIMEOUT: Duration = Duration::from_secs(5);

/// How often a server that has taken the place of another asks again for what the kernel refused.
pub const SHORTAGE_RETRY: Duration = Duration::from_millis(100);

/// Such a server waits for memory if it wants less than this at once. More is wanted for the stream,
/// which can be smaller, and for reading the state, which is tried again as a whole.
pub const SHORTAGE_MEMORY: usize = STREAM_BUFFER_MAX / 4;

/// How many programs an upgrade checks at most, if each is replaced before it is executed.
pub(crate) const UPGRADE_CHECKS: usize = 5;

/// Bytes that are read of that answer. What a program says that refuses the state is shorter,
/// too.
pub(crate) const ANSWER_MAX: usize = 4096;

// The service manager.

/// Letters of the name of the child in the status that the service manager shows: a message has
/// at most 4 KiB.
pub(crate) const STATUS_NAME_MAX: usize = 200;

/// How often a message is sent again that the service manager had no room for.
pub(crate) const NOTIFY_RETRY: Duration = Duration::from_secs(1);

/// The shortest time between two messages for the watchdog. No service manager asks for less, and
/// a typing error in a unit must not make the server spin.
pub(crate) const WATCHDOG_MIN: Duration = Duration::from_millis(1);

/// Bytes in each half of the file in memory that outlives a crash. The file takes only the memory
/// that is written to.
pub const FDSTORE_SLOT_SIZE: usize = 64 << 20;

/// At exit, how long the service manager may take to hear what it is to close. The next server has
/// it close what is left.
pub(crate) const FDSTORE_LINGER: Duration = Duration::from_secs(2);

/// How often a descriptor is offered again that the service manager had no room for.
pub(crate) const FDSTORE_RETRY: Duration = Duration::from_millis(20);

// The terminal of a person.

/// A sequence for a terminal with more bytes is data, such as a picture, and no query: it is not
/// held back any longer.
pub(crate) const SEQUENCE_MAX: usize = 4096;
