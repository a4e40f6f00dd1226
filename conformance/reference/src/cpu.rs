use rustix::time::{ClockId, clock_gettime};

/// CPU time that the calling thread has used, in nanoseconds: what an [`Answer`](crate::Answer)'s time is a
/// difference of. Asking costs a system call, a few hundred nanoseconds, which count as the engine's.
pub fn thread_cpu_ns() -> u64 {
    const NS_PER_SECOND: u64 = 1_000_000_000;
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec.unsigned_abs() * NS_PER_SECOND + time.tv_nsec.unsigned_abs()
}
