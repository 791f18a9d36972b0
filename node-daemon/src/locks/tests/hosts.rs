//! Some hosts, many seeds: whatever is lost, late or doubled, and whoever ends and begins.

use super::world::{Mistake, World, wish};
use crate::locks::{Answer, Mode, Question, Wish};

fn some_wish(world: &mut World) -> Wish {
    let dice = &mut world.dice;
    let file = 1 + dice.below(2) as u64;
    let token = 1 + dice.below(3) as u64;
    let (one, other) = (dice.below(8) as u64, dice.below(8) as u64);
    let mode = match dice.below(2) {
        0 => Mode::Shared,
        _ => Mode::Exclusive,
    };
    wish(file, token, one.min(other), one.max(other), mode)
}

fn some_question(world: &mut World, node: u32) -> Question {
    let wish = some_wish(world);
    let Wish { file, token, part } = wish;
    match world.dice.below(16) {
        0..5 => Question::Lock { wish, wait: true },
        5..8 => Question::Lock { wish, wait: false },
        8..12 => Question::Unlock {
            file,
            token,
            range: part.range,
            pid: part.pid,
        },
        12 => Question::Get { wish },
        13 => Question::Close { file, token },
        _ => {
            // What waits, or else something that does not.
            let open = world.open(node);
            let waiting: Vec<Wish> = open
                .iter()
                .filter_map(|(_, question)| match question {
                    Question::Lock { wish, wait: true } => Some(*wish),
                    _ => None,
                })
                .collect();
            let wish = world.dice.any(&waiting).unwrap_or(wish);
            Question::Cancel { wish }
        }
    }
}

/// One run. Returns what it found, and how many locks were granted.
fn run(seed: u64, mistake: Option<Mistake>) -> (Option<String>, usize) {
    let mut world = World::new(seed, 2 + u32::try_from(seed % 3).expect("small"), mistake);
    for _ in 0..300 {
        let hosts = world.hosts();
        let Some(node) = world.dice.any(&hosts) else {
            break;
        };
        match world.dice.below(40) {
            0..12 => {
                let question = some_question(&mut world, node);
                world.ask(node, question);
            }
            12..30 => {
                world.deliver(true);
            }
            30..32 => world.tick(node),
            32 => world.kill(node),
            33 => {
                let question = some_question(&mut world, node);
                world.ask_and_kill(node, question);
            }
            34..36 => world.begin(node),
            36 => world.give_up(node),
            37 if world.dice.one_in(3) => world.change_members(),
            37 if world.dice.one_in(8)
                && hosts.iter().filter(|it| !world.is_lost(**it)).count() > 1 =>
            {
                world.lose(node);
                world.change_members();
            }
            37 if world.is_fenced(node) => world.boot(node),
            _ => world.go_on_changing(),
        }
        if world.breach.is_some() {
            break;
        }
    }
    world.calm_down();
    world.judge_calm();
    end_all(&mut world);
    (world.breach.take(), world.grants)
}

/// Everybody lets go of everything and waits for nothing. Then each host in turn can have it all.
fn end_all(world: &mut World) {
    for node in world.hosts() {
        for (_, question) in world.open(node) {
            if let Question::Lock { wish, wait: true } = question {
                world.ask(node, Question::Cancel { wish });
            }
        }
        for (file, token) in (1..3).flat_map(|file| (1..4).map(move |token| (file, token))) {
            world.ask(node, Question::Close { file, token });
        }
    }
    world.calm_down();
    for node in world.hosts() {
        if world.is_lost(node) {
            continue;
        }
        for file in 1..3 {
            let all = wish(file, 1, 0, 7, Mode::Exclusive);
            world.ask(
                node,
                Question::Lock {
                    wish: all,
                    wait: false,
                },
            );
            world.calm_down();
            if world.last_answer(node) != Some(Answer::Done) {
                world.found(format!("{node} cannot have file {file}, which nobody has"));
            }
            world.ask(node, Question::Close { file, token: 1 });
        }
        world.calm_down();
    }
}

fn seeds() -> u64 {
    let asked = std::env::var("QUORATE_LOCK_SEEDS").ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(300)
}

#[test]
fn no_two_hosts_ever_hold_what_is_in_each_other_s_way_and_whoever_waits_is_served() {
    let mut grants = 0;
    for seed in 0..seeds() {
        let (breach, granted) = run(seed, None);
        assert_eq!(breach, None, "seed {seed}");
        grants += granted;
    }
    assert!(grants > 1_000, "only {grants} locks were granted");
}

/// Some seed shows it, and shows what it leads to.
fn is_found(mistake: Mistake, by: &str) {
    let shows = |seed| {
        run(seed, Some(mistake))
            .0
            .is_some_and(|found| found.contains(by))
    };
    assert!((0..600).any(shows), "{mistake:?} is not found");
}

const BOTH_HOLD: &str = "is given";
const STAYS_LOCKED: &str = "is refused, and nothing is in its way";

#[test]
fn a_daemon_that_forgets_its_notes_is_found() {
    is_found(Mistake::ForgetsNotes, BOTH_HOLD);
}

#[test]
fn a_lock_that_is_told_before_it_is_noted_is_found() {
    is_found(Mistake::NotesLate, BOTH_HOLD);
}

#[test]
fn a_generation_that_does_not_wait_for_the_fence_is_found() {
    is_found(Mistake::NoFence, BOTH_HOLD);
}

#[test]
fn an_arbiter_that_does_not_hear_every_member_first_is_found() {
    is_found(Mistake::SpeaksForOthers, BOTH_HOLD);
}

#[test]
fn an_offer_that_is_never_withdrawn_is_found() {
    is_found(Mistake::LosesOver, STAYS_LOCKED);
}
