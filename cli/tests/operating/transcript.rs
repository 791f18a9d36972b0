//! A transcript: lines that begin with `$` are typed, the lines below each are what the screen then shows.
//!
//! `$ quorate …` runs the command line, `$ room …` does something to a machine, `$ until TEXT in quorate …` waits until
//! a command prints something and shows nothing. Lines of standard error begin with `! `, and a code that is not 0 ends
//! what was said. Numbers that differ from run to run are shown as N, and on lines with such numbers columns are one space
//! apart. Of how far something is only the end is kept: which steps are seen on the way depends on the machine.

use std::path::Path;

use crate::site::{Said, Site};

/// Plays a script and compares what happens with what is written.
pub(crate) fn play(name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/operating/transcripts")
        .join(format!("{name}.txt"));
    let written = std::fs::read_to_string(&path).expect("the transcript");
    let site = Site::with_hosts();
    let mut played = String::new();
    let mut after_comment = true;
    let script = written
        .lines()
        .filter(|line| line.starts_with('#') || line.starts_with("$ "));
    for line in script {
        if !after_comment && !line.starts_with("$ until ") {
            played.push('\n');
        }
        after_comment = line.starts_with('#');
        played.push_str(line);
        played.push('\n');
        if let Some(typed) = line.strip_prefix("$ ") {
            played.push_str(&said(&site, typed));
        }
    }
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        std::fs::write(&path, played).expect("written");
    } else {
        assert_eq!(
            written,
            played,
            "{}: run with UPDATE_GENERATED=1",
            path.display()
        );
    }
}

fn said(site: &Site, typed: &str) -> String {
    if let Some((text, command)) = typed
        .strip_prefix("until ")
        .and_then(|rest| rest.split_once(" in quorate "))
    {
        let words = words(command);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        site.until(typed, || site.quorate(&words).out.contains(text));
        return String::new();
    }
    let words = words(typed);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let said = match words.split_first() {
        Some((&"quorate", words)) => site.quorate(words),
        Some((&"room", words)) => site.room(words),
        _ => panic!("no such command: {typed:?}"),
    };
    shown(&said)
}

/// Words as a shell sees them, as far as double quotes go.
fn words(line: &str) -> Vec<String> {
    let quoted = line.split('"').enumerate();
    quoted
        .flat_map(|(at, part)| match at % 2 {
            0 => part.split_whitespace().map(str::to_owned).collect(),
            _ => vec![part.to_owned()],
        })
        .collect()
}

fn shown(said: &Said) -> String {
    let mut text = String::new();
    for line in said.out.lines() {
        text.push_str(&format!("{}\n", timeless(line)));
    }
    // What went on meanwhile is told before the last word.
    for line in said.err.lines().filter(|line| is_last_word(line)) {
        text.push_str(&format!("! {}\n", timeless(line)));
    }
    if said.code != 0 {
        text.push_str(&format!("[exit code {}]\n", said.code));
    }
    text
}

fn is_last_word(line: &str) -> bool {
    ["error: ", "warning: ", "  "]
        .iter()
        .any(|start| line.starts_with(start))
}

/// The line with N for ages and for the numbers of requests.
fn timeless(line: &str) -> String {
    let mut out = String::new();
    let mut changed = false;
    for word in line.split(' ') {
        let plain = word.trim_end_matches([',', ':', ';', ')', '`']);
        let rest = &word[plain.len()..];
        let shown = match request(plain) {
            Some(shown) => shown,
            None if is_age(plain) => "N".to_owned(),
            None => plain.to_owned(),
        };
        changed |= shown != plain;
        out.push_str(&shown);
        out.push_str(rest);
        out.push(' ');
    }
    let out = out.trim_end();
    match changed && !line.starts_with(' ') {
        true => out.split_whitespace().collect::<Vec<_>>().join(" "),
        false => out.to_owned(),
    }
}

/// `web-1795271392023`, a request's name, which no other has.
fn request(word: &str) -> Option<String> {
    let (about, number) = word.rsplit_once('-')?;
    let is_moment = number.len() == 13 && number.chars().all(|digit| digit.is_ascii_digit());
    is_moment.then(|| format!("{about}-N"))
}

/// `3s`, `2m10s`.
fn is_age(word: &str) -> bool {
    word.starts_with(|first: char| first.is_ascii_digit())
        && word.ends_with(['s', 'm', 'h'])
        && word
            .chars()
            .all(|next| next.is_ascii_digit() || matches!(next, 's' | 'm' | 'h'))
}
