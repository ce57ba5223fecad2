//! Contract section 6: the child, and what is said about it.

use crate::case;
use crate::support::{Case, Lab, number_after};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case!(s6_start_is_announced_with_name_and_command),
        case!(s6_start_says_no_command_if_that_is_the_name),
    ]
}

fn s6_start_is_announced_with_name_and_command(lab: &Lab) {
    let server = lab.server().opts(["-w", "-n", "ioc"]).child(["say", "hello", "cat"]).start();
    let mut user = server.connect();
    user.greeting();
    user.send(b"\x12");
    user.expect(
        "\
@@@ Restarting child \"ioc\"
@@@    (as ./fake-ioc)
@@@ The PID of new child \"ioc\" is: <pid>
@@@ @@@ @@@ @@@ @@@
hello
",
    );
    assert_eq!(number_after(user.received(), "\" is: "), server.child_start(1));
}

fn s6_start_says_no_command_if_that_is_the_name(lab: &Lab) {
    let server = lab.server().opts(["-w"]).child(["say", "hello", "cat"]).start();
    let mut user = server.connect();
    user.greeting();
    user.send(b"\x18");
    let announced = "\
@@@ Restarting child \"./fake-ioc\"
@@@ The PID of new child \"./fake-ioc\" is: <pid>
@@@ @@@ @@@ @@@ @@@
hello
";
    user.expect(&format!("\n@@@ Got a kill command\n{announced}"));
}
