//! Memory that goes back to the host when connections end.
#![allow(unsafe_code)] // two calls of the C library's allocator

/// Bytes from which on a buffer is a mapping of its own, which goes back as soon as it is freed.
const MAPPED_FROM_BYTES: i32 = 32 * 1024;

/// Keeps the limit for mappings where it is: the C library would raise it with the first large buffer that is freed.
pub(crate) fn prepare() {
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt takes two numbers and touches the allocator's own settings; no other thread runs yet.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_FROM_BYTES);
    }
}

/// Gives what is free back.
pub(crate) fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim gives free pages back to the kernel and touches nothing that is in use.
    unsafe {
        libc::malloc_trim(0);
    }
}
