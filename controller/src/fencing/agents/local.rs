use std::{error::Error, path::PathBuf, sync::Arc};

use quorate_crds::AgentMetadata;

use super::{
    answer::{self, Ended},
    catalogue::Catalogue,
    metadata::Metadata,
    parameters, process, redact,
    request::{AgentFailure, AgentReport, AgentRequest},
    secrets::SecretSource,
};

/// What a status shows of a long description.
const SHOWN: usize = 1024;

/// The real agents of this machine. Cheap to clone.
#[derive(Clone)]
pub struct LocalAgents {
    catalogue: Arc<Catalogue>,
    secrets: Arc<dyn SecretSource>,
}

impl LocalAgents {
    /// The agents in these directories, told what `secrets` holds.
    #[must_use]
    pub fn new(directories: Vec<PathBuf>, secrets: Arc<dyn SecretSource>) -> Self {
        Self {
            catalogue: Arc::new(Catalogue::new(directories)),
            secrets,
        }
    }

    /// Runs an agent here. Dropping the future kills it with everything that it has started.
    pub async fn run(&self, request: AgentRequest) -> AgentReport {
        let (program, metadata) = self
            .catalogue
            .describe(&request.agent)
            .await
            .map_err(refused)?;
        let secrets = self.secrets.values(&request.secrets).map_err(refused)?;
        let input = parameters::standard_input(&metadata, &request, &secrets).map_err(refused)?;
        let ended = process::run(&program, &[], &input, request.timeout).await?;
        let shown = |text: &str| redact::redact(text, secrets.values().map(String::as_str));
        let ended = Ended {
            code: ended.code,
            output: shown(&ended.output),
            complaints: shown(&ended.complaints),
        };
        answer::interpret(request.action, &ended)
    }

    /// What an agent says about itself.
    pub async fn describe(&self, agent: &str) -> Result<AgentMetadata, AgentFailure> {
        let (_, metadata) = self.catalogue.describe(agent).await.map_err(refused)?;
        let Metadata {
            name,
            description,
            parameters,
            ..
        } = &*metadata;
        let some = |text: &str| {
            let text: String = text.chars().take(SHOWN).collect();
            (!text.is_empty()).then_some(text)
        };
        Ok(AgentMetadata {
            name: some(name).filter(|name| name.len() <= 64),
            description: some(description),
            parameters: parameters.keys().take(256).cloned().collect(),
        })
    }
}

fn refused(error: impl Error) -> AgentFailure {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        source = inner.source();
    }
    AgentFailure::Refused(text)
}
