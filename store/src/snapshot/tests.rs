use std::sync::Arc;

use bytes::Bytes;

use super::{Blocks, Loader, Snapshots};
use crate::{
    Bucket, HistoryLimits, Key, Transaction, Write,
    disk::sim::SimDisk,
    raft::log_id,
    state::{Command, Shared},
};

fn filled(values: usize) -> Arc<Shared> {
    let shared = Shared::new(HistoryLimits::default());
    let writes = (0..values)
        .map(|n| Write::Put {
            key: Key::new(Bucket::new("things"), format!("name-{n:05}")),
            value: Bytes::from(vec![7; 100]),
            expires_at_ms: None,
        })
        .collect();
    let transaction = Transaction {
        conditions: Vec::new(),
        writes,
    };
    shared.change(|state| {
        state.apply(1, 5, Command::Transactions(vec![transaction]));
        state.applied = Some(log_id(1, values as u64));
    });
    shared
}

fn bytes(shared: &Arc<Shared>) -> Vec<u8> {
    Blocks::new(shared).flatten().collect()
}

fn load(bytes: &[u8]) -> Result<(), String> {
    let mut loader = Loader::new();
    loader.push(bytes).map_err(|e| e.to_string())?;
    loader.finish().map(drop).map_err(|e| e.to_string())
}

#[test]
fn every_changed_bit_and_every_cut_is_noticed() {
    let whole = bytes(&filled(20));
    load(&whole).expect("it is whole");
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 1 << (at % 8);
        load(&changed).expect_err("a bit was changed");
        load(&whole[..at]).expect_err("it was cut");
    }
}

#[test]
fn a_lost_or_repeated_block_is_noticed() {
    let blocks: Vec<Bytes> = Blocks::new(&filled(1000)).collect();
    assert!(blocks.len() > 4, "there are several blocks");
    let lost: Vec<u8> = [&blocks[..2], &blocks[3..]].concat().concat();
    load(&lost).expect_err("a block is missing");
    let repeated: Vec<u8> = [&blocks[..3], &blocks[2..]].concat().concat();
    load(&repeated).expect_err("a block came twice");
}

#[test]
fn a_damaged_snapshot_is_set_aside_and_the_one_before_it_is_used() {
    let disk = SimDisk::new(1);
    let (snapshots, found) = Snapshots::recover(disk.mount()).expect("an empty directory");
    assert!(found.is_none());
    snapshots
        .build(Blocks::new(&filled(10)))
        .expect("there is room");
    snapshots
        .build(Blocks::new(&filled(20)))
        .expect("there is room");
    snapshots
        .build(Blocks::new(&filled(30)))
        .expect("there is room");
    let names: Vec<String> = disk
        .names()
        .into_iter()
        .filter(|n| n.starts_with("snapshot-"))
        .collect();
    assert_eq!(names.len(), 2, "two are kept: {names:?}");

    assert!(disk.flip_bit(&names[1], 700, 3));
    let (_, found) = Snapshots::recover(disk.mount()).expect("one is whole");
    let (meta, state) = found.expect("the older one");
    assert_eq!(meta.last_log_id, Some(log_id(1, 20)));
    assert_eq!(state.applied, Some(log_id(1, 20)));
    assert!(disk.names().iter().any(|n| n.starts_with("damaged-")));
}

#[test]
fn a_power_cut_while_a_snapshot_is_written_leaves_the_one_before_it() {
    for calls in 0..12 {
        let disk = SimDisk::new(calls);
        let (snapshots, _) = Snapshots::recover(disk.mount()).expect("an empty directory");
        snapshots
            .build(Blocks::new(&filled(10)))
            .expect("there is room");
        disk.fail_after(calls);
        let second = snapshots.build(Blocks::new(&filled(2000)));
        disk.cut_power();
        let (_, found) = Snapshots::recover(disk.mount()).expect("a readable directory");
        let (meta, _) = found.expect("a snapshot");
        let index = meta.last_log_id.expect("it covers something").index;
        assert!(
            index == 2000 || (index == 10 && second.is_err()),
            "found {index}"
        );
    }
}
