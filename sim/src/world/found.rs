//! How a cluster is founded.

use quorate_controller::resource::{Manifest, Unrestricted, WriteOptions};

use super::{Kind, World, manifests::manifests};
use crate::member::{Beginning, member};

impl World {
    /// Founds the cluster, lets every member join and vote, says what is wanted, and starts the hosts' daemons.
    pub fn found(&mut self) -> Result<(), String> {
        let names = self.setup.member_names();
        let (first, others) = names.split_first().ok_or("no machine carries a member")?;
        self.begin_member(first, Beginning::Found)?;
        for name in others {
            let id = self.at(first, |engine| async move {
                engine.store().allocate_member_id().await
            })?;
            self.begin_member(name, Beginning::Join(id))?;
            let joining = member(name);
            self.at(first, move |engine| async move {
                engine.store().add_learner(id, joining).await?;
                engine.store().promote(id).await
            })?;
        }
        for manifest in manifests(&self.setup.clone()) {
            self.apply(first, manifest)?;
        }
        for host in self.setup.host_names() {
            for kind in [Kind::Lease, Kind::Node] {
                let process = format!("{}@{host}", kind.program());
                self.start(&process, kind, Beginning::Again);
            }
        }
        Ok(())
    }

    /// Somebody applies a manifest through a member.
    pub(crate) fn apply(&mut self, member: &str, manifest: String) -> Result<(), String> {
        let options = WriteOptions {
            manager: "people".to_owned(),
            dry_run: false,
            force: false,
        };
        let text = manifest.clone();
        let applied = self.at(member, move |engine| async move {
            let manifest = Manifest::parse(text.as_bytes())?;
            engine
                .apply(manifest, "", &options, &Unrestricted)
                .await
                .map(drop)
        });
        applied.map_err(|error| format!("{error}:\n{manifest}"))
    }

    fn begin_member(&mut self, name: &str, beginning: Beginning) -> Result<(), String> {
        self.start(&format!("quorated@{name}"), Kind::Member, beginning);
        self.engine_of(name).map(drop)
    }
}
