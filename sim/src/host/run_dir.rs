use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::{FutureExt, future::BoxFuture};
use quorate_node_daemon::{
    lease::{Command, Lease, LeaseView, Setup},
    plan::{Memory, MemoryError, Remembered},
};
use tokio::sync::{mpsc, watch};

/// How many commands wait for the lease process at most.
const WAITING: usize = 64;

/// A machine's /run: what the daemon and the lease process keep there, and the socket between them. It outlives both, and
/// is gone with the kernel.
#[derive(Clone, Default)]
pub(crate) struct RunDir(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    remembered: Option<Remembered>,
    setup: Option<Setup>,
    lease: Option<mpsc::Sender<Command>>,
    view: watch::Sender<LeaseView>,
}

impl RunDir {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The kernel is gone.
    pub(crate) fn clear(&self) {
        let mut kept = self.lock();
        kept.remembered = None;
        kept.setup = None;
        kept.lease = None;
        kept.view.send_replace(LeaseView::default());
    }

    /// The lease process listens, and goes on with what was kept.
    pub(crate) fn listen(
        &self,
    ) -> (
        Option<Setup>,
        mpsc::Receiver<Command>,
        watch::Sender<LeaseView>,
    ) {
        let (commands, inbox) = mpsc::channel(WAITING);
        let mut kept = self.lock();
        kept.lease = Some(commands);
        (kept.setup.clone(), inbox, kept.view.clone())
    }

    /// The daemon's end of the connection is closed, by itself or by the kernel.
    pub(crate) fn daemon_is_gone(&self) {
        self.say(Command::Closed);
    }

    /// What the lease process last said.
    pub(crate) fn lease_view(&self) -> LeaseView {
        *self.lock().view.borrow()
    }

    fn say(&self, command: Command) {
        let kept = self.lock();
        if let Some(lease) = &kept.lease {
            // A lease process that does not run hears nothing, one that is stopped hears what fits.
            let _ = lease.try_send(command);
        }
    }
}

impl Lease for RunDir {
    fn set_up(&self, setup: &Setup) {
        self.lock().setup = Some(setup.clone());
        self.say(Command::SetUp(Box::new(setup.clone())));
    }

    fn alive(&self) {
        self.say(Command::Alive);
    }

    fn closing(&self) {
        self.say(Command::Closed);
    }

    fn view(&self) -> watch::Receiver<LeaseView> {
        self.lock().view.subscribe()
    }
}

impl Memory for RunDir {
    fn load(&self) -> BoxFuture<'_, Result<Option<Remembered>, MemoryError>> {
        async { Ok(self.lock().remembered.clone()) }.boxed()
    }

    fn save<'a>(&'a self, remembered: &'a Remembered) -> BoxFuture<'a, Result<(), MemoryError>> {
        async {
            self.lock().remembered = Some(remembered.clone());
            Ok(())
        }
        .boxed()
    }
}
