//! The commands, a file or a folder each.

pub(crate) mod add;
pub(crate) mod attach;
pub(crate) mod complete;
pub(crate) mod conserver;
pub(crate) mod control;
pub(crate) mod doctor;
pub(crate) mod edit;
pub(crate) mod enable;
pub(crate) mod events;
pub(crate) mod fallback;
pub(crate) mod list;
pub(crate) mod logs;
pub(crate) mod metrics;
pub(crate) mod pager;
pub(crate) mod remove;
pub(crate) mod status;
pub(crate) mod top;
pub(crate) mod watch;
pub(crate) mod why;
