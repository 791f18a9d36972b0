use super::{Host, unexpected};
use crate::drivers::{Doing, Facts, Hints, HostFacts};
use crate::simulated::room::{HostCall, Reply};

impl Facts for Host {
    fn boot_id(&self) -> Doing<'_, String> {
        Box::pin(async move {
            match self.call(HostCall::BootId).await? {
                Reply::BootId(id) => Ok(id),
                other => Err(unexpected(&other)),
            }
        })
    }

    fn observe(&self) -> Doing<'_, HostFacts> {
        Box::pin(async move {
            match self.call(HostCall::Facts).await? {
                Reply::Facts(facts) => Ok(*facts),
                other => Err(unexpected(&other)),
            }
        })
    }

    fn watch(&self) -> Hints {
        self.hints()
    }
}
