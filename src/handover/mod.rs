//! The state that crosses an upgrade in place, and its bytes. The server writes down all that it
//! is, executes the program that is installed now, and that one goes on from there: same process,
//! same child, same connections. Descriptors stay open across the exec, and are named here by
//! their numbers; nothing in here opens or closes one.
//!
//! Programs of different versions read each other's states: see [`mod@format`].

pub mod format;
pub mod state;
#[cfg(test)]
pub(crate) mod tests;

/// Names the descriptor of the state in the environment of a program that is to go on from it.
pub const VARIABLE: &str = "PROCSERV_HANDOVER";

/// The only argument of a program that is to tell whether it could, followed by the descriptor.
pub const CHECK: &str = "--handover-check=";

/// What it answers then on standard output: that it has read the state with this digest.
pub fn answer(digest: u32) -> Vec<u8> {
    format!("procServ can go on from {digest:08x}\n").into_bytes()
}
