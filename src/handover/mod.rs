//! The state that crosses an upgrade in place, and its bytes. The server writes its whole state
//! down and executes the program that is installed now, which goes on from the state: in the same
//! process, with the same child and the same connections. Descriptors stay open across the exec,
//! and the state has their numbers; nothing in here opens or closes one.
//!
//! Programs of different versions read each other's states: see [`mod@format`].

use std::ffi::CStr;

pub mod changes;
pub mod format;
pub mod state;
#[cfg(test)]
pub(crate) mod tests;

/// The variable that has the number of the state's descriptor, in the environment of a program that
/// is to go on from the state.
pub const VARIABLE: &str = "PROCSERV_HANDOVER";

/// The same, for getenv(3).
pub const VARIABLE_C: &CStr = c"PROCSERV_HANDOVER";

/// The only argument of a program that is to say if it could go on from a state, followed by the
/// number of the state's descriptor.
pub const CHECK: &str = "--handover-check=";

/// Returns what such a program prints on standard output if it has read the state with this digest
/// and could go on.
pub fn answer(digest: u32) -> Vec<u8> {
    format!("procServ can go on from {digest:08x}\n").into_bytes()
}
