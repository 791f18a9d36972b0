//! A management board: OpenIPMI's simulator on the real protocol.

use std::{
    fs,
    process::{Child, Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use super::{free_port, write_program};

pub(super) const USER: &str = "admin";
pub(super) const PASSWORD: &str = "hunter2-secret";

/// The board of a machine that is a file: 1 while it is on.
pub(super) struct Board {
    pub(super) port: u16,
    directory: TempDir,
    simulator: Child,
}

impl Board {
    pub(super) async fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let port = free_port();
        let path = |name: &str| directory.path().join(name);
        let shown = |name: &str| path(name).display().to_string();
        let machine = format!(
            "#!/bin/sh\ncase \"$2 $3\" in\n\"get power\") echo \"power:$(cat {state})\" ;;\n\"set power\") echo \"$4\" >{state} ;;\nesac\n",
            state = shown("state"),
        );
        fs::write(path("state"), "1\n").expect("written");
        write_program(&path("machine"), &machine);
        let lan = format!(
            "name \"board\"\nset_working_mc 0x20\nstartlan 1\naddr 127.0.0.1 {port}\npriv_limit admin\n\
             allowed_auths_callback none md2 md5 straight\nallowed_auths_user none md2 md5 straight\n\
             allowed_auths_operator none md2 md5 straight\nallowed_auths_admin none md2 md5 straight\n\
             guid a123456789abcdefa123456789abcd01\nendlan\nchassis_control \"{machine} 0x20\"\n\
             user 1 true \"\" \"nobody\" user 10 none md2 md5 straight\n\
             user 2 true \"{USER}\" \"{PASSWORD}\" admin 10 none md2 md5 straight\n",
            machine = shown("machine"),
        );
        fs::write(path("lan"), lan).expect("written");
        let set_up = "mc_setbmc 0x20\nmc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02\nsel_enable 0x20 1000 0x0a\nmc_enable 0x20\n";
        fs::write(path("commands"), set_up).expect("written");
        fs::create_dir(path("kept")).expect("made");
        let output = fs::File::create(path("output")).expect("made");
        let simulator = Command::new("ipmi_sim")
            .args([
                "-c",
                &shown("lan"),
                "-f",
                &shown("commands"),
                "-s",
                &shown("kept"),
                "-n",
            ])
            // It ends when its standard input does.
            .stdin(Stdio::piped())
            .stderr(output.try_clone().expect("cloned"))
            .stdout(output)
            .spawn()
            .expect("ipmi_sim starts");
        let board = Self {
            port,
            directory,
            simulator,
        };
        timeout(Duration::from_secs(120), board.answers())
            .await
            .expect("the board answers");
        board
    }

    /// Waits until it answers a ping of the protocol.
    async fn answers(&self) {
        const PING: [u8; 12] = [6, 0, 255, 6, 0, 0, 0x11, 0xbe, 0x80, 0, 0, 0];
        let socket = tokio::net::UdpSocket::bind("127.0.0.1:0")
            .await
            .expect("a socket");
        let mut answer = [0; 64];
        loop {
            // Before it listens the kernel refuses, which the next call says.
            let _ = socket.send_to(&PING, ("127.0.0.1", self.port)).await;
            let heard = timeout(Duration::from_millis(200), socket.recv_from(&mut answer)).await;
            if matches!(heard, Ok(Ok(_))) {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    pub(super) fn machine_is_on(&self) -> bool {
        fs::read_to_string(self.directory.path().join("state"))
            .expect("read")
            .trim()
            == "1"
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        // When it has ended by itself there is nothing to kill.
        let _ = self.simulator.kill();
        let _ = self.simulator.wait();
    }
}
