//! Every target survives random bytes and mutations of well-formed input.
//!
//! `QUORATE_FUZZ_RUNS` raises the number of inputs per target, `QUORATE_FUZZ_TARGET` chooses one. A failure prints the target and the input.

use std::panic::{AssertUnwindSafe, catch_unwind};

use quorate_fuzz::TARGETS;

/// A small generator whose whole state is one seed, so that a failure is repeated by its number.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

fn mutate(random: &mut Random, seeds: &[&[u8]]) -> Vec<u8> {
    let mut input = if seeds.is_empty() || random.below(8) == 0 {
        (0..random.below(200))
            .map(|_| random.next() as u8)
            .collect()
    } else {
        seeds[random.below(seeds.len())].to_vec()
    };
    for _ in 0..random.below(6) {
        let at = random.below(input.len());
        match random.below(5) {
            0 if !input.is_empty() => input[at] = random.next() as u8,
            1 => input.insert(at, b"{}[]:&*!|>-,\"'\\ \n\t\0\xff09aZ"[random.below(24)]),
            2 if !input.is_empty() => input.truncate(at),
            3 if !input.is_empty() => {
                let end = at + random.below(input.len() - at);
                let piece = input[at..end].to_vec();
                let to = random.below(input.len());
                input.splice(to..to, piece);
            }
            _ => {
                let end = (at + random.below(8)).min(input.len());
                input.drain(at..end);
            }
        }
    }
    input
}

#[test]
fn every_target_survives_random_and_mutated_input() {
    let runs: u64 = match std::env::var("QUORATE_FUZZ_RUNS") {
        Ok(text) => text.parse().expect("QUORATE_FUZZ_RUNS is a number"),
        Err(_) => 200,
    };
    let chosen = std::env::var("QUORATE_FUZZ_TARGET").ok();
    let chosen: Vec<_> = TARGETS
        .iter()
        .filter(|target| chosen.as_ref().is_none_or(|chosen| target.name == chosen))
        .collect();
    assert!(!chosen.is_empty(), "QUORATE_FUZZ_TARGET names a target");
    for target in chosen {
        for seed in target.seeds {
            (target.run)(seed);
        }
        for run in 0..runs * target.weight {
            let input = mutate(&mut Random(run), target.seeds);
            let outcome = catch_unwind(AssertUnwindSafe(|| (target.run)(&input)));
            assert!(
                outcome.is_ok(),
                "target {} fails on run {run}: {:?}",
                target.name,
                String::from_utf8_lossy(&input)
            );
        }
    }
}
