//! After the exec there is no way to fail: each system call that the new program makes until it waits
//! for events is refused once, one after the other, and no child or client is lost.

use crate::support::tracer::{NO_PTRACE, Tracer, is_available};
use crate::support::{Client, TestEnv, TestServer, alive, cases};
use nix::errno::Errno;
use nix::libc::{self, c_long};
use nix::sys::signal::Signal;
use std::time::Duration;

cases![
    no_memory_for_any_call.only_if(is_available(), NO_PTRACE).takes_up_to(LIMIT),
    no_descriptor_and_no_thread_for_any_call.only_if(is_available(), NO_PTRACE).takes_up_to(LIMIT),
];

const LIMIT: Duration = Duration::from_secs(300);

/// Calls for which the kernel takes nothing: it refuses them only when their arguments are wrong. The
/// runtime of Rust and the C library do not expect that of them.
const NEEDS_NOTHING: [c_long; 3] =
    [libc::SYS_rt_sigaction, libc::SYS_rt_sigprocmask, libc::SYS_futex];

fn start(env: &TestEnv) -> (TestServer, Client) {
    let setup = env.server().logged().env("NOTIFY_SOCKET", "@nobody");
    let socket = format!("unix://{}", setup.path("sock").display());
    let options = ["--events", "events", "--status-file", "status", "--pidfile", "pid"];
    let setup = setup.opts(options).opts(["--notify", "--overlap", "0", "--listen", &socket]);
    let server = setup.child(["cat"]).start();
    let mut user = server.connect();
    user.greeting();
    (server, user)
}

/// Refuses each call, and panics if a child or a client is lost by that.
fn refuse_each(env: &TestEnv, errno: fn(c_long) -> Option<Errno>) {
    let (mut server, mut user) = start(env);
    let mut child = server.child_start(1);
    let mut failures = Vec::new();
    for index in 0.. {
        let tracer = Tracer::attach(server.pid());
        server.signal(Signal::SIGUSR1);
        let Some(refused) = tracer.refuse_after_exec(index, errno) else {
            assert!(index > 50, "only {index} calls");
            break;
        };
        let lives = user.is_answered(&format!("word {index}")) && alive(child);
        // The dynamic linker gives up at the first refusal, and nothing of the program runs before it.
        if !lives && !refused.by_linker {
            failures.push(format!("call {index}, {refused:?}: {}", server.stderr()));
        }
        if !lives {
            (server, user) = start(env);
            child = server.child_start(1);
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert_eq!(server.terminate().code(), Some(0));
}

fn no_memory_for_any_call(env: &TestEnv) {
    refuse_each(env, |call| (!NEEDS_NOTHING.contains(&call)).then_some(Errno::ENOMEM));
}

fn no_descriptor_and_no_thread_for_any_call(env: &TestEnv) {
    refuse_each(env, |call| match call {
        libc::SYS_openat
        | libc::SYS_epoll_create1
        | libc::SYS_eventfd2
        | libc::SYS_socketpair
        | libc::SYS_socket
        | libc::SYS_fcntl => Some(Errno::EMFILE),
        libc::SYS_epoll_ctl => Some(Errno::ENOSPC),
        libc::SYS_clone | libc::SYS_clone3 => Some(Errno::EAGAIN),
        _ => None,
    });
}
