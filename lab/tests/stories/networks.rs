//! Bonds, VLANs and bridges in the host's kernel: the tests of `network/` that need a real one, most of all where the kernel
//! of the machine that the room runs on has neither bonds nor VLANs.

use std::path::PathBuf;
use std::process::Command;

use quorate_lab::Room;
use serde_json::Value;

pub(crate) fn bonds_vlans_and_bridges_live_in_its_kernel(room: &Room) {
    let host = room.host(1);
    host.copy_in(&the_tests(), "/root/networks")
        .expect("copied");
    host.run("chmod 755 /root/networks && modprobe -a veth 8021q bonding bridge nf_tables nft_ct")
        .expect("ready");
    let said = host
        .run("/root/networks --nocapture --test-threads 1 2>&1")
        .expect("the tests pass");
    assert!(
        said.contains("make the bond bond-bcn (ActiveBackup)"),
        "{said}"
    );
    assert!(!said.contains("skipped:"), "{said}");
    host.run("rm /root/networks").expect("removed");
}

/// The program with those tests, which Cargo builds where it is not built yet.
fn the_tests() -> PathBuf {
    let built = Command::new(env!("CARGO"))
        .args([
            "test",
            "--locked",
            "-p",
            "quorate-network",
            "--test",
            "real",
        ])
        .args(["--no-run", "--message-format", "json"])
        .output()
        .expect("Cargo runs");
    assert!(
        built.status.success(),
        "{}",
        String::from_utf8_lossy(&built.stderr)
    );
    let said = String::from_utf8(built.stdout).expect("text");
    let path = said
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|one| one["target"]["name"] == "real")
        .find_map(|one| one["executable"].as_str().map(PathBuf::from));
    path.expect("Cargo names the program")
}
