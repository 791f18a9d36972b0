use rustix::mm::{MlockAllFlags, mlockall};

/// How much of the stack is made present beforehand: more than the beating ever uses.
const STACK: usize = 128 * 1024;

/// Keeps all of the process in memory, now and later. A host on which that is not allowed still beats, and says so.
pub(super) fn lock() {
    if let Err(error) = mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE) {
        tracing::warn!(
            %error,
            "the lease process's memory cannot be locked: while this host swaps, it may look dead"
        );
        return;
    }
    touch_the_stack();
}

#[inline(never)]
fn touch_the_stack() {
    let mut pages = [0_u8; STACK];
    for page in pages.chunks_mut(4096) {
        page[0] = 1;
    }
    std::hint::black_box(&pages);
}
