//! The console under simulation: a scripted child, clients and files, a clock that is a number, and a
//! seed that decides what happens. After every step, everything that can be seen of the console is
//! compared with an independent model of it, the oracle.

mod child;
mod clients;
mod effects;
mod messages;
mod oracle;
mod settings;
mod simulation;
mod stream;
mod upgrade;

use std::collections::BTreeSet;
use std::sync::Mutex;

use self::simulation::Simulation;
use crate::sim_support;

const SEEDS: u64 = 10_000;

/// What must have happened in some simulation: a rule that no simulation has tried is not tested.
const EXPECTED: [&str; 72] = [
    "ONESHOT ended the server",
    "ONESHOT ended the server by hand",
    "SIGTERM came while a daemon was waited for",
    "a child closed its terminal after the stop input",
    "a child ended after the stop input",
    "a child ended that had been given up",
    "a child had to wait for the other's line",
    "a child made itself a daemon",
    "a child was ready before its time",
    "a child was started by hand within the holdoff time",
    "a chunk came back",
    "a client gave commands too fast",
    "a client got a part of a line of the past",
    "a client got whole lines of the past",
    "a client read half of an announcement",
    "a client was heard although the queue was full",
    "a client was told that it is too slow",
    "a client was too slow for the past",
    "a command came too late",
    "a console was replaced",
    "a console was replaced while commands were held",
    "a console was replaced while input waited",
    "a daemon that was waited for was given up",
    "a file got a private line",
    "a file got half of a stamp",
    "a file got half of an announcement",
    "a file was told what is missing",
    "a line began where the past does",
    "a line end of two bytes was one",
    "a line feed belonged to a line end",
    "a line was hidden in part",
    "a line was recorded in pieces",
    "a long run ended a row of deaths",
    "a private line came back",
    "a request was executed",
    "a request was refused",
    "a second SIGTERM",
    "a second SIGTERM after the stop input",
    "a second SIGTERM killed orphans",
    "a signal became the exit status",
    "a user's start waited for orphans",
    "a window changed too soon",
    "a window followed the typist before",
    "a window of no size",
    "another child after another",
    "another child was asked for twice",
    "another child was not started after all",
    "both children were told to end",
    "commands were held when their client left",
    "half a line was not waited for",
    "no daemon came",
    "nobody waited for a daemon any more",
    "only an old child was told to end",
    "orphans outlived their grace",
    "orphans were left alone",
    "the child was to wait for a client",
    "the child was to wait for a client that reads",
    "the grace period was over",
    "the holdoff time was doubled",
    "the kill character emptied the queue",
    "the middle of the history began a line",
    "the new child ended first",
    "the old child was killed",
    "the queue to the child was full",
    "the server left without its child",
    "the stop input ended a trial",
    "the stop input ended no child",
    "the stop input took the place of other input",
    "the stream grew for a client that reads",
    "the stream passed a file",
    "two children ran",
    "two children spoke by turns",
];

static REACHED: Mutex<BTreeSet<&str>> = Mutex::new(BTreeSet::new());

/// Takes note of something that happened in a simulation.
fn reached(what: &'static str) {
    REACHED.lock().unwrap().insert(what);
}

#[test]
fn every_seed_keeps_the_rules() {
    if sim_support::run_seeds(SEEDS, |seed, verbose| Simulation::new(seed, verbose).run()) {
        let reached = REACHED.lock().unwrap();
        assert_eq!(reached.iter().copied().collect::<Vec<_>>(), EXPECTED);
    }
}
