use std::sync::Arc;

use futures_util::{FutureExt, future::BoxFuture};
use quorate_proto::member::v1::{RunAgentReply, RunAgentRequest};
use quorate_store::Store;

use super::MemberCalls;
use crate::fencing::CallRunAgent;

/// Fencing knows members by their names, as devices' `runOn` does; calls go to ids.
pub struct CallsByName {
    store: Store,
    calls: Arc<dyn MemberCalls>,
}

impl CallsByName {
    /// Calls to the members that `store` knows.
    pub fn new(store: Store, calls: Arc<dyn MemberCalls>) -> Self {
        Self { store, calls }
    }
}

impl CallRunAgent for CallsByName {
    fn run_agent(
        &self,
        member: &str,
        request: RunAgentRequest,
    ) -> BoxFuture<'static, Result<RunAgentReply, String>> {
        let known = self.store.status().members;
        let Some(found) = known.into_iter().find(|known| known.name == member) else {
            let reason = format!("no member is called {member:?}");
            return async move { Err(reason) }.boxed();
        };
        let call = self.calls.run_agent(found.id, request);
        async move { call.await.map_err(|error| error.to_string()) }.boxed()
    }
}
