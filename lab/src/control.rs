//! The supervisor's socket: one request per connection.

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};

use crate::error::{LabError, explain};
use crate::frame::{Decoder, Frame, Kind, MAX_PAYLOAD, STDIN_WINDOW};
use crate::request::{Answer, HostState, Request};
use crate::supervisor::Supervisor;

pub(crate) async fn serve(room: Supervisor, listener: UnixListener) {
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            let room = room.clone();
            tokio::spawn(async move {
                // Whoever hangs up before the answer does not want it.
                let _ = attend(room, stream).await;
            });
        }
    }
}

async fn attend(room: Supervisor, stream: UnixStream) -> std::io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    let mut line = String::new();
    reader.read_line(&mut line).await?;
    let request = match serde_json::from_str(&line) {
        Ok(request) => request,
        Err(error) => {
            return answer(
                &mut writer,
                &Answer::Error(format!("not a request: {error}")),
            )
            .await;
        }
    };
    match request {
        Request::Status => answer(&mut writer, &Answer::Status(room.status())).await,
        Request::Memory => {
            answer(&mut writer, &Answer::Memory(crate::memory::of_this_room())).await
        }
        Request::Timeline(after) => {
            answer(&mut writer, &Answer::Timeline(room.timeline().after(after))).await
        }
        Request::Do(hand) => {
            let done = room.act(hand).await;
            answer(&mut writer, &outcome(done)).await
        }
        Request::Exec { host, argv } => exec(&room, host, &argv, reader, writer).await,
        Request::Hold { host } => hold(&room, host, reader).await,
        Request::Stop => {
            answer(&mut writer, &Answer::Done).await?;
            room.stop();
            Ok(())
        }
    }
}

async fn answer(writer: &mut OwnedWriteHalf, answer: &Answer) -> std::io::Result<()> {
    let line = serde_json::to_string(answer).map_err(std::io::Error::other)?;
    writer.write_all(format!("{line}\n").as_bytes()).await
}

fn outcome(result: Result<(), LabError>) -> Answer {
    match result {
        Ok(()) => Answer::Done,
        Err(error) => Answer::Error(explain(&error)),
    }
}

/// The connection stays open as long as the BMC takes the host for on; the BMC ends it to cut the power.
async fn hold(
    room: &Supervisor,
    host: u8,
    mut reader: BufReader<OwnedReadHalf>,
) -> std::io::Result<()> {
    let mut byte = [0];
    tokio::select! {
        held = room.hold(host) => {
            if let Err(error) = held {
                room.log("room", format!("node{host} cannot be switched on: {}", explain(&error)));
            }
        }
        _ = reader.read(&mut byte) => room.hold_broken(host).await,
    }
    Ok(())
}

async fn exec(
    room: &Supervisor,
    host: u8,
    argv: &[String],
    mut reader: BufReader<OwnedReadHalf>,
    mut writer: OwnedWriteHalf,
) -> std::io::Result<()> {
    let running = match room.machine(host) {
        Ok(machine) if *machine.state().borrow() == HostState::Starting => {
            Err(LabError::StillStarting {
                host: machine.name.clone(),
            })
        }
        Ok(machine) => machine.running().await,
        Err(error) => Err(error),
    };
    let running = match running {
        Ok(running) => running,
        Err(error) => return answer(&mut writer, &Answer::Error(explain(&error))).await,
    };
    let words = argv.join("\0");
    if argv.is_empty() || words.len() > MAX_PAYLOAD {
        let text = format!(
            "a command of {} bytes; allowed are 1 to {MAX_PAYLOAD}",
            words.len()
        );
        return answer(&mut writer, &Answer::Error(text)).await;
    }
    answer(&mut writer, &Answer::Done).await?;
    let (id, mut frames) = running.agent.open();
    running.agent.send(Frame::new(Kind::Exec, id, words)).await;

    let mut decoder = Decoder::default();
    let mut buffer = vec![0; MAX_PAYLOAD];
    let mut under_way: usize = 0;
    let ended = loop {
        tokio::select! {
            frame = frames.recv() => match frame {
                Some(frame) if frame.kind == Kind::Taken => {
                    under_way = under_way.saturating_sub(frame.as_number().unwrap_or(0) as usize);
                }
                Some(frame) => {
                    let last = frame.kind == Kind::Exit;
                    writer.write_all(&frame.encode()).await?;
                    if last {
                        break true;
                    }
                }
                // The host was reset or has lost its power.
                None => break true,
            },
            read = reader.read(&mut buffer), if under_way < STDIN_WINDOW => {
                let count = read?;
                if count == 0 {
                    break false;
                }
                decoder.feed(&buffer[..count]);
                while let Some(frame) = decoder.next_frame() {
                    under_way += if frame.kind == Kind::Stdin { frame.payload.len() } else { 0 };
                    running.agent.send(Frame { command: id, ..frame }).await;
                }
            }
        }
    };
    if !ended {
        running.agent.send(Frame::new(Kind::Kill, id, [])).await;
    }
    running.agent.forget(id);
    Ok(())
}
