//! How tests run the simulation.

use std::path::{Path, PathBuf};

/// The program under test.
pub(crate) fn program() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_quorate-sim"))
}

/// Whether there is time for many seeds: an unoptimised simulation takes ten times as long.
pub(crate) fn is_optimised() -> bool {
    let profile = program();
    let profile = profile.parent().and_then(Path::file_name);
    let optimised = profile.is_some_and(|profile| profile != "debug");
    if !optimised {
        println!("skipped: takes too long unoptimised; cargo test --profile sim -p quorate-sim");
    }
    optimised
}
