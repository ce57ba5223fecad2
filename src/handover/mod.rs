//! The state that crosses an upgrade in place, and its bytes. The server writes down all that it
//! is, executes the program that is installed now, and that one goes on from there: same process,
//! same child, same connections. Descriptors stay open across the exec, and are named here by
//! their numbers; nothing in here touches one.
//!
//! Programs of different versions read each other's states: see [`mod@format`].

pub mod format;
pub mod state;
#[cfg(test)]
mod tests;
