//! Names of files that are something else.

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use std::io::Read;

use crate::support::{TestEnv, cases};

const NEVER: &str = "writes no pidfile with -f";

cases![
    pidfile_may_be_standard_output.differs_on_oracle(NEVER),
    pidfile_that_is_a_fifo_does_not_stop_the_start.differs_on_oracle(NEVER),
];

fn pidfile_may_be_standard_output(env: &TestEnv) {
    let (mut reader, writer) = std::io::pipe().unwrap();
    // Through a link of its own: procServ removes whatever it is told is its pidfile.
    let setup = env.server().opts(["-p", "stdout"]).stdout(writer);
    std::os::unix::fs::symlink("/dev/fd/1", setup.path("stdout")).unwrap();
    let server = setup.start();
    server.connect().greeting();
    let pid = server.pid();
    assert_eq!(server.terminate().code(), Some(0));
    let mut output = String::new();
    reader.read_to_string(&mut output).unwrap();
    assert_eq!(output, format!("{pid}\n"));
}

fn pidfile_that_is_a_fifo_does_not_stop_the_start(env: &TestEnv) {
    let setup = env.server().opts(["-p", "fifo"]);
    mkfifo(&setup.path("fifo"), Mode::S_IRWXU).unwrap();
    let server = setup.start();
    server.connect().greeting();
    server.assert_plain(server.stderr(), "procServ: unable to open PID file fifo\n");
    assert_eq!(server.terminate().code(), Some(0));
    assert!(server.path("fifo").exists());
}
