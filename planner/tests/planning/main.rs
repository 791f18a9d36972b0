//! The planner against a small cluster that obeys it: scripts that go as written, and rules that hold
//! whatever happens.

mod book;
mod dice;
mod mistakes;
mod properties;
mod reserve;
mod resync;
mod scripts;
mod turns;
mod ways;
mod world;

use std::path::Path;

/// `UPDATE_GENERATED=1` writes transcripts and pages anew.
fn same_or_written(path: &Path, written: &str, now: &str) {
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        std::fs::write(path, now).expect("written");
    } else {
        assert_eq!(
            written,
            now,
            "{}: run with UPDATE_GENERATED=1",
            path.display()
        );
    }
}
