//! The child's birth and death.

use crate::support::{TestEnv, cases};

cases![death_by_a_real_time_signal_is_noticed];

fn death_by_a_real_time_signal_is_noticed(env: &TestEnv) {
    let server = env.server().opts(["-w"]).command(["/bin/sh", "-c", "kill -40 $$"]).start();
    let mut user = server.connect();
    user.greeting();
    user.send(b"\x12");
    user.until("The process was killed by signal 40\r\n");
}
