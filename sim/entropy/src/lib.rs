//! Makes every random number of a simulated run follow from its seed.
//!
//! A run must be repeatable to the last bit, yet hash maps, elections, the runtime's choice of whom to wake first
//! and generated keys all draw from the kernel, deep inside libraries that offer no other source. All of them do so through
//! the C library's `getrandom`, which the standard library looks up by name "to allow interposition". This crate is
//! that interposition: a thread that has called [`seed`] gets numbers that follow from the seed, every other thread gets
//! the kernel's.
//!
//! Only programs of the simulation may link it.

use std::cell::Cell;

thread_local! {
    static STATE: Cell<Option<u64>> = const { Cell::new(None) };
}

/// From now on this thread's randomness follows from `seed`.
pub fn seed(seed: u64) {
    STATE.set(Some(seed));
}

/// One step of SplitMix64.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn fill(buffer: &mut [u8]) -> bool {
    let Ok(Some(mut state)) = STATE.try_with(Cell::get) else {
        return from_kernel(buffer).is_ok();
    };
    for chunk in buffer.chunks_mut(8) {
        let drawn = next(&mut state).to_le_bytes();
        chunk.copy_from_slice(&drawn[..chunk.len()]);
    }
    STATE.set(Some(state));
    true
}

fn from_kernel(buffer: &mut [u8]) -> std::io::Result<()> {
    use std::io::Read;
    std::fs::File::open("/dev/urandom")?.read_exact(buffer)
}

/// Stands in for the C library's function of this name.
///
/// # Safety
///
/// `buffer` must be valid for writes of `length` bytes, as the C function demands.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getrandom(buffer: *mut u8, length: usize, _flags: u32) -> isize {
    if length == 0 {
        return 0;
    }
    // SAFETY: the caller hands in a buffer of this length; zeroing makes it readable as bytes.
    let buffer = unsafe {
        std::ptr::write_bytes(buffer, 0, length);
        std::slice::from_raw_parts_mut(buffer, length)
    };
    if fill(buffer) {
        isize::try_from(length).unwrap_or(isize::MAX)
    } else {
        -1
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    fn order(entropy: u64) -> Vec<u32> {
        std::thread::spawn(move || {
            super::seed(entropy);
            let set: HashSet<u32> = (0..100).collect();
            set.into_iter().collect()
        })
        .join()
        .expect("nothing panics")
    }

    #[test]
    fn a_hash_set_has_the_order_that_the_seed_gives_it() {
        assert_eq!(order(7), order(7));
        assert_ne!(order(7), order(8));
    }

    #[test]
    fn a_thread_without_a_seed_still_gets_the_kernels_randomness() {
        let unseeded = || {
            std::thread::spawn(|| {
                let set: HashSet<u32> = (0..100).collect();
                set.into_iter().collect::<Vec<_>>()
            })
            .join()
            .expect("nothing panics")
        };
        assert_ne!(unseeded(), unseeded());
    }
}
