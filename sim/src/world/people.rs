//! People who want something of the cluster, and try again until a member takes it.

use std::time::Duration;

use quorate_controller::resource::{Engine, Manifest, Unrestricted, WriteOptions};

use super::{World, waiting::Slot};
use crate::executor::ProcessId;

/// How long a person waits for an answer before trying another member.
const PATIENCE: Duration = Duration::from_secs(5);

/// When people look again whether what they wanted has stayed.
const SECOND_LOOK: Duration = Duration::from_secs(1);

/// A manifest that a member was given.
pub(super) struct Trying {
    /// Whom it is about.
    about: String,
    wanted: String,
    answer: Slot<bool>,
    until: Duration,
    member: ProcessId,
}

impl Trying {
    /// Whether it may still be taken: whoever asks another member meanwhile has not withdrawn it.
    fn may_still_come(&self) -> bool {
        !self.answer.is_forsaken()
    }
}

impl World {
    /// Gives what is wanted to a member that runs, one after the other.
    pub(super) fn let_people_ask(&mut self) {
        self.given_up.retain(Trying::may_still_come);
        if let Some(trying) = self.trying.take() {
            let lost = self.now() > trying.until || !self.executor.runs(&trying.member);
            match trying.answer.take() {
                // What was asked of another member before may be taken after it: then it is said once more.
                Some(true) if self.may_be_overtaken(&trying.about) => {
                    self.asks_at = self.now() + SECOND_LOOK;
                }
                Some(true) => {
                    // What was wanted meanwhile of the same comes next.
                    if self.wants.get(&trying.about) == Some(&trying.wanted) {
                        self.wants.remove(&trying.about);
                    }
                }
                // Whoever could not commit it in time cannot say that it never will be.
                Some(false) => drop(self.unsure.insert(trying.about)),
                None if lost => {
                    self.unsure.insert(trying.about.clone());
                    self.given_up.push(trying);
                }
                None => {
                    self.trying = Some(trying);
                    return;
                }
            }
        }
        if self.now() < self.asks_at {
            return;
        }
        let Some((about, wanted)) = self.wants.first_key_value() else {
            return;
        };
        let (about, wanted) = (about.clone(), wanted.clone());
        self.tries += 1;
        let names = self.setup.member_names();
        let asked = &names[self.tries % names.len()];
        let Some(engine) = self.running.get(asked) else {
            return;
        };
        let answer = Slot::new();
        let (told, text) = (answer.clone(), wanted.clone());
        let member = format!("quorated@{asked}");
        self.executor.inject(&member, async move {
            told.fill(apply(&engine, &text).await);
        });
        self.trying = Some(Trying {
            about,
            wanted,
            answer,
            until: self.now() + PATIENCE,
            member,
        });
    }

    /// Also by what nobody waits for any more: it may be in the log of a member already, and be committed later.
    fn may_be_overtaken(&mut self, about: &str) -> bool {
        self.unsure.remove(about) || self.given_up.iter().any(|earlier| earlier.about == about)
    }
}

async fn apply(engine: &Engine, text: &str) -> bool {
    let options = WriteOptions {
        manager: "people".to_owned(),
        dry_run: false,
        force: false,
    };
    let Ok(manifest) = Manifest::parse(text.as_bytes()) else {
        return false;
    };
    let applied = engine.apply(manifest, "", &options, &Unrestricted).await;
    if let Err(error) = &applied {
        tracing::info!(%error, "a person is refused, and tries again");
    }
    applied.is_ok()
}
