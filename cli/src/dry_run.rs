//! Trying manifests out as a whole.
//!
//! The server tries one object at a time and refuses a reference to what is not there. In a dry run of a directory
//! what is referred to may be declared in the same directory and would be there by then.

use std::collections::HashSet;

use quorate_crds::references;
use quorate_proto::api::v1::Outcome;
use serde_json::Value;

use crate::{
    client::{Change, Changed, Client, Refusal},
    error::CliError,
    manifests::Manifest,
    merge_patch::merge,
    object,
};

/// What a set of manifests declares.
#[derive(Debug)]
pub(crate) struct Declared(HashSet<(String, String)>);

impl Declared {
    pub(crate) fn by(manifests: &[Manifest]) -> Self {
        let names = manifests.iter().map(|manifest| {
            let object = &manifest.object;
            (
                object::kind(object).to_owned(),
                object::name(object).to_owned(),
            )
        });
        Self(names.collect())
    }

    /// What applying a manifest would make of its object.
    pub(crate) async fn try_out(
        &self,
        client: &Client,
        manifest: &Value,
        change: &Change,
    ) -> Result<Changed, CliError> {
        let change = Change {
            dry_run: true,
            ..change.clone()
        };
        match client.apply(manifest, &change).await {
            Err(CliError::Refused(refusal))
                if self.will_have(&refusal, manifest)
                    || self.gives_role_along(client, &refusal, manifest).await? =>
            {
                let live = client
                    .find(object::kind(manifest), object::name(manifest))
                    .await?;
                let outcome = if live.is_some() {
                    Outcome::Configured
                } else {
                    Outcome::Created
                };
                let mut proposed = live.unwrap_or_default();
                merge(&mut proposed, manifest);
                Ok(Changed {
                    object: Some(proposed),
                    outcome,
                    warnings: Vec::new(),
                })
            }
            tried => tried,
        }
    }

    /// Whether a binding was refused because its Role is not there to be looked into, and the Role is declared
    /// here. What the server thinks of giving it away is known only when the Role exists.
    async fn gives_role_along(
        &self,
        client: &Client,
        refusal: &Refusal,
        manifest: &Value,
    ) -> Result<bool, CliError> {
        let role = object::text(manifest, "/spec/role");
        let declared = self.0.contains(&("Role".to_owned(), role.to_owned()));
        Ok(object::kind(manifest) == "RoleBinding"
            && refusal.reason == "Forbidden"
            && declared
            && client.find("Role", role).await?.is_none())
    }

    /// Whether all that was missed is declared here.
    fn will_have(&self, refusal: &Refusal, manifest: &Value) -> bool {
        let references = references::of(object::kind(manifest), manifest);
        let causes = &refusal.details.causes;
        refusal.is_invalid()
            && !causes.is_empty()
            && causes.iter().all(|cause| {
                references.iter().any(|reference| {
                    reference.path == cause.field
                        && self
                            .0
                            .contains(&(reference.kind.to_owned(), reference.name.clone()))
                })
            })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(fields: &[&str]) -> Refusal {
        let causes: Vec<_> = fields.iter().map(|field| json!({"field": field})).collect();
        serde_json::from_value(json!({"reason": "Invalid", "details": {"causes": causes}}))
            .expect("a refusal")
    }

    #[test]
    fn only_what_is_declared_along_is_taken_for_granted() {
        let pool = json!({"kind": "StoragePool", "metadata": {"name": "fast"}});
        let volume = json!({"kind": "Volume", "metadata": {"name": "data"}, "spec": {"pool": "fast", "nodes": ["an01"]}});
        let along = Declared::by(&[Manifest {
            object: pool,
            origin: "pool.yaml".to_owned(),
        }]);

        assert!(along.will_have(&refused(&["spec.pool"]), &volume));
        assert!(
            !along.will_have(&refused(&["spec.pool", "spec.nodes[0]"]), &volume),
            "no Node is declared"
        );
        assert!(
            !along.will_have(&refused(&["spec.size"]), &volume),
            "a size is no reference"
        );
        assert!(
            !along.will_have(&refused(&[]), &volume),
            "nothing is known about why"
        );
    }
}
