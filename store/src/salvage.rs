//! A member's directory, taken over by a person: everything in it, also what was never acknowledged to be committed, goes
//! on under a new line of history with this one member.
//!
//! What the lost members had and this one had not is gone. What they may still say one day is refused, because it is of
//! another history. The directory itself is only read.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;

use crate::{
    Bucket, Genesis, Key, Member, MemberId, Store, StoreConfig, StoreError, Transaction, View,
    Write,
    disk::Disk,
    log::{LogOptions, Mode},
    member_file::Identity,
    raft::{Vote, apply_unasked, each_from, succession},
    rt, start,
    state::{Command, Shared},
    takeover::{Evidence, Record, Round},
    transport::Transport,
};

/// Terms of the new history begin so far above: the lost members may have gone through many that this one never heard of.
const TERMS: u64 = 1_000;

/// What a member's directory holds.
pub struct Salvage {
    identity: Identity,
    shared: Arc<Shared>,
}

/// A line of history that begins with one member.
pub struct NewHistory {
    /// Its name.
    pub history_id: String,
    /// The member.
    pub member: Member,
    /// On whose word.
    pub proof: String,
    /// What stands in its first entry beside that.
    pub told: Transaction,
}

impl Salvage {
    /// Reads the directory of a member that does not run.
    pub async fn read(config: &StoreConfig, disk: Arc<dyn Disk>) -> Result<Self, StoreError> {
        let identity = Identity::load(&*disk)?.ok_or_else(|| StoreError::Foreign {
            reason: "the directory holds no member".to_owned(),
        })?;
        let options = LogOptions {
            mode: Mode::Inline,
            ..start::log_options(config)
        };
        let shared = Shared::new(config.history);
        let filled = shared.clone();
        rt::blocking(config.inline_io(), move || {
            let found = match start::find(disk, options)? {
                Ok(found) => found,
                Err(error) => return Ok(Err(error)),
            };
            if let Some(state) = found.state {
                filled.replace(state);
            }
            let applied = filled.look(|state| state.applied.map(|id| id.index));
            let read = each_from(&found.log, applied.map_or(0, |index| index + 1), |entry| {
                filled.change(|state| apply_unasked(state, entry))
            });
            found.log.close();
            read.map(Ok)
        })
        .await??;
        Ok(Self { identity, shared })
    }

    /// The objects.
    pub fn view(&self) -> View {
        self.shared.view()
    }

    /// The term of the newest entry.
    pub fn term(&self) -> u64 {
        self.shared
            .look(|state| state.applied.map_or(0, |id| id.leader_id.term))
    }

    /// The line of history.
    pub fn history_id(&self) -> &str {
        &self.identity.history_id
    }

    /// The other voters of the newest membership.
    pub fn others(&self) -> BTreeMap<MemberId, Member> {
        let own = self.identity.member_id;
        self.shared.look(|state| {
            let voters = state.membership.voter_ids().filter(|id| *id != own);
            voters
                .filter_map(|id| Some((id, state.membership.get_node(&id)?.clone())))
                .collect()
        })
    }

    /// Begins the new line of history in an empty directory.
    pub async fn found(
        self,
        config: StoreConfig,
        disk: Arc<dyn Disk>,
        net: Arc<dyn Transport>,
        new: NewHistory,
    ) -> Result<Store, StoreError> {
        start::prepare(&*disk)?;
        let genesis = Genesis {
            cluster_id: self.identity.cluster_id.clone(),
            history_id: new.history_id,
            member: new.member,
        };
        let record = self.record(&new.proof)?;
        let mut state = self.shared.change(std::mem::take);
        let term = state.applied.map_or(0, |id| id.leader_id.term);
        let time = state.time_ms;
        state.apply(term, time, Command::Transactions(vec![record, new.told]));
        let member_id = start::adopt(&mut state, &genesis, TERMS);
        let term = state.applied.map_or(0, |id| id.leader_id.term);
        let identity = Identity::new(&genesis.cluster_id, &genesis.history_id, member_id);
        let options = start::log_options(&config);
        let target = disk.clone();
        rt::blocking(config.inline_io(), move || {
            start::plant(target, options, state, Vote::new(term, member_id))
        })
        .await?;
        identity.save(&*disk)?;
        start::start(config, disk, net, &identity).await
    }

    /// What the log of the new history tells of its beginning. Nobody is set aside: the others belong to another history.
    fn record(&self, proof: &str) -> Result<Transaction, StoreError> {
        let own = self.identity.member_id;
        let term = self.term();
        let record = Record {
            term,
            round: Round {
                by: own,
                start: self.identity.start_counter,
                number: 0,
            },
            side: [own].into(),
            evidence: self
                .others()
                .into_keys()
                .map(|member| Evidence {
                    member,
                    proof: proof.to_owned(),
                })
                .collect(),
        };
        let value = serde_json::to_vec(&record).map_err(|error| StoreError::Io(error.into()))?;
        let told = succession::note(&self.identity.history_id, self.others());
        Ok(Transaction {
            conditions: Vec::new(),
            writes: vec![
                Write::Put {
                    key: Key::new(Bucket::new("takeovers"), format!("{term:020}")),
                    value: Bytes::from(value),
                    expires_at_ms: None,
                },
                told.map_err(|error| StoreError::Io(error.into()))?,
            ],
        })
    }
}
