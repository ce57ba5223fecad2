//! Memory that outlives the process: a part of a file in memory (memfd_create(2)), mapped. Only Linux
//! has what it needs, seals and pages that are reserved before they are written to; elsewhere nothing
//! can be mapped.

use std::fs::File;
use std::io;
use std::ops::Range;

/// The unit of all offsets and sizes here, in bytes: a multiple of every page size in use.
pub(crate) const UNIT: usize = 64 << 10;

/// A part of a file in memory, which nobody else maps. The file cannot become shorter, so reading it
/// cannot fault. A byte may be written only after it was [reserved](Self::reserve): there may be no
/// memory for it.
#[derive(Debug)]
pub(crate) struct SharedMemory {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    file: File,
    /// Where the part begins in the file.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    at: usize,
    #[cfg(any(target_os = "linux", target_os = "android"))]
    start: std::ptr::NonNull<u8>,
    len: usize,
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux {
    use std::os::fd::{AsFd, AsRawFd};
    use std::ptr::NonNull;
    use std::slice;
    use std::sync::atomic::{AtomicU64, Ordering, compiler_fence};

    use nix::fcntl::{FallocateFlags, FcntlArg, SealFlag, fallocate, fcntl};

    use super::*;
    use crate::sys::cerr;

    /// Returns a new file in memory of this length, all zeros, which can become neither shorter nor
    /// longer and takes memory only where it is written.
    ///
    /// # Errors
    /// Those of memfd_create(2), ftruncate(2) and fcntl(2).
    pub(crate) fn create(len: usize) -> io::Result<File> {
        use nix::sys::memfd::{MFdFlags, memfd_create};
        let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
        let file = File::from(memfd_create(c"procserv-state", flags)?);
        file.set_len(len as u64)?;
        let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
        fcntl(file.as_fd(), FcntlArg::F_ADD_SEALS(seals))?;
        Ok(file)
    }

    /// Returns the length of a file in memory that cannot become shorter; 0 for any other file.
    pub(crate) fn sealed_len(file: &File) -> usize {
        let is_sealed = fcntl(file.as_fd(), FcntlArg::F_GET_SEALS)
            .is_ok_and(|seals| SealFlag::from_bits_retain(seals).contains(SealFlag::F_SEAL_SHRINK));
        let len = file.metadata().map_or(0, |metadata| metadata.len());
        if is_sealed { usize::try_from(len).unwrap_or(0) } else { 0 }
    }

    impl SharedMemory {
        /// Maps a part of `file`.
        ///
        /// # Errors
        /// The part is not whole units within a file in memory that cannot become shorter, or those of
        /// mmap(2) and dup(2).
        pub(crate) fn map(file: &File, part: Range<usize>) -> io::Result<SharedMemory> {
            let is_within = part.start < part.end && part.end <= sealed_len(file);
            if !is_within || !part.start.is_multiple_of(UNIT) || !part.end.is_multiple_of(UNIT) {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            let (at, len, file) = (part.start, part.len(), file.try_clone()?);
            let offset = libc::off_t::try_from(at).map_err(|_| io::ErrorKind::InvalidInput)?;
            // SAFETY: a new mapping, wherever the kernel has room. The file reaches to its end and
            // cannot become shorter.
            let start = unsafe {
                libc::mmap(
                    std::ptr::null_mut(),
                    len,
                    libc::PROT_READ | libc::PROT_WRITE,
                    libc::MAP_SHARED | libc::MAP_NORESERVE,
                    file.as_raw_fd(),
                    offset,
                )
            };
            if start == libc::MAP_FAILED {
                return Err(io::Error::last_os_error());
            }
            let start = NonNull::new(start.cast::<u8>()).ok_or(io::ErrorKind::OutOfMemory)?;
            // A child has no use for it, and fork(2) would have to copy its page tables.
            // SAFETY: exactly the new mapping.
            let _ = unsafe { libc::madvise(start.as_ptr().cast(), len, libc::MADV_DONTFORK) };
            Ok(SharedMemory { file, at, start, len })
        }

        /// The bytes. Those that were not reserved are not to be looked at: each page that is takes
        /// memory.
        pub(crate) fn bytes(&self) -> &[u8] {
            // SAFETY: the mapping lives as long as this value and is as long as it says. By convention
            // no other process and no other mapping writes to this part.
            unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len) }
        }

        /// The bytes, to be written.
        pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
            // SAFETY: as above; nothing else refers to the mapping meanwhile.
            unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
        }

        /// Writes a number at `at`, a multiple of 8, after everything that was written before, in one
        /// store: whoever finds the number finds those bytes too. Nothing happens at other places.
        pub(crate) fn publish(&mut self, at: usize, number: u64) {
            if at.is_multiple_of(8) && at.checked_add(8).is_some_and(|end| end <= self.len) {
                // SAFETY: within the mapping and aligned, as the mapping begins a page.
                let word = unsafe { &*self.start.as_ptr().add(at).cast::<AtomicU64>() };
                word.store(number, Ordering::Release);
                // What is written later must not come before the number either. The kernel sees the
                // stores of one thread in their order.
                compiler_fence(Ordering::SeqCst);
            }
        }

        /// Reserves memory for these bytes.
        ///
        /// # Errors
        /// There is none.
        pub(crate) fn reserve(&mut self, part: Range<usize>) -> io::Result<()> {
            loop {
                match self.allocate(FallocateFlags::empty(), part.clone()) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    result => return result,
                }
            }
        }

        /// Gives back the memory of these bytes, which are zeros then.
        pub(crate) fn release(&mut self, part: Range<usize>) {
            let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
            // Without it the memory is only given back later.
            let _ = self.allocate(flags, part);
        }

        fn allocate(&mut self, flags: FallocateFlags, part: Range<usize>) -> io::Result<()> {
            if part.is_empty() {
                return Ok(());
            }
            if part.end > self.len {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            let to_offset = |at| libc::off_t::try_from(at).map_err(|_| io::ErrorKind::InvalidInput);
            let (at, len) = (to_offset(self.at + part.start)?, to_offset(part.len())?);
            Ok(fallocate(&self.file, flags, at, len)?)
        }
    }

    impl Drop for SharedMemory {
        fn drop(&mut self) {
            // SAFETY: exactly the mapping, to which nothing refers any more.
            let _ = cerr(unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) });
        }
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) use linux::{create, sealed_len};

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod elsewhere {
    use super::*;

    /// Returns an error, as this system has no such memory.
    pub(crate) fn create(_len: usize) -> io::Result<File> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Returns 0.
    pub(crate) fn sealed_len(_file: &File) -> usize {
        0
    }

    impl SharedMemory {
        /// Returns an error.
        pub(crate) fn map(_file: &File, _part: Range<usize>) -> io::Result<SharedMemory> {
            Err(io::ErrorKind::Unsupported.into())
        }

        /// No bytes.
        pub(crate) fn bytes(&self) -> &[u8] {
            &[]
        }

        /// No bytes.
        pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
            &mut []
        }

        /// Does nothing.
        pub(crate) fn publish(&mut self, _at: usize, _number: u64) {}

        /// Returns an error.
        pub(crate) fn reserve(&mut self, _part: Range<usize>) -> io::Result<()> {
            Err(io::ErrorKind::Unsupported.into())
        }

        /// Does nothing.
        pub(crate) fn release(&mut self, _part: Range<usize>) {}
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) use elsewhere::{create, sealed_len};

impl SharedMemory {
    /// The number at `at`; 0 at places that are not within the memory.
    pub(crate) fn number(&self, at: usize) -> u64 {
        let bytes = self.bytes().get(at..).and_then(|bytes| bytes.first_chunk());
        bytes.map_or(0, |bytes| u64::from_ne_bytes(*bytes))
    }

    /// The length in bytes.
    pub(crate) fn len(&self) -> usize {
        self.len
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn another_mapping_finds_what_was_published() {
        let file = create(3 * UNIT).expect("memory");
        let mut memory = SharedMemory::map(&file, UNIT..3 * UNIT).expect("a mapping");
        memory.reserve(0..UNIT).expect("room");
        memory.bytes_mut()[100..103].copy_from_slice(b"abc");
        memory.publish(8, 7);
        // Neither aligned nor within.
        memory.publish(9, 1);
        memory.publish(2 * UNIT, 1);
        drop(memory);
        let memory = SharedMemory::map(&file, UNIT..3 * UNIT).expect("a mapping");
        assert_eq!((memory.number(8), memory.number(2 * UNIT)), (7, 0));
        assert_eq!(&memory.bytes()[100..103], b"abc");
    }

    #[test]
    fn what_is_released_is_zero() {
        let file = create(2 * UNIT).expect("memory");
        let mut memory = SharedMemory::map(&file, 0..2 * UNIT).expect("a mapping");
        memory.reserve(0..2 * UNIT).expect("room");
        memory.bytes_mut().fill(1);
        memory.release(UNIT..2 * UNIT);
        assert_eq!((memory.bytes()[UNIT - 1], memory.bytes()[UNIT]), (1, 0));
        assert!(memory.reserve(UNIT..3 * UNIT).is_err());
    }

    #[test]
    fn file_that_can_become_shorter_is_refused() {
        let file = crate::sys::fd::in_memory(&[0; UNIT]).expect("memory");
        assert!(SharedMemory::map(&file, 0..UNIT).is_err());
        let file = create(UNIT).expect("memory");
        assert!(file.set_len(0).is_err());
        assert!(SharedMemory::map(&file, 0..2 * UNIT).is_err());
        assert!(SharedMemory::map(&file, 0..100).is_err());
        assert!(SharedMemory::map(&file, 0..0).is_err());
    }
}
