//! The commands, a file each.

pub mod attach;
pub mod conserver;
pub mod control;
pub mod doctor;
pub mod edit;
pub mod list;
pub mod logs;
pub mod upgrade;
