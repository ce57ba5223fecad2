//! What procServ gets wrong and this program must not: a case for each known defect, run against
//! the program built here or the one named by `PROCSERV_BIN`. On procServ 2.7.0 the cases marked
//! so fail.
//!
//! Defects that are a wrong word or number in one statement of the contract (docs/procserv.md) have
//! their case in `contract`: `s2_file_that_is_no_socket_is_left_alone`,
//! `s2_live_socket_is_not_stolen`, `s2_first_socket_is_removed_when_the_second_fails`,
//! `s2_port_in_use`, `s2_address_out_of_range`, `s2_port_past_32_bits`, `s3_long_names_are_not_cut`,
//! `s3_long_directory_is_not_cut`, `s3_start_directory_removed`.

mod attack;
mod clocks;
mod ends;
mod grace;
mod logs;
mod pastes;
mod sockets;
mod stalls;
mod starts;
mod terminals;
mod texts;

use crate::support::Case;

pub(crate) fn cases() -> Vec<Case> {
    let all = [
        starts::cases(),
        ends::cases(),
        stalls::cases(),
        pastes::cases(),
        sockets::cases(),
        terminals::cases(),
        logs::cases(),
        clocks::cases(),
        grace::cases(),
        texts::cases(),
        attack::cases(),
    ];
    all.into_iter().flatten().collect()
}
