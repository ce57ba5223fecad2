//! What the simulations of the console and of the server share: random numbers and a runner of seeds.
//!
//! `SIM_SEED=n` runs one seed and prints each step; `SIM_SEEDS=n` sets how many seeds run.

use std::io::Write;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// Random numbers. The same seed gives the same simulation on every machine.
#[derive(Debug, Clone)]
pub(crate) struct Random(fastrand::Rng);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(fastrand::Rng::with_seed(seed))
    }

    /// A number less than `bound`; 0 if there is none.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0.usize(..bound.max(1))
    }

    /// True once in `times`.
    pub(crate) fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub(crate) fn pick<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())].clone()
    }

    /// A length up to `most`, as often short as long.
    pub(crate) fn length(&mut self, most: usize) -> usize {
        let scale = self.pick(&[4, 64, 1024, most]);
        self.below(scale.min(most) + 1)
    }
}

/// Runs `simulate` for each seed from 0 on, `default` of them unless the environment says otherwise,
/// on all processors. A seed that panics is run again with `verbose` true, to print each step.
///
/// Returns true if at least `default` seeds have run. If fewer have, the caller cannot expect that
/// everything has happened that must happen in some simulation; the runner says so.
pub(crate) fn run_seeds(default: u64, simulate: impl Fn(u64, bool) + Sync) -> bool {
    if let Some(seed) = number("SIM_SEED") {
        simulate(seed, true);
        skipped(1, default);
        return false;
    }
    let seeds = number("SIM_SEEDS").unwrap_or(default);
    let next = AtomicU64::new(0);
    let failed = AtomicU64::new(u64::MAX);
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.min(failed.load(Ordering::Relaxed)) {
                return;
            }
            if panic::catch_unwind(AssertUnwindSafe(|| simulate(seed, false))).is_err() {
                failed.fetch_min(seed, Ordering::Relaxed);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let failed = failed.into_inner();
    if failed != u64::MAX {
        eprintln!("SIM_SEED={failed}");
        simulate(failed, true);
        panic!("seed {failed} failed once, and not again");
    }
    if seeds < default {
        skipped(seeds, default);
    }
    seeds >= default
}

/// Written to the descriptor itself, because the test harness hides what `eprintln` prints.
fn skipped(seeds: u64, default: u64) {
    let seeds = format!("{seeds} of {default} seeds ran");
    writeln!(std::io::stderr(), "{seeds}: not checked that everything has happened").unwrap();
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")))
}
