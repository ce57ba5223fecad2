//! `manage-procs`: what it makes of configuration files and commands, and its console client on a
//! terminal. Real servers, no systemd: a stand-in notes down how it is called.

mod attach;
mod attach_people;
mod attach_raw;
mod attach_trouble;
mod attach_window;
mod command_line;
mod configuration;
mod conserver;
mod contract;
mod control;
mod doctor;
mod events;
mod fleet;
mod hostile;
mod hung;
mod image;
mod logs;
mod metrics;
mod overview;
mod requests;
mod roles;
mod running;
mod shared;
mod top;
mod watch;
mod why;

use crate::support::Case;

pub(crate) fn cases() -> Vec<Case> {
    let all = [
        command_line::cases(),
        configuration::cases(),
        contract::cases(),
        image::cases(),
        shared::cases(),
        conserver::cases(),
        control::cases(),
        hostile::cases(),
        hung::cases(),
        logs::cases(),
        metrics::cases(),
        overview::cases(),
        doctor::cases(),
        events::cases(),
        roles::cases(),
        running::cases(),
        attach::cases(),
        attach_people::cases(),
        attach_raw::cases(),
        requests::cases(),
        attach_trouble::cases(),
        attach_window::cases(),
        why::cases(),
        top::cases(),
        watch::cases(),
    ];
    all.into_iter().flatten().collect()
}
