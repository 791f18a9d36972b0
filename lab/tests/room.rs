//! The room on trial: every hand against the kernel's and the hardware's own view, with stock fence agents.
//!
//! Stories of one kind share a room, one after the other; each has to undo what it did, and the room is looked over before the
//! next. A story that fails takes its room with it. `make lab-test` runs all of this; see docs/lab.md.

#[path = "stories/mod.rs"]
mod stories;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use quorate_lab::description::Description;
use quorate_lab::request::{BmcMood, HostState};
use quorate_lab::{Progress, Room, Rooms};

use crate::stories::{STORIES, Set, Stage, Story};

fn main() -> ExitCode {
    let wish = Wish::from_environment();
    let mut chosen: Vec<&Story> = STORIES.iter().filter(|story| wish.wants(story)).collect();
    if wish.list_only {
        for story in chosen {
            println!("{}: test", story.name);
        }
        return ExitCode::SUCCESS;
    }
    if std::env::var_os("QUORATE_LAB").is_none() {
        println!(
            "skipped {} stories of the lab: they need root and QEMU; `make lab-test` runs them",
            chosen.len()
        );
        return ExitCode::SUCCESS;
    }
    if let Err(error) = quorate_lab::check_prerequisites_of_stories() {
        if wish.set == Set::Smoke {
            println!("skipped {} stories of the lab: {error}", chosen.len());
            return ExitCode::SUCCESS;
        }
        eprintln!("the lab cannot run here: {error}");
        return ExitCode::FAILURE;
    }
    let skipped = skip_without_packages(&mut chosen);
    let begun = Instant::now();
    let mut passes = Passes::load(wish.repeat);
    let mut failed = Vec::new();
    for round in 1..=wish.repeat {
        let due: Vec<&Story> = chosen
            .iter()
            .copied()
            .filter(|story| !passes.has(story, round))
            .collect();
        for stage in [Stage::TwoHosts, Stage::Alone, Stage::Packages] {
            let stories: Vec<&Story> = due
                .iter()
                .copied()
                .filter(|story| story.stage == stage)
                .collect();
            failed.extend(play(&stories, stage, round, &mut passes));
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "\nlab result: {} stories, {} rounds, {} failed, {skipped} skipped, {seconds:.0} s",
        chosen.len(),
        wish.repeat,
        failed.len()
    );
    for name in &failed {
        println!("    failed: {name}");
    }
    if failed.is_empty() {
        passes.forget();
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Takes out what needs packages where none are built, and says how many that were.
fn skip_without_packages(chosen: &mut Vec<&Story>) -> usize {
    if stories::packages::built().is_some() {
        return 0;
    }
    let all = chosen.len();
    chosen.retain(|story| story.stage != Stage::Packages);
    let skipped = all - chosen.len();
    if skipped > 0 {
        println!(
            "skipped {skipped} stories of the lab: they need Quorate's packages; `make packages` builds them, or QUORATE_LAB_PACKAGES names their directory"
        );
    }
    skipped
}

/// What to run.
struct Wish {
    words: Vec<String>,
    set: Set,
    repeat: u32,
    list_only: bool,
}

impl Wish {
    fn from_environment() -> Wish {
        let is_one = |variable| std::env::var(variable).is_ok_and(|value| value == "1");
        let number = |text: Option<String>| text.and_then(|text| text.parse().ok());
        let mut wish = Wish {
            words: Vec::new(),
            set: match (is_one("SMOKE"), is_one("QUICK")) {
                (true, _) => Set::Smoke,
                (false, true) => Set::Quick,
                (false, false) => Set::All,
            },
            repeat: number(std::env::var("REPEAT").ok()).unwrap_or(1),
            list_only: false,
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--list" => wish.list_only = true,
                "--quick" => wish.set = Set::Quick,
                "--repeat" => wish.repeat = number(arguments.next()).unwrap_or(wish.repeat),
                // cargo's own, which mean nothing here
                option if option.starts_with('-') => {}
                word => wish.words.push(word.to_owned()),
            }
        }
        wish
    }

    fn wants(&self, story: &Story) -> bool {
        let named = self.words.is_empty()
            || self
                .words
                .iter()
                .any(|word| story.name.contains(word.as_str()));
        named && story.set <= self.set
    }
}

/// Which stories have passed in which round, kept until all have: a run that was broken off goes on there.
struct Passes {
    file: PathBuf,
    lines: BTreeSet<String>,
    kept: bool,
}

impl Passes {
    fn load(repeat: u32) -> Passes {
        let file = Rooms::from_environment()
            .timelines()
            .with_file_name("passes");
        let kept = repeat > 1;
        let text = if kept {
            std::fs::read_to_string(&file).unwrap_or_default()
        } else {
            String::new()
        };
        if !text.is_empty() {
            println!(
                "{} passes of earlier runs count; remove {} to begin anew",
                text.lines().count(),
                file.display()
            );
        }
        Passes {
            file,
            lines: text.lines().map(str::to_owned).collect(),
            kept,
        }
    }

    fn has(&self, story: &Story, round: u32) -> bool {
        self.lines.contains(&format!("{round} {}", story.name))
    }

    fn add(&mut self, story: &Story, round: u32) {
        self.lines.insert(format!("{round} {}", story.name));
        if self.kept {
            let text: String = self.lines.iter().map(|line| format!("{line}\n")).collect();
            let directory = self.file.parent().expect("a file lies in a directory");
            std::fs::create_dir_all(directory).expect("the directory of passes can be made");
            std::fs::write(&self.file, text).expect("the file of passes can be written");
        }
    }

    fn forget(&self) {
        if self.kept {
            // It is not there when every story had passed before.
            let _ = std::fs::remove_file(&self.file);
        }
    }
}

/// Plays stories in one room, and returns the names of those that failed.
fn play(stories: &[&Story], stage: Stage, round: u32, passes: &mut Passes) -> Vec<&'static str> {
    let mut room = None;
    let mut failed = Vec::new();
    for story in stories {
        let begun = Instant::now();
        println!("{} …", story.name);
        let told = catch_unwind(AssertUnwindSafe(|| {
            // It is dropped while the panic unwinds, and prints its timeline.
            let stage_room = match (stage, room.take()) {
                (Stage::Alone | Stage::Packages, _) => None,
                (Stage::TwoHosts, Some(room)) => Some(room),
                (Stage::TwoHosts, None) => Some(two_hosts()),
            };
            if let Some(room) = &stage_room {
                room.note(story.name).expect("the room answers");
            }
            (story.tell)(stage_room.as_ref());
            if let Some(room) = &stage_room {
                assert_as_new(room);
            }
            stage_room
        }));
        let seconds = begun.elapsed().as_secs_f64();
        match told {
            Ok(kept) => {
                room = kept;
                passes.add(story, round);
                println!("{} … ok ({seconds:.1} s)", story.name);
            }
            Err(_) => {
                failed.push(story.name);
                println!("{} … FAILED ({seconds:.1} s)", story.name);
            }
        }
    }
    failed
}

fn two_hosts() -> Room {
    let name = format!("trial-{}", std::process::id());
    let description = Description {
        data_disks_mib: vec![64, 64],
        ..Description::named(&name).hosts(2)
    };
    let progress = Progress::aloud();
    let room = Room::start(&description, &progress).expect("a room with two hosts");
    println!("    a room was ready after {:.1} s", progress.seconds());
    room
}

/// Every hand has been undone.
fn assert_as_new(room: &Room) {
    let looked_over = room.eventually("everything is undone", Duration::from_secs(600), |room| {
        let status = room.status().map_err(|error| error.to_string())?;
        let good = status.switches == [true; 2]
            && status.pdus == [true; 2]
            && status.hosts.iter().all(|host| {
                host.state == HostState::Up
                    && !host.frozen
                    && host.feeds == [true; 2]
                    && host.bmc == BmcMood::Honest
                    && host.bad_cables.is_empty()
                    && host.bad_disks.is_empty()
            });
        if good {
            Ok(())
        } else {
            Err(format!("{status:?}"))
        }
    });
    looked_over.expect("a story undoes what it did");
}
