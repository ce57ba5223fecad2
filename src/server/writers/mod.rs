//! The threads that write: the log, standard output, syslog and the records.

pub(crate) mod log_file;
pub(crate) mod rotate;
pub(crate) mod sink;
pub(crate) mod syslog;
pub(crate) mod thread;
