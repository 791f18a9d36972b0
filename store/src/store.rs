use std::{collections::BTreeMap, io, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use tokio::{sync::watch, time::Instant};

use crate::{
    Genesis, Grant, Leadership, Member, MemberId, Outcome, Revision, StoreConfig, StoreError,
    StoreStatus, Transaction, View, Watch, WatchError, WatchScope,
    disk::Disk,
    raft::{
        barrier::{self, Barriers},
        change::{self, Change},
        core::Core,
        takeover,
    },
    rt,
    snapshot::Blocks,
    start, status,
    takeover::{Evidence, Obstacle, Phase, Record, Round, Shot, Takeover},
    transport::{Receive, Transport},
    wire::encode_transaction,
};

/// One member of the replicated store. Clones are the same member.
///
/// Every member answers every call: writes and barriers go to the leader by themselves.
#[derive(Clone)]
pub struct Store {
    pub(crate) core: Arc<Core>,
    pub(crate) barriers: Barriers,
    pub(crate) receiver: Arc<dyn Receive>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Store(member {})", self.core.link.member_id)
    }
}

impl Store {
    /// Founds a cluster: the first member, in an empty directory.
    pub async fn create(
        config: StoreConfig,
        disk: Arc<dyn Disk>,
        net: Arc<dyn Transport>,
        genesis: Genesis,
    ) -> Result<Self, StoreError> {
        start::create(config, disk, net, genesis).await
    }

    /// Starts a member again from its directory.
    pub async fn open(
        config: StoreConfig,
        disk: Arc<dyn Disk>,
        net: Arc<dyn Transport>,
    ) -> Result<Self, StoreError> {
        start::open(config, disk, net).await
    }

    /// Starts a new member in an empty directory. It has nothing until the leader, asked by
    /// [`Store::add_learner`] on any other member, sends it everything.
    pub async fn join(
        config: StoreConfig,
        disk: Arc<dyn Disk>,
        net: Arc<dyn Transport>,
        grant: Grant,
    ) -> Result<Self, StoreError> {
        start::join(config, disk, net, grant).await
    }

    /// Founds a cluster from a backup, in an empty directory, under a new line of history. Revisions go
    /// on far above any that the former cluster can have given out, and member ids are not used again.
    pub async fn restore(
        config: StoreConfig,
        disk: Arc<dyn Disk>,
        net: Arc<dyn Transport>,
        genesis: Genesis,
        backup: BoxStream<'static, io::Result<Bytes>>,
    ) -> Result<Self, StoreError> {
        start::restore(config, disk, net, genesis, backup).await
    }

    /// Proposes a transaction and waits for what becomes of it.
    ///
    /// When this returns [`Outcome::Committed`], the change is on the disks of a majority. After
    /// [`StoreError::Unknown`] it may be, or may yet be; after any other error it is not and will not be.
    pub async fn propose(&self, transaction: Transaction) -> Result<Outcome, StoreError> {
        let encoded = encode_transaction(&transaction);
        let allowed = self.core.config.max_transaction;
        if encoded.len() > allowed {
            return Err(StoreError::TooLarge {
                found: encoded.len(),
                allowed,
            });
        }
        self.core.proposals.propose(encoded).await
    }

    /// Waits until this member has applied everything that was acknowledged anywhere before the call;
    /// the revision that a [`Store::view`] then has at least.
    pub async fn barrier(&self) -> Result<Revision, StoreError> {
        self.barriers.pass(&self.core).await
    }

    /// Waits until this member has applied everything that its own log holds now. On the leader, everything that was
    /// proposed before is decided then, also what its proposer has given up. The revision of that state.
    pub async fn settled(&self) -> Result<Revision, StoreError> {
        barrier::settle(&self.core).await
    }

    /// The newest state that this member has applied; after a [`Store::barrier`] that is linearizable.
    pub fn view(&self) -> View {
        self.core.shared.view()
    }

    /// The state at an earlier revision that is still retained, for reading a long list in pages.
    pub fn view_at(&self, revision: Revision) -> Result<View, StoreError> {
        self.core.shared.view_at(revision)
    }

    /// Watches every change in scope after a revision. A member that has not got that far yet waits.
    pub fn watch(&self, scope: WatchScope, after: Revision) -> Result<Watch, WatchError> {
        Watch::new(self.core.shared.clone(), scope, after)
    }

    /// What this member knows about itself and the others; asks nobody.
    pub fn status(&self) -> StoreStatus {
        status::of(&self.core)
    }

    /// The same, and of the members what the leader knows: only the leader hears all of them. Without a
    /// leader that answers, whether members are reachable stays unsaid.
    pub async fn status_of_all(&self) -> StoreStatus {
        status::asked(&self.core).await
    }

    /// Who leads, and every change of that.
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.core.leadership.subscribe()
    }

    /// While this member leads: its term, and when it sent the newest of the messages that a majority has
    /// acknowledged. Until then nobody else led; what is promised for a time counts from that moment.
    pub fn quorum_acknowledged(&self) -> Option<(u64, Instant)> {
        self.core.quorum_acknowledged()
    }

    /// Grants an id for a new member; it is never granted again, used or not.
    pub async fn allocate_member_id(&self) -> Result<MemberId, StoreError> {
        change::make(&self.core, Change::AllocateMember).await
    }

    /// Adds a member that receives everything and does not vote.
    pub async fn add_learner(&self, id: MemberId, member: Member) -> Result<(), StoreError> {
        self.change(Change::AddLearner(id, member)).await
    }

    /// Gives a learner that has caught up a vote.
    pub async fn promote(&self, id: MemberId) -> Result<(), StoreError> {
        self.change(Change::Promote(id)).await
    }

    /// Removes a member. Its id is never used again.
    pub async fn remove(&self, id: MemberId) -> Result<(), StoreError> {
        self.change(Change::Remove(id)).await
    }

    /// Gives a learner that has caught up the place of a voter, which is removed.
    pub async fn replace(&self, old: MemberId, new: MemberId) -> Result<(), StoreError> {
        self.change(Change::Replace(old, new)).await
    }

    /// Changes what the membership says about a member: its addresses, its feature level.
    pub async fn update_member(&self, id: MemberId, member: Member) -> Result<(), StoreError> {
        self.change(Change::Update(id, member)).await
    }

    /// Gives the leadership to a voter; without one, to the best.
    pub async fn transfer_leadership(&self, to: Option<MemberId>) -> Result<(), StoreError> {
        self.change(Change::Transfer(to)).await
    }

    /// Raises the committed feature level if every member supports it; the level afterwards.
    pub async fn raise_feature_level(&self, level: u32) -> Result<u32, StoreError> {
        let level = change::make(&self.core, Change::RaiseFeatureLevel(level)).await?;
        Ok(u32::try_from(level).unwrap_or(u32::MAX))
    }

    async fn change(&self, change: Change) -> Result<(), StoreError> {
        change::make(&self.core, change).await.map(drop)
    }

    /// Whether a majority was heard lately: by the leader itself, by others through the leader.
    pub fn has_quorum(&self) -> bool {
        self.core.has_quorum()
    }

    /// For how long a majority must be silent before [`Store::has_quorum`] says so.
    pub fn quorum_patience(&self) -> Duration {
        self.core.silence()
    }

    /// The members that have answered this one within that time.
    pub fn answering(&self) -> Vec<MemberId> {
        self.core.link.part.answered_within(self.core.silence())
    }

    /// Which boot of its machine this member runs in, if whoever started it knows that.
    pub fn boot(&self) -> Option<&str> {
        self.core.config.boot.as_deref()
    }

    /// Why this member decides nothing any more, if a person has let another one go on under a new history.
    pub fn succeeded(&self) -> Option<String> {
        self.core.link.succession.reason()
    }

    /// Where this member stands in a takeover, and every change of that. While it is [`Phase::Fencing`], whoever drives fence
    /// devices makes sure that the others are off, and says so by [`Store::confirm_off`].
    pub fn takeover(&self) -> watch::Receiver<Phase> {
        self.core.link.part.phase()
    }

    /// Begins a takeover by the half that this member hears. The start-up wait and the other half's head start are the
    /// caller's to keep.
    pub async fn begin_takeover(&self) -> Result<Round, Obstacle> {
        takeover::begin(&self.core).await
    }

    /// A voter is off, as devices said after that round had asked for it. Evidence of another round counts for nothing.
    pub fn confirm_off(&self, round: Round, member: MemberId, proof: String) {
        self.core.evidence.add(round, Evidence { member, proof });
        let part = &self.core.link.part;
        part.change(|takeover| takeover.fenced(round, member));
    }

    /// What is to stand in the log beside the evidence of that round, in the same entry: what follows from it in the
    /// caller's own terms. Said before the last voter is confirmed off; of another round it counts for nothing. An entry that is
    /// written again finds it there: it must be such that it happens once.
    pub fn tell_beside(&self, round: Round, told: Transaction) {
        self.core.evidence.tell_beside(round, told);
    }

    /// Writes down on this member's disk, durably, what is about to be told to switch off: its machine may be lost before
    /// the takeover is committed, and then nobody else knows.
    ///
    /// # Errors
    /// When it cannot be written; then it must not be told.
    pub fn note_shot(&self, shot: Shot) -> Result<(), StoreError> {
        self.core.shots.note(shot).map_err(StoreError::Io)
    }

    /// What this member has told to switch off, in this start or an earlier one, and is not settled.
    pub fn shots(&self) -> Vec<Shot> {
        self.core.shots.all()
    }

    /// It is settled what became of all of them.
    pub fn forget_shots(&self) {
        self.core.shots.forget();
    }

    /// Ends an attempt that has taken too long, or gives a promise back.
    pub fn give_up_takeover(&self) {
        self.core.link.part.change(Takeover::give_up);
    }

    /// The takeovers that the log tells of, the newest first.
    pub fn takeovers(&self) -> Vec<Record> {
        takeover::records(&self.core)
    }

    /// The voters that takeovers took out and that do not vote again yet: their names by their ids.
    pub fn set_aside(&self) -> BTreeMap<MemberId, String> {
        takeover::all_set_aside(&self.core)
            .into_iter()
            .map(|(id, aside)| (id, aside.member.name))
            .collect()
    }

    /// The whole state, as one stream of checked blocks for one file. What was acknowledged before the
    /// call is in it.
    pub async fn backup(&self) -> Result<BoxStream<'static, io::Result<Bytes>>, StoreError> {
        self.barrier().await?;
        let blocks = Blocks::new(&self.core.shared);
        Ok(stream::iter(blocks).map(Ok).boxed())
    }

    /// Where frames from other members go.
    pub fn receiver(&self) -> Arc<dyn Receive> {
        self.receiver.clone()
    }

    /// Stops this member: watches end, calls fail, the log is closed. Hand the leadership over first.
    pub async fn shutdown(&self) {
        self.core.stop.send_replace(true);
        self.core.shared.close();
        let log = self.core.log.clone();
        tokio::select! {
            // An error says that it had stopped already.
            _ = self.core.raft.shutdown() => {}
            // It may be waiting for a vote to reach the disk, and the log may have no thread.
            () = start::turn(&log, self.core.config.disk_work) => {}
        }
        let closed = rt::blocking(self.core.config.inline_io(), move || {
            log.close();
            Ok(())
        });
        if let Err(error) = closed.await {
            tracing::error!(%error, "the log could not be closed");
        }
    }
}
