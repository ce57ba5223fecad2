//! Other hosts, on which a command runs through ssh(1): the user's own configuration, keys and
//! connections, and no server of ours.

pub(crate) mod arguments;
pub(crate) mod command;
pub(crate) mod group;
pub(crate) mod host;
pub(crate) mod lines;
pub(crate) mod run;

pub(crate) use self::host::Host;
