//! How a cluster is founded.

use super::{Kind, World};
use crate::member::{Beginning, member};

impl World {
    /// Founds the cluster and lets every member join and vote.
    pub fn found(&mut self) -> Result<(), String> {
        let names = self.setup.member_names();
        let (first, others) = names.split_first().ok_or("no machine carries a member")?;
        self.begin_member(first, Beginning::Found)?;
        for name in others {
            let id = self.at(
                first,
                |store| async move { store.allocate_member_id().await },
            )?;
            self.begin_member(name, Beginning::Join(id))?;
            let joining = member(name);
            self.at(first, move |store| async move {
                store.add_learner(id, joining).await?;
                store.promote(id).await
            })?;
        }
        Ok(())
    }

    fn begin_member(&mut self, name: &str, beginning: Beginning) -> Result<(), String> {
        self.start(&format!("quorated@{name}"), Kind::Member, beginning);
        self.store_of(name).map(drop)
    }
}
