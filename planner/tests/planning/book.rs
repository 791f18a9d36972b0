//! The page that tells people what every reason means, kept complete by looking at the sources of all
//! that says one.

use super::same_or_written;
use quorate_planner::Reason;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What hosts say besides their troubles: word, meaning, advice.
const HOSTS: [(&str, &str, &str); 8] = [
    (
        "AsPlanned",
        "The host has made it so, and sees that it is.",
        "Nothing.",
    ),
    (
        "InProgress",
        "The host is at it, or waits for what the message names.",
        "Wait.",
    ),
    (
        "Outdated",
        "The host has nothing under way, and waits for the plan that follows from the present manifest.",
        "Wait.",
    ),
    (
        "Armed",
        "The watchdog resets the host when it is not fed.",
        "Nothing.",
    ),
    (
        "NoWatchdog",
        "The host has no watchdog that Quorate may use.",
        "Give it one (a hardware watchdog, or softdog where that is enough), or a fence level that needs none.",
    ),
    (
        "NotArmedYet",
        "The watchdog is armed once the host has a lease.",
        "Wait. When it lasts, look whether the host's heartbeats reach the leader.",
    ),
    (
        "NothingToProtect",
        "The watchdog is armed when the host carries protected work.",
        "Nothing.",
    ),
    (
        "HostStops",
        "The host is being shut down by a person, and asks to be emptied.",
        "Wait: guests are moved off it, then it leaves.",
    ),
];

/// Condition types that stand beside the reasons in the hosts' sources.
const TYPES: [&str; 5] = [
    "Converged",
    "Stalled",
    "WatchdogArmed",
    "ShuttingDown",
    "Ready",
];

/// The only places that make conditions of words of their own. Everything else names a `Reason`.
const MAKERS: [&str; 2] = [
    "node-daemon/src/daemon/facts.rs",
    "node-daemon/src/reconcile/answer.rs",
];

#[test]
fn the_book_lists_every_reason_with_what_to_do() {
    let mut page = String::from(
        "# Reasons\n\nEvery condition, and every event of the planner, carries one of these words. `quorate why` and \
         `quorate describe` show them with a message about the case at hand.\n\n## What the cluster decides\n\n",
    );
    let rows = Reason::ALL.iter();
    table(
        &mut page,
        rows.map(|it| (it.as_str(), it.meaning(), it.advice())),
    );
    page.push_str(
        "\n## What hosts say\n\nThe conditions `Converged` and `Stalled` of a plan's records (`quorate get nodeplans`), and \
         a host's own.\n\n",
    );
    let troubles = troubles();
    assert!(
        troubles.len() > 15,
        "the troubles of hosts were not understood"
    );
    let rows = troubles.iter();
    let rows =
        rows.map(|(word, meaning, advice)| (word.as_str(), meaning.as_str(), advice.as_str()));
    table(&mut page, HOSTS.into_iter().chain(rows));
    let path = root().join("docs/reasons.md");
    let written = fs::read_to_string(&path).unwrap_or_default();
    same_or_written(&path, &written, &page);
}

#[test]
fn nobody_says_a_reason_that_the_book_does_not_know() {
    let known: BTreeSet<&str> = HOSTS.iter().map(|row| row.0).collect();
    for maker in MAKERS {
        let said: BTreeSet<String> = words(&without_tests(&read(maker)));
        for word in said.iter().filter(|word| !TYPES.contains(&word.as_str())) {
            assert!(
                known.contains(word.as_str()),
                "{maker} says {word:?}: explain it here"
            );
        }
    }
    for folder in ["planner/src", "controller/src", "node-daemon/src"] {
        for path in sources(&root().join(folder)) {
            let name = path
                .strip_prefix(root())
                .expect("inside")
                .display()
                .to_string();
            let text = without_tests(&fs::read_to_string(&path).expect("text"));
            // The room of machines that do not exist plays what real hosts say, and so does a model of hosts.
            let plays = ["/simulated/", "/forecast/", "/model/"];
            let plays = plays.iter().any(|folder| name.contains(folder));
            let makes = text.contains("\"lastTransitionTime\":") || text.contains(" Condition {\n");
            let mut literal = text.split("reason: \"").skip(1);
            let literal = literal.any(|rest| rest.starts_with(|it: char| it.is_ascii_uppercase()));
            let typed = text.contains("Reason") && !literal;
            assert!(
                !makes || plays || typed || MAKERS.contains(&name.as_str()),
                "{name} makes conditions of words that nobody explains"
            );
        }
    }
}

fn table<'a>(page: &mut String, rows: impl Iterator<Item = (&'a str, &'a str, &'a str)>) {
    page.push_str("| reason | what it means | what to do |\n|---|---|---|\n");
    for (word, meaning, advice) in rows {
        page.push_str(&format!("| `{word}` | {meaning} | {advice} |\n"));
    }
}

/// The troubles of hosts, from the source: what each means stands above it, what to do beside it.
fn troubles() -> Vec<(String, String, String)> {
    let text = read("node-daemon/src/drivers/trouble.rs");
    let (_, list) = text.split_once("pub enum Trouble {").expect("the list");
    let (list, rest) = list.split_once("\n}").expect("its end");
    let (_, remedies) = rest.split_once("fn remedy(").expect("the remedies");
    let mut advice: BTreeMap<&str, &str> = BTreeMap::new();
    for part in remedies.split("Self::").skip(1) {
        let word = part.split(' ').next().unwrap_or_default();
        if let Some(text) = part.split('"').nth(1) {
            advice.insert(word, text);
        }
    }
    let mut meaning = String::new();
    let mut troubles = Vec::new();
    for line in list.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("///") {
            meaning.push_str(text);
        } else if let Some(word) = line.strip_suffix(',') {
            let advice = advice.get(word);
            let advice = advice.unwrap_or_else(|| panic!("nobody says what to do about {word}"));
            let told = (
                word.to_owned(),
                meaning.trim().to_owned(),
                (*advice).to_owned(),
            );
            troubles.push(told);
            meaning.clear();
        }
    }
    troubles
}

/// Literals that look like a reason.
fn words(text: &str) -> BTreeSet<String> {
    let literals = text.split('"').skip(1).step_by(2);
    let reason = |word: &&str| {
        let mut letters = word.chars();
        letters
            .next()
            .is_some_and(|first| first.is_ascii_uppercase())
            && word.len() > 2
            && letters.all(|letter| letter.is_ascii_alphabetic())
    };
    literals.filter(reason).map(str::to_owned).collect()
}

fn without_tests(text: &str) -> String {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    code.to_owned()
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        if path.is_dir() {
            found.extend(sources(&path));
        } else if name.is_some_and(|name| name.ends_with(".rs") && !name.contains("test")) {
            found.push(path);
        }
    }
    found
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).expect("a source")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
