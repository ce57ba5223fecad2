//! Signals at the wrong moment.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::path::Path;
use std::thread;

use crate::support::{TestEnv, cases};

cases![
    daemon_stopped_right_after_its_start_leaves_nothing
        .flaky_on_oracle("dies of a signal that comes too early, its files stay"),
];

fn daemon_stopped_right_after_its_start_leaves_nothing(env: &TestEnv) {
    let setup = env.server().daemon().opts(["-p", "pid"]);
    let pidfile = setup.path("pid");
    let server = thread::scope(|scope| {
        scope.spawn(|| kill_named_by(&pidfile));
        setup.start()
    });
    assert_eq!(server.wait_exit().code(), Some(0));
    assert!(!server.path("ctl").exists());
    assert!(!server.path("pid").exists());
}

/// SIGTERM to the process that the file names, the moment it does.
fn kill_named_by(pidfile: &Path) {
    loop {
        let text = fs::read_to_string(pidfile).unwrap_or_default();
        if let Some(pid) = text.strip_suffix('\n') {
            return kill(Pid::from_raw(pid.parse().unwrap()), Signal::SIGTERM).unwrap();
        }
    }
}
