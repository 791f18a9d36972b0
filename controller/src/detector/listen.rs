use std::{future::poll_fn, io, net::UdpSocket, thread, time::Duration};

use quorate_proto::heartbeat::MAX_LENGTH;
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};

use super::{Acknowledged, Datagrams, SharedDetector, UdpDatagrams};

/// How often the detector looks around. It bounds by how much later than `detection.timeout` a loss is noticed.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Carries datagrams to the detector and its answers back, for ever. `acknowledged` says until when this member surely
/// led; it is asked for every beat, and must not wait for anything.
pub async fn listen(
    detector: SharedDetector,
    mut datagrams: impl Datagrams,
    acknowledged: impl Fn() -> Acknowledged + Send,
) {
    let mut look = interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut beat, mut answer) = ([0; MAX_LENGTH], [0; MAX_LENGTH]);
    loop {
        // A flood of datagrams must not keep it from looking.
        tokio::select! {
            biased;
            _ = look.tick() => detector.look(),
            received = poll_fn(|context| datagrams.poll_receive(context, &mut beat)) => match received {
                Ok((length, origin)) => {
                    let answered = detector.receive(&beat[..length], acknowledged(), &mut answer);
                    if let Some(length) = answered {
                        datagrams.send(&answer[..length], origin);
                    }
                }
                Err(error) => tracing::debug!(%error, "a heartbeat was not received"),
            },
        }
    }
}

/// The same over UDP, on a thread with a runtime of its own, so that whatever else the member does cannot delay it. It ends
/// when the sender of `stop` is dropped.
///
/// # Errors
/// When the system gives no thread.
pub fn on_its_own_thread(
    detector: SharedDetector,
    sockets: Vec<UdpSocket>,
    acknowledged: impl Fn() -> Acknowledged + Send + 'static,
    mut stop: watch::Receiver<bool>,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    thread::Builder::new()
        .name("heartbeats".to_owned())
        .spawn(move || {
            runtime.block_on(async move {
                let datagrams = match UdpDatagrams::new(sockets) {
                    Ok(datagrams) => datagrams,
                    Err(error) => {
                        tracing::error!(%error, "this member hears no host: its heartbeat sockets are not usable");
                        return;
                    }
                };
                tokio::select! {
                    biased;
                    // An error means that the member is gone, which is stopped enough.
                    _ = stop.wait_for(|stop| *stop) => {}
                    () = listen(detector, datagrams, acknowledged) => {}
                }
            });
        })
        .map(drop)
}
