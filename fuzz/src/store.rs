//! What other members and disks hand to the store.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use quorate_store::{
    Genesis, Member, Store, StoreConfig,
    disk::sim::SimDisk,
    log::{Log, LogOptions, Mode},
    transport::{Frame, Receive, sim::SimNet},
};
use tokio::runtime::{Builder, Runtime};

const HISTORY: &str = "history";
/// Small, because every input is a whole segment.
const SEGMENT_BYTES: u64 = 32 << 10;
const SEGMENT: &str = "log-0000000000000001.seg";

fn genesis() -> Genesis {
    Genesis {
        cluster_id: "cluster".to_owned(),
        history_id: HISTORY.to_owned(),
        member: Member {
            name: "m1".to_owned(),
            addresses: vec!["m1:7443".to_owned()],
            witness: false,
            feature_level: 1,
        },
    }
}

fn config() -> StoreConfig {
    StoreConfig {
        disk_work: quorate_store::DiskWork::InPlace,
        segment_bytes: SEGMENT_BYTES,
        ..StoreConfig::default()
    }
}

struct Running {
    runtime: Runtime,
    receiver: Arc<dyn Receive>,
    /// The first segment of its log, and a backup of it.
    segment: Vec<u8>,
    backup: Vec<u8>,
    _store: Store,
}

/// One member that gets all frames: what one of them breaks, a later one finds.
fn running() -> &'static Running {
    static RUNNING: OnceLock<Running> = OnceLock::new();
    RUNNING.get_or_init(|| {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let net = SimNet::new(1);
        let disk = SimDisk::new(1);
        let store = runtime
            .block_on(Store::create(
                config(),
                disk.mount(),
                net.transport(1),
                genesis(),
            ))
            .expect("a member on a simulated disk");
        let backup = runtime.block_on(async {
            let blocks = store.backup().await.expect("a single member has quorum");
            let blocks: Vec<Bytes> = blocks.try_collect().await.expect("memory is readable");
            blocks.concat()
        });
        Running {
            runtime,
            receiver: store.receiver(),
            segment: disk.content(SEGMENT).expect("the log has a first segment"),
            backup,
            _store: store,
        }
    })
}

/// A body from a member that may speak: identity is checked before, content is not to be trusted.
pub(crate) fn member_frame(data: &[u8]) {
    let Some((method, body)) = data.split_first() else {
        return;
    };
    // Votes and entries of a well-formed stranger would rightly depose this member for good, and a
    // forwarded write waits for a majority: those are the cluster tests' business.
    let frame = Frame {
        history_id: HISTORY.into(),
        from: 2,
        start_counter: 1,
        format: 1,
        method: u32::from(*method),
        body: Bytes::copy_from_slice(body),
        to_start: 0,
        pledge: None,
    };
    let running = running();
    let _guard = running.runtime.enter();
    // Decoding happens before the first wait; what waits has been understood.
    let _ = running.receiver.call(frame.clone()).now_or_never();
    let _ = running
        .receiver
        .snapshot(stream::iter([Ok(frame)]).boxed())
        .now_or_never();
}

/// A segment of the log as a disk may give it back.
pub(crate) fn log_segment(data: &[u8]) {
    open_log(data);
    open_log(&crate::changed(&running().segment, data));
}

fn open_log(data: &[u8]) {
    let disk = SimDisk::new(1);
    let mount = disk.mount();
    let file = mount.create(SEGMENT).expect("an empty disk takes a file");
    file.write_at(0, data)
        .expect("a simulated disk takes bytes");
    let options = LogOptions {
        mode: Mode::Inline,
        segment_bytes: SEGMENT_BYTES,
        ..LogOptions::default()
    };
    if let Ok((log, _)) = Log::open(mount, options) {
        let first = log.first().map_or(0, |id| id.index);
        let after = log.last().map_or(0, |id| id.index + 1);
        let _ = log.read(first..after, usize::MAX);
    }
}

/// A backup as somebody may give it to us.
pub(crate) fn backup(data: &[u8]) {
    restore(data);
    restore(&crate::changed(&running().backup, data));
}

fn restore(data: &[u8]) {
    let running = running();
    let blocks = stream::iter([Ok(Bytes::copy_from_slice(data))]).boxed();
    let disk = SimDisk::new(1);
    let net = SimNet::new(1);
    let restored = running.runtime.block_on(Store::restore(
        config(),
        disk.mount(),
        net.transport(1),
        genesis(),
        blocks,
    ));
    if let Ok(store) = restored {
        running.runtime.block_on(store.shutdown());
    }
}
