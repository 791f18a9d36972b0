//! `quorate-operator`: one replica of the operator, in a pod or on a desk.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc};

use clap::Parser;
use quorate_operator::{
    Operator,
    config::{Config, ConfigError},
    health::Health,
    kubernetes::Times,
    metrics::Metrics,
    serve::serve,
};
use thiserror::Error;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

/// Mirror Quorate's kinds between a Kubernetes cluster and Quorate clusters
#[derive(Debug, Parser)]
#[command(name = "quorate-operator", version)]
struct Args {
    /// The file that names the clusters
    #[arg(
        long,
        value_name = "FILE",
        default_value = "/etc/quorate-operator/config.yaml"
    )]
    config: PathBuf,
    /// Where health and figures are shown
    #[arg(long, value_name = "ADDRESS", default_value = "[::]:8080")]
    listen: SocketAddr,
    /// The operator's namespace: its lease, its credentials, and the Secrets that objects refer to
    #[arg(long, env = "POD_NAMESPACE", default_value = "quorate-system")]
    namespace: String,
    /// What this replica calls itself; no other one may have this name
    #[arg(long, env = "POD_NAME")]
    identity: String,
    /// Write the log as JSON, one object per line
    #[arg(long)]
    log_json: bool,
}

#[derive(Debug, Error)]
enum StartError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("there is no kube-apiserver to be found")]
    Kubernetes(#[source] Box<kube::Error>),
    #[error("there is no kube-apiserver to be found")]
    NoKubernetes(#[source] kube::config::InferConfigError),
    #[error("cannot listen on {0}")]
    Listen(SocketAddr, #[source] std::io::Error),
    #[error("cannot hear signals")]
    Signals(#[source] std::io::Error),
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    quorate_program::begin(args.log_json, "info");
    match run(args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "not started");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<(), StartError> {
    let config = Config::load(&args.config)?;
    let apiserver = kube::Config::infer()
        .await
        .map_err(StartError::NoKubernetes)?;
    let client = kube::Client::try_from(apiserver)
        .map_err(|error| StartError::Kubernetes(Box::new(error)))?;
    let listener = TcpListener::bind(args.listen)
        .await
        .map_err(|error| StartError::Listen(args.listen, error))?;
    let mut terminate = signal(SignalKind::terminate()).map_err(StartError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(StartError::Signals)?;
    let (metrics, health) = (Arc::<Metrics>::default(), Arc::<Health>::default());
    tokio::spawn(serve(listener, metrics.clone(), health.clone()));
    let operator = Operator {
        client,
        namespace: args.namespace,
        identity: args.identity,
        config,
        times: Times::default(),
        metrics,
        health,
    };
    operator
        .run(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        })
        .await;
    Ok(())
}
