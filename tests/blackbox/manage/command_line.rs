//! What is said of a command line that makes no sense.

use crate::manage::fleet::Fleet;
use crate::support::{TestEnv, cases};

cases![a_similar_word_is_suggested];

fn a_similar_word_is_suggested(_: &TestEnv) {
    let fleet = Fleet::new();
    for (words, similar) in [
        (&["atach", "vac1"][..], "subcommands exist: 'watch', 'attach'"),
        (&["logs", "--folow"], "argument exists: '--follow'"),
    ] {
        let done = fleet.run(words);
        assert!(done.code == 2 && done.stderr.contains(similar), "{done:?}");
    }
}
