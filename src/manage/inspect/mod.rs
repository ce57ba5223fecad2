//! Running servers and their children, and what they have written.

pub(crate) mod api;
pub(crate) mod archive;
pub(crate) mod collector;
pub(crate) mod ends;
pub(crate) mod events;
pub(crate) mod file_events;
pub(crate) mod journal;
pub(crate) mod overview;
pub(crate) mod past;
pub(crate) mod probe;
pub(crate) mod proc;
pub(crate) mod rotated;
pub(crate) mod servers;
mod state;
pub(crate) mod trouble;
pub(crate) mod units;
pub(crate) mod users;
pub(crate) mod watch;

pub(crate) use super::bounded;
