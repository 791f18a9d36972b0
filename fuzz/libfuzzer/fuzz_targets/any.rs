//! All targets behind one libFuzzer binary.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use quorate_fuzz::{TARGETS, Target};

static CHOSEN: LazyLock<Option<&'static Target>> = LazyLock::new(|| {
    let name = std::env::var("QUORATE_FUZZ_TARGET").ok()?;
    let found = TARGETS.iter().find(|target| target.name == name);
    Some(found.expect("QUORATE_FUZZ_TARGET names a target"))
});

fuzz_target!(|data: &[u8]| {
    match (*CHOSEN, data.split_first()) {
        (Some(target), _) => (target.run)(data),
        (None, Some((choice, rest))) => (TARGETS[usize::from(*choice) % TARGETS.len()].run)(rest),
        (None, None) => {}
    }
});
