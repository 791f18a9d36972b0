//! Scripts of commands and faults, each with what then happens below every line.

use super::same_or_written;
use super::world::World;
use std::path::{Path, PathBuf};

fn scripts() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    let entries = std::fs::read_dir(folder).expect("the scripts");
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("a file").path())
        .filter(|path| path.extension().is_some_and(|it| it == "txt"))
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "no script was found");
    paths
}

#[test]
fn every_script_goes_as_written() {
    for path in scripts() {
        println!("{}", path.display());
        let script = std::fs::read_to_string(&path).expect("text");
        let mut world = World::new();
        let mut played = String::new();
        for line in script
            .lines()
            .filter(|line| line.is_empty() || line.starts_with(['#', '>']))
        {
            played.push_str(&format!("{line}\n"));
            if let Some(command) = line.strip_prefix('>') {
                world.command(command);
            }
            for said in world.transcript.drain(..) {
                played.push_str(&format!("{said}\n"));
            }
        }
        same_or_written(&path, &script, &played);
    }
}

/// The table beside the scripts names, for each row of the failure tests, the scripts that play it.
#[test]
fn the_table_of_failures_names_scripts_that_exist_and_every_script_is_in_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    let table = std::fs::read_to_string(folder.join("README.md")).expect("the table");
    let named: Vec<&str> = table
        .split('`')
        .filter(|word| word.ends_with(".txt"))
        .collect();
    let tree = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for name in &named {
        let there = folder.join(name).exists() || tree.join(name).exists();
        assert!(there, "{name} does not exist");
    }
    for path in scripts() {
        let name = path.file_name().expect("a name").to_string_lossy();
        assert!(named.contains(&name.as_ref()), "{name} is not in the table");
    }
    for row in [
        "F1", "F2", "N1", "N3", "N7", "N8", "S1", "M1", "M2", "M3", "V1", "C1", "O1", "Q1", "D1",
        "B1", "X1", "X2",
    ] {
        let mut lines = table.lines();
        let line = lines.find(|line| line.starts_with(&format!("| {row}")));
        let line = line.unwrap_or_else(|| panic!("row {row} is missing"));
        let places: Vec<&str> = line.split('`').skip(1).step_by(2).collect();
        assert!(!places.is_empty(), "row {row} is played nowhere");
        for place in places {
            let there = folder.join(place).exists() || tree.join(place).exists();
            assert!(there, "row {row} names {place}, which does not exist");
        }
    }
}
