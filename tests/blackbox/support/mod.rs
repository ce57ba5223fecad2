//! What the integration tests stand on: a program under test that is cleaned away whatever
//! happens, clients that wait for bytes with a deadline, and a stand-in for the child.
//!
//! A test target has `harness = false` and hands its cases to [`main`]. `PROCSERV_BIN` selects the
//! program; without it, it is the one built from this package. The cases name no program: what is
//! known to differ in the other is either one of its words ([`TestEnv::translate`]) or a mark on the case.
//!
//! ```ignore
//! fn s5_toggle(env: &TestEnv) {
//!     let server = env.server().opts(["-n", "ioc"]).child(["cat"]).start();
//!     let mut user = server.connect();
//!     user.greeting();
//!     user.send(b"\x14");
//!     user.expect("\n@@@ Toggled auto restart mode to OFF\n");
//! }
//! ```

mod builder;
mod client;
pub(crate) mod dialogue;
mod env;
mod fake_ioc;
pub(crate) mod hanging_fs;
mod machine;
mod net;
pub mod passing;
pub(crate) mod preload;
mod process;
mod reaper;
mod server;
mod suite;
mod terminal;
mod text;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub(crate) mod tracer;

pub use builder::ServerBuilder;
pub use client::{Client, NEGOTIATION};
pub use env::{TestEnv, is_ours};
pub use machine::{NO_NAMESPACE, PidsGroup, has_mount_namespaces, succeeds};
pub use net::uninterrupted;
pub use process::{
    alive, anonymous_memory, descriptors, parent_of, processes_with, running_time, sleeps, stat,
};
pub use server::{Finished, TestServer};
pub use suite::{Case, main};
pub use terminal::Terminal;
pub use text::{find, number_after, show};

/// The cases of a module, by the names of their functions, each with what is said of it:
/// `pub(crate) fn cases() -> Vec<Case>`.
macro_rules! cases {
    ($($name:ident $(.$method:ident($($argument:expr),* $(,)?))*),* $(,)?) => {
        pub(crate) fn cases() -> Vec<$crate::support::Case> {
            vec![$(
                $crate::support::Case::new(concat!(module_path!(), "::", stringify!($name)), $name)
                    $(.$method($($argument),*))*
            ),*]
        }
    };
}
pub(crate) use cases;
