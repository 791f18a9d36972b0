//! The room on trial: every hand against the kernel's and the hardware's own view, with stock fence agents.
//!
//! Stories of one kind share a room, one after the other and round after round; each has to undo what it did, and the room is looked
//! over before the next. A story that fails takes its room with it. `make lab-test` runs all of this; see docs/lab.md.

#[path = "stories/mod.rs"]
mod stories;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use quorate_lab::cluster::Packages;
use quorate_lab::description::Description;
use quorate_lab::request::{BmcMood, HostState};
use quorate_lab::{LabError, Passes, Progress, Room, Rooms, explain};

use crate::stories::{FAILING, FAILING_VARIABLE, STORIES, Set, Stage, Story};

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(complaint) => {
            eprintln!("the lab cannot run here: {complaint}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode, String> {
    let asked = std::env::var_os("QUORATE_LAB").is_some();
    let wish = match Wish::from_environment() {
        // Words for other tests of the same run are none for the room.
        Err(_) if !asked => Wish::default(),
        wish => wish?,
    };
    let all = if std::env::var_os(FAILING_VARIABLE).is_some() {
        FAILING
    } else {
        STORIES
    };
    let chosen: Vec<&Story> = all.iter().filter(|story| wish.wants(story)).collect();
    if wish.list_only {
        for story in chosen {
            println!("{}: test", story.name);
        }
        return Ok(ExitCode::SUCCESS);
    }
    if !asked {
        println!(
            "skipped {} stories of the lab: they need root and QEMU; `make lab-test` runs them",
            chosen.len()
        );
        return Ok(ExitCode::SUCCESS);
    }
    if chosen.is_empty() {
        return Err(format!(
            "no story has {} in its name",
            wish.words.join(" or ")
        ));
    }
    if let Err(error) = quorate_lab::check_prerequisites_of_stories() {
        if wish.set == Set::Smoke {
            println!("skipped {} stories of the lab: {error}", chosen.len());
            return Ok(ExitCode::SUCCESS);
        }
        return Err(error.to_string());
    }
    let of_packages = |story: &&Story| matches!(story.stage, Stage::Packages | Stage::Pair);
    if chosen.iter().any(of_packages) && stories::packages::built().is_none() {
        return Err(
            "stories need Quorate's packages; `PROFILE=sim make packages` builds them, or QUORATE_LAB_PACKAGES names their directory"
                .to_owned(),
        );
    }
    tell(&wish, &chosen).map_err(|error| explain(&error))
}

fn tell(wish: &Wish, chosen: &[&Story]) -> Result<ExitCode, LabError> {
    let begun = Instant::now();
    let mut passes = accumulated(wish)?;
    let mut failed = Vec::new();
    for stage in [Stage::TwoHosts, Stage::Alone, Stage::Packages, Stage::Pair] {
        // A cluster that has been through a round is what the next one finds.
        let mut room = None;
        for round in 1..=wish.repeat {
            let due = |story: &&Story| {
                let passed = |passes: &Passes| passes.has(story.name, round);
                story.stage == stage && !passes.as_ref().is_some_and(passed)
            };
            let stories: Vec<&Story> = chosen.iter().copied().filter(due).collect();
            failed.extend(play(&stories, stage, round, &mut room, &mut passes)?);
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "\nlab result: {} stories, {} rounds, {} failed, {seconds:.0} s",
        chosen.len(),
        wish.repeat,
        failed.len()
    );
    for name in &failed {
        println!("    failed: {name}");
    }
    let ever = passes.as_ref().map(Passes::failures).unwrap_or_default();
    for failure in &ever {
        println!("    of all runs of this build, failed: {failure}");
    }
    if !failed.is_empty() || !ever.is_empty() {
        return Ok(ExitCode::FAILURE);
    }
    passes.map_or(Ok(()), Passes::forget)?;
    Ok(ExitCode::SUCCESS)
}

/// The verdicts of earlier runs of this build, where rounds are accumulated.
fn accumulated(wish: &Wish) -> Result<Option<Passes>, LabError> {
    if wish.repeat == 1 {
        return Ok(None);
    }
    let own = std::env::current_exe().expect("this program has a path");
    let lab = PathBuf::from(env!("CARGO_BIN_EXE_quorate-lab"));
    let mut build = vec![own, lab.with_file_name("quorate-lab-agent"), lab];
    if let Some(directory) = stories::packages::built() {
        build.extend_from_slice(Packages::find(&directory)?.files());
    }
    let file = Rooms::from_environment()
        .timelines()
        .with_file_name("passes");
    let passes = Passes::load(&file, &build)?;
    if passes.count() > 0 {
        println!(
            "{} verdicts of earlier runs of this build count; remove {} to begin anew",
            passes.count(),
            file.display()
        );
    }
    Ok(Some(passes))
}

/// What to run.
pub(crate) struct Wish {
    words: Vec<String>,
    pub(crate) set: Set,
    repeat: u32,
    list_only: bool,
}

impl Default for Wish {
    fn default() -> Wish {
        Wish {
            words: Vec::new(),
            set: Set::All,
            repeat: 1,
            list_only: false,
        }
    }
}

/// What cargo or a person gives every test program, and means nothing here.
const MEANINGLESS: [&str; 5] = [
    "--nocapture",
    "--no-capture",
    "--show-output",
    "--quiet",
    "-q",
];

impl Wish {
    pub(crate) fn from_environment() -> Result<Wish, String> {
        let is_one = |variable| std::env::var(variable).is_ok_and(|value| value == "1");
        let number = |text: String| {
            let number = text.parse().ok().filter(|number| *number > 0);
            number.ok_or_else(|| format!("{text:?} is not a number of rounds"))
        };
        let mut wish = Wish {
            set: match (is_one("SMOKE"), is_one("QUICK")) {
                (true, _) => Set::Smoke,
                (false, true) => Set::Quick,
                (false, false) => Set::All,
            },
            repeat: std::env::var("REPEAT").map_or(Ok(1), number)?,
            ..Wish::default()
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--list" => wish.list_only = true,
                "--quick" => wish.set = Set::Quick,
                "--repeat" => wish.repeat = number(arguments.next().unwrap_or_default())?,
                option if MEANINGLESS.contains(&option) => {}
                option if option.starts_with('-') => {
                    return Err(format!("there is no option {option}"));
                }
                word => wish.words.push(word.to_owned()),
            }
        }
        Ok(wish)
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

/// Plays stories in the room that there is, or in a new one, and returns the names of those that failed.
fn play(
    stories: &[&Story],
    stage: Stage,
    round: u32,
    room: &mut Option<Room>,
    passes: &mut Option<Passes>,
) -> Result<Vec<&'static str>, LabError> {
    let mut failed = Vec::new();
    for story in stories {
        let begun = Instant::now();
        println!("{} …", story.name);
        let told = catch_unwind(AssertUnwindSafe(|| {
            // It is dropped while the panic unwinds, and prints its timeline.
            let stage_room = match (stage, room.take()) {
                (Stage::Alone | Stage::Packages, _) => None,
                (Stage::TwoHosts | Stage::Pair, Some(room)) => Some(room),
                (Stage::TwoHosts, None) => Some(two_hosts()),
                (Stage::Pair, None) => Some(stories::pair::room()),
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
        if let Some(passes) = passes {
            passes.add(story.name, round, told.is_ok())?;
        }
        match told {
            Ok(kept) => {
                *room = kept;
                println!("{} … ok ({seconds:.1} s)", story.name);
            }
            Err(_) => {
                failed.push(story.name);
                println!("{} … FAILED ({seconds:.1} s)", story.name);
            }
        }
    }
    Ok(failed)
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
        if !good {
            return Err(format!("{status:?}"));
        }
        for number in [1, 2] {
            let left = room.host(number).not_undone();
            let left = left.map_err(|error| explain(&error))?;
            if !left.is_empty() {
                return Err(format!("node{number}: {}", left.join(", ")));
            }
        }
        Ok(())
    });
    looked_over.expect("a story undoes what it did");
}
