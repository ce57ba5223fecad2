//! The limits of this process that decide whether a program can start (getrlimit(2)).

use nix::sys::resource::{Resource, getrlimit};

#[cfg(any(target_os = "linux", target_os = "android"))]
const NEEDED: [Resource; 5] = [
    Resource::RLIMIT_NOFILE,
    Resource::RLIMIT_AS,
    Resource::RLIMIT_DATA,
    Resource::RLIMIT_STACK,
    Resource::RLIMIT_NPROC,
];
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const NEEDED: [Resource; 3] =
    [Resource::RLIMIT_NOFILE, Resource::RLIMIT_DATA, Resource::RLIMIT_STACK];

/// The soft limits of descriptors, memory, stack and processes, as far as they can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ResourceLimits([Option<u64>; NEEDED.len()]);

impl ResourceLimits {
    /// Returns the limits of now. prlimit(1) may change them at any time.
    // The widths differ from system to system.
    #[allow(clippy::unnecessary_cast)]
    pub(crate) fn now() -> ResourceLimits {
        ResourceLimits(NEEDED.map(|limit| getrlimit(limit).ok().map(|(soft, _)| soft as u64)))
    }
}
