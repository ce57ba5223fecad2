//! What a client gets beyond procServ: the history, endpoints with IPv6 or without telnet, what telnet
//! clients may ask for, watching without typing, the size of the window, networks that are let in, the words of 2.7.

mod announce;
mod api;
mod half_closed;
mod history;
mod history_memory;
mod ipv6;
mod keyboard;
mod networks;
mod raw;
mod telnet;
mod view;
mod window;
mod wording;

use crate::support::Case;

pub(crate) fn cases() -> Vec<Case> {
    let all = [
        announce::cases(),
        api::cases(),
        half_closed::cases(),
        history::cases(),
        history_memory::cases(),
        ipv6::cases(),
        keyboard::cases(),
        networks::cases(),
        raw::cases(),
        telnet::cases(),
        view::cases(),
        window::cases(),
        wording::cases(),
    ];
    all.into_iter().flatten().collect()
}
