//! A program does not go on without a part of itself. The test plays the program, too, in a process of its own.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};

const PART: &str = "QUORATE_TEST_PLAYS_THE_PROGRAM";
const ABORTED: i32 = 6;

#[test]
fn a_panic_in_any_thread_ends_the_whole_program_and_is_in_its_log() {
    if std::env::var_os(PART).is_some() {
        quorate_program::begin(false, "info");
        let lost = std::thread::Builder::new().name("detector".to_owned());
        let lost = lost.spawn(|| panic!("the clock stands still"));
        let _ = lost.expect("a thread").join();
        println!("it went on");
        return;
    }
    let program = Command::new(std::env::current_exe().expect("this test"))
        .args(["--nocapture", "--exact"])
        .arg("a_panic_in_any_thread_ends_the_whole_program_and_is_in_its_log")
        .env(PART, "1")
        .env_remove("QUORATE_LOG")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    let ended = program.wait_with_output().expect("ended");
    let said = String::from_utf8_lossy(&ended.stdout);
    let log = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.signal(), Some(ABORTED), "{said}{log}");
    assert!(!said.contains("it went on"), "{said}");
    for words in ["the clock stands still", "detector", "panics.rs"] {
        assert!(log.contains(words), "{words} is not in {log}");
    }
}
