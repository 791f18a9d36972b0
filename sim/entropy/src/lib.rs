//! Makes every random number of a simulated run follow from its seed.
//!
//! A run must be repeatable to the last bit, yet hash maps, elections, the runtime's choice of whom to wake first
//! and generated keys all draw from the kernel, deep inside libraries that offer no other source. All of them do so through
//! the C library: its `getrandom`, which the standard library looks up by name "to allow interposition", or its `syscall`.
//! This crate is that interposition: the thread of [`seeded`] gets numbers that follow from the seed, every other thread
//! gets the kernel's.
//!
//! A thread draws the keys of its hash maps once, at the first of them. So a run has a thread of its own, which has done
//! nothing before: [`seeded`].
//!
//! Only programs of the simulation may link it.

use std::{
    cell::Cell,
    ffi::{c_char, c_long, c_uint, c_void},
    panic::resume_unwind,
    ptr, slice, thread,
};

thread_local! {
    static STATE: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Does the work on a new thread, all of whose randomness follows from `seed`.
pub fn seeded<T: Send>(seed: u64, work: impl FnOnce() -> T + Send) -> T {
    let outcome = thread::scope(|scope| {
        let worker = scope.spawn(|| {
            STATE.set(Some(seed));
            work()
        });
        worker.join()
    });
    outcome.unwrap_or_else(|panic| resume_unwind(panic))
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
pub unsafe extern "C" fn getrandom(buffer: *mut u8, length: usize, _flags: c_uint) -> isize {
    if length == 0 {
        return 0;
    }
    // SAFETY: the caller hands in a buffer of this length; zeroing makes it readable as bytes.
    let buffer = unsafe {
        ptr::write_bytes(buffer, 0, length);
        slice::from_raw_parts_mut(buffer, length)
    };
    if fill(buffer) {
        isize::try_from(length).unwrap_or(isize::MAX)
    } else {
        -1
    }
}

/// The number of `getrandom` among the kernel's calls.
#[cfg(target_arch = "x86_64")]
const GETRANDOM: c_long = 318;
#[cfg(not(target_arch = "x86_64"))]
const GETRANDOM: c_long = 278;

/// `RTLD_NEXT`: look in whatever was loaded after this program.
const NEXT: *mut c_void = ptr::without_provenance_mut(usize::MAX);

type Syscall = unsafe extern "C" fn(c_long, ...) -> c_long;

unsafe extern "C" {
    fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
}

thread_local! {
    static KERNEL: Cell<Option<Syscall>> = const { Cell::new(None) };
}

/// Stands in for the C library's function of this name, which it calls for everything but random numbers. It always takes as
/// many arguments as a call of the kernel can have; what a caller did not give is not looked at.
///
/// # Safety
///
/// As the kernel's call demands.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syscall(
    number: c_long,
    first: c_long,
    second: c_long,
    third: c_long,
    fourth: c_long,
    fifth: c_long,
    sixth: c_long,
) -> c_long {
    if number == GETRANDOM {
        let buffer = ptr::with_exposed_provenance_mut(first as usize);
        // SAFETY: these are the arguments of `getrandom`.
        let filled = unsafe { getrandom(buffer, second as usize, third as c_uint) };
        return filled as c_long;
    }
    let Some(kernel) = KERNEL.get().or_else(find) else {
        return -1;
    };
    // SAFETY: the arguments are handed on as they came.
    unsafe { kernel(number, first, second, third, fourth, fifth, sixth) }
}

fn find() -> Option<Syscall> {
    // SAFETY: the name ends with a zero.
    let found = unsafe { dlsym(NEXT, c"syscall".as_ptr()) };
    // SAFETY: the C library's function has this signature, and a function pointer has the size of a pointer.
    let found: Option<Syscall> = unsafe { std::mem::transmute(found) };
    KERNEL.set(found);
    found
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    fn order(entropy: u64) -> Vec<u32> {
        super::seeded(entropy, || {
            let set: HashSet<u32> = (0..100).collect();
            set.into_iter().collect()
        })
    }

    #[test]
    fn a_hash_set_has_the_order_that_the_seed_gives_it() {
        assert_eq!(order(7), order(7));
        assert_ne!(order(7), order(8));
    }

    #[test]
    fn what_the_calling_thread_has_drawn_before_changes_nothing() {
        let first = order(7);
        let used: HashSet<u32> = (0..100).collect();
        assert_eq!(used.len(), 100);
        assert_eq!(order(7), first);
    }

    #[test]
    fn whoever_asks_the_kernel_itself_is_given_the_same_numbers() {
        let asked = || {
            super::seeded(7, || {
                let mut numbers = [0_u8; 16];
                let place = numbers.as_mut_ptr().expose_provenance();
                // SAFETY: the buffer is there and has that length.
                let given = unsafe { super::syscall(super::GETRANDOM, place as _, 16, 0, 0, 0, 0) };
                assert_eq!(given, 16);
                numbers
            })
        };
        assert_eq!(asked(), asked());
        assert_ne!(asked(), [0; 16]);
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
