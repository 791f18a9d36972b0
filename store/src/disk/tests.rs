use std::{io::ErrorKind, sync::Arc};

use super::{Disk, RealDisk, is_full, read_all, replace, sim::SimDisk};

/// What both disks must do alike.
fn behaves(disk: &dyn Disk) {
    let file = disk.create("a").expect("creates");
    file.write_at(0, b"hello world").expect("writes");
    file.write_at(6, b"quorum").expect("writes");
    file.sync_data().expect("syncs");
    assert_eq!(file.length().expect("stats"), 12);
    let mut buffer = [0; 20];
    assert_eq!(file.read_at(6, &mut buffer).expect("reads"), 6);
    assert_eq!(&buffer[..6], b"quorum");
    assert_eq!(file.read_at(50, &mut buffer).expect("reads"), 0);

    let taken = disk.create("a").err().map(|error| error.kind());
    assert_eq!(taken, Some(ErrorKind::AlreadyExists));
    let missing = disk.open("b").err().map(|error| error.kind());
    assert_eq!(missing, Some(ErrorKind::NotFound));

    disk.rename("a", "b").expect("renames");
    replace(disk, "c", b"first").expect("writes");
    replace(disk, "c", b"second").expect("replaces");
    let content = disk.open("c").and_then(|file| read_all(&*file));
    assert_eq!(content.expect("reads"), b"second");
    assert_eq!(disk.list().expect("lists"), ["b", "c"]);

    disk.remove("b").expect("removes");
    assert_eq!(file.read_at(0, &mut buffer).expect("still open"), 12);
    file.set_len(5).expect("cuts");
    assert_eq!(read_all(&*file).expect("reads"), b"hello");
    assert!(disk.available().expect("stats") > 0);
}

#[test]
fn a_real_disk_behaves() {
    let directory = tempfile::tempdir().expect("a directory");
    behaves(&RealDisk::open(directory.path().join("made/for/it")).expect("opens"));
}

#[test]
fn a_simulated_disk_behaves() {
    behaves(&*SimDisk::new(1).mount());
}

#[test]
fn a_directory_is_used_by_one_process_at_a_time() {
    let directory = tempfile::tempdir().expect("a directory");
    let first = RealDisk::open(directory.path()).expect("opens");
    let second = RealDisk::open(directory.path()).expect_err("is locked");
    assert_eq!(second.kind(), ErrorKind::ResourceBusy);
    drop(first);
    RealDisk::open(directory.path()).expect("is free again");
}

#[test]
fn a_power_cut_takes_what_was_not_synced_and_nothing_else() {
    let (mut lost, mut kept, mut mixed) = (0, 0, 0);
    for seed in 0..200 {
        let sim = SimDisk::new(seed);
        let disk = sim.mount();
        let file = disk.create("a").expect("creates");
        file.write_at(0, &[1; 2048]).expect("writes");
        file.sync_data().expect("syncs");
        disk.sync_dir().expect("syncs");
        file.write_at(0, &[2; 2048]).expect("writes");
        sim.cut_power();

        assert!(file.write_at(0, b"x").is_err(), "old handles are dead");
        let content = sim.content("a").expect("its name was synced");
        assert_eq!(content.len(), 2048);
        for sector in content.chunks(512) {
            assert!(
                sector.iter().all(|byte| *byte == sector[0]),
                "sectors are whole"
            );
        }
        match (content.contains(&1), content.contains(&2)) {
            (true, true) => mixed += 1,
            (true, false) => lost += 1,
            _ => kept += 1,
        }
    }
    assert!(
        lost > 10 && kept > 10 && mixed > 10,
        "{lost} {kept} {mixed}"
    );
}

#[test]
fn a_name_that_was_not_synced_may_vanish() {
    let there = (0..100).filter(|seed| {
        let sim = SimDisk::new(*seed);
        let file = sim.mount().create("a").expect("creates");
        file.write_at(0, b"hello").expect("writes");
        file.sync_data().expect("syncs");
        sim.cut_power();
        sim.content("a").is_some()
    });
    assert!((10..90).contains(&there.count()));
}

#[test]
fn replacing_a_file_leaves_the_old_or_the_new_content_whatever_happens() {
    for seed in 0..300 {
        let sim = SimDisk::new(seed);
        replace(&*sim.mount(), "vote", &[1; 700]).expect("writes");
        sim.fail_after(seed % 8);
        let replaced = replace(&*sim.mount(), "vote", &[2; 900]);
        sim.cut_power();
        let content = sim.content("vote").expect("one of them");
        if replaced.is_ok() {
            assert_eq!(content, [2; 900]);
        } else {
            assert!(content == [1; 700] || content == [2; 900]);
        }
    }
}

#[test]
fn a_full_disk_says_so_and_takes_less_again_after_a_removal() {
    let sim = SimDisk::new(1);
    sim.set_capacity(Some(4096));
    let disk: Arc<dyn Disk> = sim.mount();
    disk.create("a")
        .and_then(|file| file.write_at(0, &[1; 4000]))
        .expect("fits");
    let file = disk.create("b").expect("creates");
    let error = file.write_at(0, &[1; 1000]).expect_err("does not fit");
    assert!(is_full(&error));
    assert_eq!(
        replace(&*disk, "c", &[1; 1000]).map_err(|error| is_full(&error)),
        Err(true)
    );
    assert!(!disk.list().expect("lists").contains(&"c.tmp".to_owned()));
    disk.remove("a").expect("removes");
    file.write_at(0, &[1; 1000]).expect("fits now");
}

#[test]
fn the_same_seed_leaves_the_same_disk() {
    let left = |seed| {
        let sim = SimDisk::new(seed);
        let file = sim.mount().create("a").expect("creates");
        sim.mount().sync_dir().expect("syncs");
        file.write_at(0, &[7; 8192]).expect("writes");
        sim.cut_power();
        sim.content("a")
    };
    assert_eq!(left(5), left(5));
}
