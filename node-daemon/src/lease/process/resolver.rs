use super::super::Rings;
use super::{LeaseError, system};
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::mpsc as std_mpsc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::mpsc;

/// How often names are looked up again: an address may change, and a name server may have been away.
const AGAIN: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_secs(2);

/// Where each member is reached on each ring; none: not, or not known yet.
pub(super) type Table = Vec<Vec<Option<SocketAddr>>>;

/// Looks names up on a thread of its own, because a name server may keep one waiting.
#[derive(Debug)]
pub(super) struct Resolver {
    wanted: std_mpsc::Sender<Vec<Rings>>,
    found: mpsc::Receiver<Table>,
}

impl Resolver {
    pub(super) fn start() -> Result<Self, LeaseError> {
        let (wanted, requests) = std_mpsc::channel();
        let (answers, found) = mpsc::channel(4);
        std::thread::Builder::new()
            .name("resolver".to_owned())
            .spawn(move || resolve(&requests, &answers))
            .map_err(system("cannot start a thread that looks up names"))?;
        Ok(Self { wanted, found })
    }

    /// From now on these are the members. Plain addresses are known at once.
    pub(super) fn members_are(&self, members: &[Rings]) -> Table {
        // Its thread ends when this side is dropped, and not before.
        let _ = self.wanted.send(members.to_vec());
        table(members, |address| address.parse().ok())
    }

    /// Another table, once names have been found.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Table>> {
        self.found.poll_recv(context)
    }
}

fn resolve(requests: &std_mpsc::Receiver<Vec<Rings>>, answers: &mpsc::Sender<Table>) {
    let mut members: Vec<Rings> = Vec::new();
    let mut known = Table::new();
    let mut wait = AGAIN;
    loop {
        match requests.recv_timeout(wait) {
            Ok(newer) => {
                known = table(&newer, |address| address.parse().ok());
                members = newer;
            }
            Err(std_mpsc::RecvTimeoutError::Timeout) => {}
            Err(std_mpsc::RecvTimeoutError::Disconnected) => return,
        }
        let mut missing = false;
        let found = table(&members, |address| {
            let found = address
                .to_socket_addrs()
                .ok()
                .and_then(|mut all| all.next());
            missing |= found.is_none();
            found
        });
        wait = if missing { SOON } else { AGAIN };
        if found != known {
            if answers.blocking_send(found.clone()).is_err() {
                return;
            }
            known = found;
        }
    }
}

fn table(members: &[Rings], mut find: impl FnMut(&str) -> Option<SocketAddr>) -> Table {
    members
        .iter()
        .map(|rings| {
            rings
                .iter()
                .map(|address| {
                    if address.is_empty() {
                        None
                    } else {
                        find(address)
                    }
                })
                .collect()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    #[tokio::test]
    async fn addresses_are_known_at_once_and_names_when_they_were_found() {
        let mut resolver = Resolver::start().expect("started");
        let members = vec![
            vec!["127.0.0.1:7443".to_owned(), String::new()],
            vec!["localhost:7444".to_owned()],
        ];
        let at_once = resolver.members_are(&members);
        assert_eq!(at_once[0][0], "127.0.0.1:7443".parse().ok());
        assert_eq!(at_once[1], [None]);
        let found = poll_fn(|context| resolver.poll(context))
            .await
            .expect("found");
        assert_eq!(found[1][0].map(|address| address.port()), Some(7444));
        assert_eq!(found[0], at_once[0]);
    }
}
