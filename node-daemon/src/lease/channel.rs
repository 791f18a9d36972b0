use super::{Command, Lease, LeaseView, Setup};
use tokio::sync::{mpsc, watch};

/// How many commands may wait. The daemon says that it lives four times a second; what does not fit is no loss.
const WAITING: usize = 64;

/// The daemon's end of a connection to the lease process.
#[derive(Clone, Debug)]
pub struct LeaseChannel {
    commands: mpsc::Sender<Command>,
    view: watch::Receiver<LeaseView>,
}

/// The other end: what [`super::beat`] reads and tells.
#[derive(Debug)]
pub struct LeaseEnd {
    /// What the daemon says.
    pub commands: mpsc::Receiver<Command>,
    /// What it is told.
    pub view: watch::Sender<LeaseView>,
}

impl LeaseChannel {
    /// Both ends.
    #[must_use]
    pub fn new() -> (Self, LeaseEnd) {
        let (commands, inbox) = mpsc::channel(WAITING);
        let (sender, view) = watch::channel(LeaseView::default());
        (
            Self { commands, view },
            LeaseEnd {
                commands: inbox,
                view: sender,
            },
        )
    }

    fn say(&self, command: Command) {
        if self.commands.try_send(command).is_err() {
            tracing::debug!("the lease process does not listen at present");
        }
    }
}

impl Lease for LeaseChannel {
    fn set_up(&self, setup: &Setup) {
        self.say(Command::SetUp(Box::new(setup.clone())));
    }

    fn alive(&self) {
        self.say(Command::Alive);
    }

    fn closing(&self) {
        self.say(Command::Closed);
    }

    fn view(&self) -> watch::Receiver<LeaseView> {
        self.view.clone()
    }
}
