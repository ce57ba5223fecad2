//! Programs that read the console by machine, played as they are: their time limits, the order in
//! which they look, their patterns. What one of them relies on may not change.
//!
//! A limit of a second or two is that client's own, and longer here: see `telnetlib`.

mod attach;
mod command_lines;
mod iocmanager;
mod log_readers;
mod procmgr;
mod procserv_control;
mod site_scripts;
mod softioc;
mod systemd;
mod telnetlib;

use crate::support::Case;

pub(crate) fn cases() -> Vec<Case> {
    let all = [
        procserv_control::cases(),
        iocmanager::cases(),
        procmgr::cases(),
        softioc::cases(),
        log_readers::cases(),
        attach::cases(),
        site_scripts::cases(),
        systemd::cases(),
        command_lines::cases(),
    ];
    all.into_iter().flatten().collect()
}
