//! Contract section 1: the command line.

use crate::case;
use crate::support::{Case, Lab};

pub(super) fn cases() -> Vec<Case> {
    vec![case!(s1_version_is_one_line), case!(s1_unknown_long_option)]
}

const USAGE: &str = "\
Usage: procServ [options] -P <endpoint>... <command args ...>    (-h for help)
       procServ [options] <endpoint> <command args ...>
";

fn s1_version_is_one_line(lab: &Lab) {
    lab.run(["-V"]).assert(0, "<version>\n", "");
}

fn s1_unknown_long_option(lab: &Lab) {
    lab.run(["--nonsense", "2000", "/bin/cat"]).assert(
        1,
        USAGE,
        "procServ: unrecognized option '--nonsense'\n",
    );
}
