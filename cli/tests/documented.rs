//! Every command that the documentation, the reasons and the messages of this repository tell people to type exists, with every
//! option that is named: whoever is called at night types what is written there.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Where people read what to type.
const PLACES: [&str; 4] = ["README.md", "docs", "deploy", "planner/src/reasons.rs"];
/// Pages that tell of what is yet to come, or of what has been.
const NOT_INSTRUCTIONS: [&str; 1] = ["docs/adr"];

#[test]
fn what_people_are_told_to_type_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut helps = BTreeMap::new();
    let mut wrong = Vec::new();
    let mut seen = 0;
    for file in PLACES.iter().flat_map(|place| files(&root.join(place))) {
        let shown = file.strip_prefix(&root).expect("inside").to_owned();
        if NOT_INSTRUCTIONS.iter().any(|not| shown.starts_with(not)) {
            continue;
        }
        let text = fs::read_to_string(&file).expect("text");
        for typed in text.lines().flat_map(commands) {
            seen += 1;
            if let Err(why) = possible(&typed, &mut helps) {
                wrong.push(format!("{}: `{typed}`: {why}", shown.display()));
            }
        }
    }
    assert!(seen > 100, "only {seen} commands were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The files of a place that people read.
fn files(place: &Path) -> Vec<PathBuf> {
    if place.is_file() {
        return vec![place.to_owned()];
    }
    let entries =
        fs::read_dir(place).unwrap_or_else(|error| panic!("{}: {error}", place.display()));
    let mut found: Vec<PathBuf> = entries
        .flat_map(|entry| {
            let path = entry.expect("an entry").path();
            match path.extension() {
                _ if path.is_dir() => files(&path),
                Some(ending) if ending == "md" || ending == "yaml" => vec![path],
                _ => Vec::new(),
            }
        })
        .collect();
    found.sort();
    found
}

/// What is to be typed according to a line: in backquotes, or as a line of its own.
fn commands(line: &str) -> Vec<String> {
    let line = line.trim_start_matches(['#', ' ', '$']);
    let quoted = line.split('`').skip(1).step_by(2);
    // A table's row has wide gaps.
    let whole = (line.starts_with("quorate ") && !line.starts_with("quorate  ")).then_some(line);
    quoted
        .chain(whole)
        .filter(|typed| typed.starts_with("quorate "))
        .map(|typed| {
            let end = typed
                .find(" # ")
                .or(typed.find(" | "))
                .unwrap_or(typed.len());
            typed[..end].trim_end().to_owned()
        })
        .collect()
}

/// Whether the program has the command and its options.
fn possible(typed: &str, helps: &mut BTreeMap<Vec<String>, Option<String>>) -> Result<(), String> {
    let words: Vec<&str> = typed.split_whitespace().skip(1).collect();
    let path: Vec<String> = words
        .iter()
        .take(3)
        .take_while(|word| word.chars().all(|c| c.is_ascii_lowercase() || c == '-'))
        .take_while(|word| !word.starts_with('-'))
        .map(|word| (*word).to_owned())
        .collect();
    let help = helps
        .entry(path)
        .or_insert_with_key(|path| help(path))
        .as_ref()
        .ok_or("there is no such command")?;
    for option in words.iter().filter(|word| word.starts_with("--")) {
        let name: String = option
            .chars()
            .take_while(|c| c.is_ascii_alphanumeric() || *c == '-')
            .collect();
        // A host's own name is a part of it.
        let known = help.contains(&name) || name.starts_with("--i-verified-");
        if name.len() > 2 && !known {
            return Err(format!("it has no option {name}"));
        }
    }
    Ok(())
}

fn help(path: &[String]) -> Option<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_quorate"))
        .args(path)
        .arg("--help")
        .output()
        .expect("it runs");
    output
        .status
        .success()
        .then(|| String::from_utf8(output.stdout).expect("text"))
}
