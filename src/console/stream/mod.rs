//! The console stream: its bytes and the readers of it.

pub(crate) mod buffer;
pub(crate) mod chunk;
pub(crate) mod encode;
pub(crate) mod reader;
pub(crate) mod ring;
pub(crate) mod sinks;
pub(crate) mod snapshot;

use std::slice::SliceIndex;

/// The bytes in a range that is known to lie within `bytes`. If it does not, this panics where debug
/// assertions are compiled in, and returns no bytes elsewhere.
fn subslice<R: SliceIndex<[u8], Output = [u8]>>(bytes: &[u8], range: R) -> &[u8] {
    let part = bytes.get(range);
    debug_assert!(part.is_some(), "a range that is not within {} bytes", bytes.len());
    part.unwrap_or_default()
}
