//! The two clocks that budgets are measured with. A leaf.

use rustix::time::{ClockId, Timespec, clock_gettime};

/// Nanoseconds of a monotonic clock that moves only with the kernel's tick, every 1 to 10 ms. Reading it costs a few
/// nanoseconds, which is why the interrupt of a VM can do it each time.
pub(crate) fn coarse() -> u64 {
    #[cfg(target_os = "linux")]
    const CLOCK: ClockId = ClockId::MonotonicCoarse;
    #[cfg(not(target_os = "linux"))]
    const CLOCK: ClockId = ClockId::Monotonic;
    nanos(clock_gettime(CLOCK))
}

/// Nanoseconds that this thread has computed, without those in which something else had the processor. A system call.
pub(crate) fn thread_cpu() -> u64 {
    nanos(clock_gettime(ClockId::ThreadCPUTime))
}

fn nanos(time: Timespec) -> u64 {
    let second = u64::try_from(time.tv_sec).unwrap_or(0);
    second * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}
