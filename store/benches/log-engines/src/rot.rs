//! What an engine does when one bit of an acknowledged entry is not what it was.

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::engines::{self, Engine};

const ENTRIES: u64 = 1000;

/// Prints what each engine does about a flipped bit in the middle, and in the last entry.
pub fn table(root: &Path) {
    // Engines that panic say enough in the table.
    std::panic::set_hook(Box::new(|_| {}));
    println!("| engine | bit flipped in entry 500 of 1000 | in the last entry |");
    println!("|---|---|---|");
    for (name, open) in engines::all() {
        let middle = outcome(root, open, ENTRIES / 2);
        let last = outcome(root, open, ENTRIES - 1);
        println!("| {name} | {middle} | {last} |");
    }
}

fn payload(index: u64) -> Vec<u8> {
    format!("<entry {index:08}>").repeat(8).into_bytes()
}

fn outcome(root: &Path, open: fn(&Path) -> Arc<dyn Engine>, victim: u64) -> String {
    let directory = tempfile::tempdir_in(root).expect("the directory is writable");
    let engine = open(directory.path());
    for index in 0..ENTRIES {
        engine.commit(0, &payload(index));
    }
    drop(engine);
    let flipped = flip(directory.path(), &payload(victim));
    assert!(flipped > 0, "the entry is somewhere in the files");

    let opened = catch_unwind(AssertUnwindSafe(|| open(directory.path())));
    let Ok(engine) = opened else {
        return "refuses to open".to_owned();
    };
    let read = |index| {
        let read = catch_unwind(AssertUnwindSafe(|| engine.read(index)));
        read.unwrap_or_else(|_| Err("panics".to_owned()))
    };
    let mut missing = 0;
    let mut wrong = 0;
    let mut refused = 0;
    for index in 0..ENTRIES {
        match read(index) {
            Ok(Some(found)) if found == payload(index) => {}
            Ok(Some(_)) => wrong += 1,
            Ok(None) => missing += 1,
            Err(_) => refused += 1,
        }
    }
    match (missing, wrong, refused) {
        (0, 0, 0) => "opens, everything is there".to_owned(),
        _ => {
            format!("opens; of 1000, {missing} are gone, {wrong} wrong, {refused} reported damaged")
        }
    }
}

/// Inverts one bit in the last place where these bytes lie in any file; returns in how many files they do.
fn flip(directory: &Path, wanted: &[u8]) -> usize {
    let mut files = Vec::new();
    collect(directory, &mut files);
    let mut flipped = 0;
    for file in files {
        let mut bytes = fs::read(&file).expect("readable");
        let place = bytes
            .windows(wanted.len())
            .rposition(|window| window == wanted);
        if let Some(place) = place {
            bytes[place + wanted.len() / 2] ^= 1;
            fs::write(&file, bytes).expect("writable");
            flipped += 1;
        }
    }
    flipped
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push(path);
        }
    }
}
