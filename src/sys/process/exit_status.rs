//! How a process ended: plain data, and so all that the console knows of this folder.

/// How a process ended, as wait(2) tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// The process exited with this status.
    Code(u8),
    /// This signal killed the process.
    Signal(i32),
    /// Nobody can tell: only the parent of the process could, and it is gone.
    Unknown,
}
