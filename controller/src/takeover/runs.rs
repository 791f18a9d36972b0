use std::{collections::BTreeMap, sync::Arc};

use tokio::task::{AbortHandle, JoinSet};

use crate::fencing::{
    Run, RunId,
    agents::{AgentReport, Agents},
};

/// The agents that run for a takeover. They end with it.
pub(super) struct Runs {
    agents: Arc<dyn Agents>,
    work: JoinSet<(RunId, AgentReport)>,
    handles: BTreeMap<RunId, AbortHandle>,
}

impl Runs {
    pub(super) fn new(agents: Arc<dyn Agents>) -> Self {
        Self {
            agents,
            work: JoinSet::new(),
            handles: BTreeMap::new(),
        }
    }

    pub(super) fn start(&mut self, run: Run) {
        let report = self.agents.run(&run.member, run.request);
        let id = run.id;
        let handle = self.work.spawn(async move { (id, report.await) });
        self.handles.insert(id, handle);
    }

    pub(super) fn cancel(&mut self, ids: Vec<RunId>) {
        for id in ids {
            if let Some(handle) = self.handles.remove(&id) {
                handle.abort();
            }
        }
    }

    /// The next report; never, while none runs.
    pub(super) async fn next(&mut self) -> (RunId, AgentReport) {
        loop {
            match self.work.join_next().await {
                Some(Ok((id, report))) => {
                    self.handles.remove(&id);
                    return (id, report);
                }
                // It was cancelled.
                Some(Err(_)) => {}
                None => std::future::pending().await,
            }
        }
    }
}
