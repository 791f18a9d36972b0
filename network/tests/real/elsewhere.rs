//! Another host is another network namespace.

use crate::ip;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// A process that holds a namespace with the far ends of cables.
pub(crate) struct Elsewhere(Child);

impl Elsewhere {
    pub(crate) fn with(cables: &[&str]) -> Self {
        let child = Command::new("unshare")
            .args(["--net", "sleep", "600"])
            .spawn()
            .expect("it runs");
        let elsewhere = Self(child);
        let namespace = |process: &str| {
            std::fs::read_link(format!("/proc/{process}/ns/net")).expect("a namespace")
        };
        let own = namespace("self");
        until("another namespace", || {
            namespace(&elsewhere.process()) != own
        });
        for cable in cables {
            let moved = ip(&format!("link set {cable} netns {}", elsewhere.process()));
            assert!(moved, "{cable} is moved");
            elsewhere.ip(&format!("link set {cable} up"));
        }
        elsewhere
    }

    /// Whether a connection from there comes about.
    pub(crate) fn connects(&self, address: &str, port: u16) -> bool {
        self.connects_within(240, address, port)
    }

    /// Whether none does, for longer than one takes.
    pub(crate) fn is_kept_out(&self, address: &str, port: u16) -> bool {
        !self.connects_within(3, address, port)
    }

    fn connects_within(&self, seconds: u32, address: &str, port: u16) -> bool {
        let words = format!("exec 3<>/dev/tcp/{address}/{port}");
        let done = Command::new("nsenter")
            .args(["--net", "--target", &self.process()])
            .args(["timeout", &seconds.to_string(), "bash", "-c", &words])
            .stderr(std::process::Stdio::null())
            .status();
        done.expect("it runs").success()
    }

    fn process(&self) -> String {
        self.0.id().to_string()
    }

    pub(crate) fn ip(&self, arguments: &str) {
        let done = Command::new("nsenter")
            .args(["--net", "--target", &self.process(), "ip"])
            .args(arguments.split(' '))
            .status();
        assert!(done.is_ok_and(|status| status.success()), "ip {arguments}");
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        // It sleeps, and nothing else.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn until(what: &str, mut so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < Duration::from_secs(240), "never {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
