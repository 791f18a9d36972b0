//! The cable between the BMC and the machine: QEMU's VM protocol, in which power commands are a byte before an end mark.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpStream, UnixListener, UnixStream};

use super::Bmc;
use crate::error::{LabError, OnFile};
use crate::request::BmcMood;

const END_OF_MESSAGE: u8 = 0xa0;
const END_OF_COMMAND: u8 = 0xa1;
const POWER_OFF: u8 = 0x03;
const RESET: u8 = 0x04;
const GRACEFUL_SHUTDOWN: u8 = 0x09;

pub(super) async fn serve(bmc: Arc<Bmc>) -> Result<(), LabError> {
    let path = bmc.directory.join("bmc.sock");
    let listener = UnixListener::bind(&path).on("listen on", &path)?;
    tokio::spawn(async move {
        loop {
            if let Ok((machine, _)) = listener.accept().await {
                relay(&bmc, machine).await;
            }
        }
    });
    Ok(())
}

/// Ends when either end does; QEMU then connects again. A BMC that takes the machine for off must not see its cable.
async fn relay(bmc: &Bmc, machine: UnixStream) {
    let mut deceived = bmc.deceived();
    // The sender lives as long as the BMC.
    let _ = deceived.wait_for(|deceived| !deceived).await;
    let Ok(simulator) = TcpStream::connect(("127.0.0.1", bmc.cable_port())).await else {
        return;
    };
    let (mut from_machine, mut to_machine) = machine.into_split();
    let (mut from_simulator, mut to_simulator) = simulator.into_split();
    let downward = async {
        let mut cutter = Cutter::default();
        let mut buffer = vec![0; 1024];
        while let Ok(count @ 1..) = from_simulator.read(&mut buffer).await {
            for message in cutter.feed(&buffer[..count]) {
                if passes(bmc, &message) && to_machine.write_all(&message).await.is_err() {
                    return;
                }
            }
        }
    };
    tokio::select! {
        () = downward => {}
        _ = copy(&mut from_machine, &mut to_simulator) => {}
        _ = deceived.wait_for(|deceived| *deceived) => {}
    }
}

/// Tells the timeline of a power command, and whether the machine is to hear it.
fn passes(bmc: &Bmc, message: &[u8]) -> bool {
    let [command, END_OF_COMMAND] = message else {
        return true;
    };
    let name = match *command {
        POWER_OFF => "power off",
        RESET => "reset",
        GRACEFUL_SHUTDOWN => "graceful shutdown",
        _ => return true,
    };
    match bmc.mood() {
        BmcMood::Deaf => bmc.log_power(&format!("acknowledges {name} and does nothing")),
        BmcMood::Lying => {
            bmc.log_power(&format!(
                "acknowledges {name}, does nothing and says otherwise"
            ));
            if *command == POWER_OFF {
                bmc.deceive(true);
            }
        }
        BmcMood::Honest | BmcMood::Unreachable => {
            bmc.log_power(name);
            return true;
        }
    }
    false
}

/// Cuts a stream into messages, each with its end mark.
#[derive(Default)]
struct Cutter {
    pending: Vec<u8>,
}

impl Cutter {
    fn feed(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut messages = Vec::new();
        for byte in bytes {
            self.pending.push(*byte);
            if matches!(*byte, END_OF_MESSAGE | END_OF_COMMAND) {
                messages.push(std::mem::take(&mut self.pending));
            }
        }
        messages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_told_from_messages_wherever_the_stream_is_cut() {
        let mut cutter = Cutter::default();
        assert!(cutter.feed(&[0x01, 0x20, 0xa0, 0x03]).len() == 1);
        assert_eq!(
            cutter.feed(&[0xa1, 0x06]),
            [vec![POWER_OFF, END_OF_COMMAND]]
        );
    }
}
