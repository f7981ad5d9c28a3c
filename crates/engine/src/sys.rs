//! The only unsafe code of this crate: the reading of the time stamp counter.
#![allow(unsafe_code)]

/// The CPU's time stamp counter, cycles; `None` on architectures without one.
pub(crate) fn time_stamp() -> Option<u64> {
    #[cfg(target_arch = "x86_64")]
    {
        // SAFETY: every x86-64 CPU has RDTSC, and Linux leaves it open to user space unless a process forbids it to
        // itself.
        Some(unsafe { std::arch::x86_64::_rdtsc() })
    }
    #[cfg(not(target_arch = "x86_64"))]
    None
}
