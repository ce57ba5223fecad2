//! What procServ does, observably: one case for each statement of the contract
//! (docs/procserv.md) that can be seen from outside, run against the program built here or the one
//! named by `PROCSERV_BIN`. `[+]` and sections in the reasons of marks are the contract's.

mod s1_command_line;
mod s2_endpoints;
mod s3_greeting;
mod s4_telnet;
mod s5_commands;
mod s6_child;
mod s7_server;
mod s8_log;

use crate::support::Case;

pub(crate) fn cases() -> Vec<Case> {
    let all = [
        s1_command_line::cases(),
        s2_endpoints::cases(),
        s3_greeting::cases(),
        s4_telnet::cases(),
        s5_commands::cases(),
        s6_child::cases(),
        s7_server::cases(),
        s8_log::cases(),
    ];
    all.into_iter().flatten().collect()
}
