//! Whose turn it is to change what all hosts of a group share: its metadata.

use crate::records::Ending;
use crate::rights::{Answer, answer, held};
use crate::round::Round;
use crate::state::{Record, Subject, SubjectKind};
use quorate_crds::{ReplicaData, StorageAssignment, Volume};

/// The one record of a group that may change its metadata now, if there is one.
pub(super) struct Turn {
    taken: Option<(Subject, String)>,
    /// What keeps it from being done.
    pub(super) obstacle: Option<String>,
}

impl Turn {
    pub(super) fn of(round: &Round<'_>, pool: &str, volumes: &[(&str, &Volume)]) -> Self {
        let group = Subject::new(SubjectKind::Pool, pool);
        let subjects = volumes.iter().map(|(name, _)| Subject::volume(name));
        let mut turn = Self {
            taken: None,
            obstacle: None,
        };
        for subject in std::iter::once(group).chain(subjects) {
            let records = round.state.records_of(&subject).into_iter().flatten();
            for (host, record) in records {
                if turn.taken.is_none() && changes(round, record) {
                    if let Answer::Ended(Ending::NotStarted, message) = answer(record) {
                        turn.obstacle = Some(format!("{host}: {message}"));
                    }
                    turn.taken = Some((subject.clone(), host.to_owned()));
                }
            }
        }
        turn
    }

    /// Takes the turn, unless it is another record's.
    pub(super) fn take(&mut self, subject: &Subject, host: &str) -> bool {
        if self.is_of(subject, host) {
            return true;
        }
        let free = self.taken.is_none();
        if free {
            self.taken = Some((subject.clone(), host.to_owned()));
        }
        free
    }

    fn is_of(&self, subject: &Subject, host: &str) -> bool {
        let taken = self.taken.as_ref();
        taken.is_some_and(|(known, on)| known == subject && on == host)
    }

    /// Who has it, for people.
    pub(super) fn holder(&self) -> Option<String> {
        let (subject, host) = self.taken.as_ref()?;
        Some(format!(
            "{host} is at {} {}",
            subject.kind.as_str(),
            subject.name
        ))
    }
}

/// Whether the host may be changing the metadata under that record at this moment.
fn changes(round: &Round<'_>, record: &Record) -> bool {
    let Some(assigned) = &record.spec.assignment else {
        return false;
    };
    let Some(storage) = &assigned.storage else {
        return false;
    };
    let done = assigned.active && answer(record) == Answer::Converged;
    asks_for_change(storage) && held(&round.hosts, record) && !done
}

fn asks_for_change(storage: &StorageAssignment) -> bool {
    storage.make || storage.data != ReplicaData::Keep
}
