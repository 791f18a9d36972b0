//! A person at the console of a guest: from the keyboard to the host and back.

use crate::site::Site;
use std::{
    io::{Read, Write},
    process::Child,
};

/// Reads until that has come.
fn reads(child: &mut Child, wanted: &str) {
    let out = child.stdout.as_mut().expect("a pipe");
    let mut read = Vec::new();
    let mut byte = [0];
    while !String::from_utf8_lossy(&read).contains(wanted) {
        let more = out.read(&mut byte).expect("readable");
        let so_far = String::from_utf8_lossy(&read).into_owned();
        assert_eq!(more, 1, "it ended after {so_far:?}, wanted: {wanted:?}");
        read.push(byte[0]);
    }
}

fn types(child: &mut Child, text: &[u8]) {
    let keyboard = child.stdin.as_mut().expect("a pipe");
    keyboard.write_all(text).expect("typed");
    keyboard.flush().expect("typed");
}

/// How it ended, and what it said about itself.
fn ends(child: Child) -> (i32, String) {
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8(output.stderr).expect("text");
    (output.status.code().expect("a code"), said)
}

#[test]
fn a_console_is_opened_taken_over_left_and_ends_with_its_guest() {
    let site = Site::with_hosts();
    let nobody = site.quorate(&["vm", "console", "web", "--who"]);
    assert_eq!((nobody.code, nobody.out.as_str()), (0, ""));
    assert!(
        nobody.err.contains("nobody is at the console"),
        "{}",
        nobody.err
    );

    let mut first = site.talk(&["vm", "console", "web"]);
    reads(&mut first, "SIMULATED: guest web on ");
    types(&mut first, b"hello\r");
    reads(&mut first, "hello\r");
    let who = site.quorate(&["vm", "console", "web", "--who"]);
    assert!(who.out.contains("at the console for"), "{}", who.out);
    let refused = site.quorate(&["vm", "console", "web"]);
    assert_eq!(refused.code, 5, "{}", refused.err);
    assert!(refused.err.contains("--force"), "{}", refused.err);

    let mut second = site.talk(&["vm", "console", "web", "--force"]);
    reads(&mut second, "SIMULATED");
    let (code, said) = ends(first);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("took the console over"), "{said}");

    // Ctrl-] leaves it; what stands behind it goes nowhere.
    types(&mut second, b"bye\x1drm -rf /\r");
    let (code, said) = ends(second);
    assert_eq!(code, 0, "{said}");
    assert!(
        said.contains("left the console of virtualmachine/web"),
        "{said}"
    );

    let mut third = site.talk(&["vm", "console", "web"]);
    reads(&mut third, "SIMULATED");
    let stopped = site.quorate(&["vm", "stop", "web"]);
    assert_eq!(stopped.code, 0, "{}", stopped.err);
    let (code, said) = ends(third);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("the console is closed: guest web"), "{said}");

    let off = site.quorate(&["vm", "console", "web"]);
    assert_eq!(off.code, 3, "{}", off.err);
    let told = site.quorate(&["describe", "vm", "web"]);
    assert!(told.out.contains("ConsoleOpened"), "{}", told.out);
}
