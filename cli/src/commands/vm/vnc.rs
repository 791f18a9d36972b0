//! `quorate vm vnc`: a port on this machine that leads to a guest's screen.

use std::{net::Ipv4Addr, sync::Arc};

use quorate_proto::api::v1::{ConsoleDevice, ConsoleOpen};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use super::console::describe;
use crate::{
    client::{Client, Output},
    error::CliError,
    object,
    session::Session,
};

/// What is carried at once.
const PART: usize = 64 << 10;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "The port is open for programs on this machine only, until the command is ended with Ctrl-C. A password that the \
                  screen has (`spec.display.password`) is asked for by the viewer."
)]
pub(crate) struct Args {
    /// The guest
    #[arg(value_name = "NAME")]
    name: String,
    /// The port to listen on; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    port: u16,
}

pub(crate) async fn run(session: &Session, args: &Args) -> Result<(), CliError> {
    let client = session.client().await?;
    let (guest, _) = client.get("virtualmachines", &args.name, false).await?;
    let protocol = match object::text(&guest, "/status/display/protocol") {
        "" => {
            return Err(CliError::usage(format!(
                "virtualmachine/{} shows no screen at present: it does not run, or its spec.display.protocol is None",
                args.name
            )));
        }
        protocol => protocol.to_lowercase(),
    };
    let looks = ConsoleOpen {
        guest: args.name.clone(),
        only_look: true,
        ..ConsoleOpen::default()
    };
    for visitor in &client.attach(&looks).await?.opened.others {
        session
            .console
            .note(&format!("also there: {}", describe(visitor)));
    }
    let failed = |source| CliError::Local {
        doing: format!("cannot listen on port {} of this machine", args.port),
        source,
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, args.port))
        .await
        .map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    session.console.line(&format!("{protocol}://{address}"))?;
    session
        .console
        .note("open that address with a viewer; Ctrl-C ends it");
    let mut viewers = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (viewer, _) = accepted.map_err(failed)?;
                viewers.spawn(carry(Arc::clone(&client), args.name.clone(), viewer));
            }
            Some(ended) = viewers.join_next() => match ended {
                Ok(Ok(reason)) if reason.is_empty() => {}
                Ok(Ok(reason)) => session.console.note(&format!("the screen is closed: {reason}")),
                Ok(Err(error)) => session.console.error(&error),
                Err(error) => return Err(CliError::Broken(format!("a viewer was not served: {error}"))),
            },
        }
    }
}

/// One viewer, until either side ends; why the guest's side did.
async fn carry(client: Arc<Client>, guest: String, viewer: TcpStream) -> Result<String, CliError> {
    let open = ConsoleOpen {
        guest,
        device: ConsoleDevice::Screen.into(),
        ..ConsoleOpen::default()
    };
    let (input, mut screen) = client.attach(&open).await?.split();
    let (mut from, mut into) = viewer.into_split();
    let shown = async {
        loop {
            match screen.next().await? {
                Output::Data(data) => {
                    if into.write_all(&data).await.is_err() {
                        return Ok::<_, CliError>(String::new());
                    }
                }
                Output::End(reason) => return Ok(reason),
            }
        }
    };
    let typed = async {
        let mut part = vec![0; PART];
        loop {
            match from.read(&mut part).await {
                Ok(0) | Err(_) => return String::new(),
                Ok(read) => {
                    if !input.send(part[..read].to_vec()).await {
                        // The other side says why.
                        return std::future::pending().await;
                    }
                }
            }
        }
    };
    tokio::select! {
        shown = shown => shown,
        reason = typed => Ok(reason),
    }
}
