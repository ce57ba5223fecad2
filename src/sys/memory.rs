//! Memory of a program that has just taken the place of another one: it cannot go back, so it waits for
//! memory that the system does not give now.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ffi::CStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// True until [`end_waiting`].
static WAITS: AtomicBool = AtomicBool::new(true);

/// So many bytes below a function on the stack are its own and those of what it calls.
#[cfg(target_os = "linux")]
const STACK_IN_USE: usize = 8 << 10;

/// The allocator of the C library, which waits for memory if an environment variable is set, until
/// [`end_waiting`]: where a failed allocation ends the program, that would end the child too.
#[derive(Debug)]
pub struct PatientAllocator {
    /// The environment variable.
    pub variable: &'static CStr,
    /// An allocation of so many bytes or more fails at once: its caller does without, or tries again.
    pub most: usize,
    /// The time between two attempts.
    pub pause: Duration,
}

/// From now on, an allocation that the system refuses fails at once.
pub(crate) fn end_waiting() {
    WAITS.store(false, Ordering::Relaxed);
}

/// The start needs more memory than what comes after it: gives back what is not used any more of the heap
/// and of the stack of this thread, which has to be the first one. A system that cannot do that goes on with
/// more.
pub(crate) fn release_unused() {
    #[cfg(target_os = "linux")]
    release_stack();
    // Behind what the stack takes: it looks at a file.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: malloc_trim(3) leaves alone what is in use.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(target_os = "linux")]
fn release_stack() {
    // SAFETY: sysconf(3) takes a number.
    let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(0);
    let mark = std::hint::black_box(0_u8);
    let end = (&raw const mark).addr().saturating_sub(STACK_IN_USE);
    let end = end - end % page.max(1);
    let Some(begin) = stack_begin().filter(|&begin| begin < end) else {
        return;
    };
    // SAFETY: only the stack of this thread is there, nothing is kept so far below this function, and
    // what is needed there later comes back as zeros.
    unsafe {
        libc::madvise(std::ptr::without_provenance_mut(begin), end - begin, libc::MADV_DONTNEED);
    }
}

/// Where the stack of the first thread begins at the moment (proc_pid_maps(5)).
#[cfg(target_os = "linux")]
fn stack_begin() -> Option<usize> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let stack = maps.lines().find(|line| line.ends_with(" [stack]"))?;
    usize::from_str_radix(stack.split_once('-')?.0, 16).ok()
}

impl PatientAllocator {
    fn wait_for(&self, size: usize, attempt: impl Fn() -> *mut u8) -> *mut u8 {
        loop {
            let memory = attempt();
            if !memory.is_null() || size >= self.most || !self.waits() {
                return memory;
            }
            // This does not allocate.
            std::thread::sleep(self.pause);
        }
    }

    fn waits(&self) -> bool {
        // SAFETY: a NUL-terminated name. Nothing changes the environment.
        WAITS.load(Ordering::Relaxed) && unsafe { !libc::getenv(self.variable.as_ptr()).is_null() }
    }
}

// SAFETY: the system's allocator does all the work; what it refuses is only asked for again.
unsafe impl GlobalAlloc for PatientAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the conditions.
        self.wait_for(layout.size(), || unsafe { System.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        self.wait_for(layout.size(), || unsafe { System.alloc_zeroed(layout) })
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above. A refusal leaves the old memory as it was.
        self.wait_for(size, || unsafe { System.realloc(memory, layout, size) })
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}
