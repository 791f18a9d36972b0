//! Networks on this machine: what is there is read from the kernel, what is to change is asked of `quorate-network`.
//!
//! That process holds the checkpoint and the deadline of every change, so that a daemon that is killed, hangs or is
//! upgraded in the middle leaves no host cut off. Here is only the translation: manifests into [`quorate_network::Wanted`],
//! interfaces into what is reported.

mod errors;
mod flaps;
mod mark;
mod names;
mod seen;
mod wanted;
mod ways;

use super::{Doing, DriverError, Hint, Hints, NetworkSeen, NetworkTarget, Networks, Trouble};
use errors::Errors;
use flaps::Flaps;
use futures_util::{StreamExt, stream};
use mark::Mark;
use quorate_crds::{LinkState, Name};
use quorate_network::keeper::{Directory, Records, Shelf};
use quorate_network::kernel::{Kernel, KernelError};
use quorate_network::netlink::{Machine, Watch};
use quorate_network::probe::Prober;
use quorate_network::service::{Answer, AskError, Client, Question, Word};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::net::unix::pipe::Receiver;
use tokio::sync::watch;

/// The networks of this machine.
#[derive(Clone, Debug)]
pub(super) struct Interfaces {
    client: Client,
    shelf: Directory,
    /// None when the system gave no thread for it.
    prober: Option<Prober>,
    found: watch::Receiver<()>,
    flaps: Arc<Mutex<Flaps>>,
    errors: Arc<Mutex<Errors>>,
    mark: Arc<Mutex<Mark>>,
    /// Where hosts' names are written, and why they are not, per network.
    hosts: PathBuf,
    unnamed: Arc<Mutex<BTreeMap<String, String>>>,
}

impl Interfaces {
    /// With `quorate-network` where its unit puts it.
    pub(super) fn of_this_host() -> Self {
        let (tell, found) = watch::channel(());
        let prober = Prober::begin(move || tell.send_replace(()));
        Self {
            prober: prober
                .inspect_err(
                    |error| tracing::warn!(%error, "the ways to other hosts are not probed"),
                )
                .ok(),
            found,
            flaps: Arc::default(),
            errors: Arc::default(),
            mark: Arc::default(),
            hosts: PathBuf::from("/etc/hosts"),
            unnamed: Arc::default(),
            client: Client(PathBuf::from("/run/quorate-network/socket")),
            shelf: Directory(PathBuf::from("/var/lib/quorate-network")),
        }
    }

    /// The kernel and the process are asked on a thread that may wait.
    async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce(Self) -> Result<T, DriverError> + Send + 'static,
    ) -> Result<T, DriverError> {
        let own = self.clone();
        tokio::task::spawn_blocking(move || work(own))
            .await
            .unwrap_or_else(|error| {
                let words = "what was asked of this host's networks ended in the middle";
                Err(DriverError::unclear(Trouble::UnknownAnswer, words).because(error))
            })
    }

    /// Puts the names of the network's hosts, and others, into the host's own file, or takes them away.
    async fn name(&self, network: &Name, lines: Vec<String>, others: Vec<(String, IpAddr)>) {
        let network = network.to_string();
        let put = self
            .aside(move |own| {
                let file = own.hosts.display();
                let why = match names::put_with(&own.hosts, &network, lines, &others) {
                    Ok(clashes) => clashes
                        .into_iter()
                        .map(|clash| format!("{clash} in {file}, and is left so"))
                        .reduce(|all, clash| format!("{all}; {clash}")),
                    Err(error) => Some(format!("names cannot be written to {file}: {error}")),
                };
                let mut unnamed = lock(&own.unnamed);
                match why {
                    None => _ = unnamed.remove(&network),
                    Some(why) => {
                        tracing::warn!(network, why);
                        unnamed.insert(network, why);
                    }
                }
                Ok(())
            })
            .await;
        if let Err(error) = put {
            tracing::warn!(%error, "hosts' names were not written");
        }
    }

    /// What is known of a network that is gone for good goes, too.
    async fn tidy(&self, network: &Name) -> Result<(), DriverError> {
        let name = network.to_string();
        let there = self
            .aside(move |own| {
                let records = own.records()?;
                let tried = records.trial.as_ref();
                Ok(records.kept.contains_key(&name)
                    || tried.is_some_and(|trial| trial.network == name))
            })
            .await?;
        if there {
            return Ok(());
        }
        self.name(network, Vec::new(), Vec::new()).await;
        if let Some(prober) = &self.prober {
            prober.forget(network.as_str());
            prober.forget(&ways::outside_of(network.as_str()));
        }
        Ok(())
    }

    fn records(&self) -> Result<Records, DriverError> {
        self.shelf.load().map_err(|error| {
            DriverError::lasting(Trouble::UnknownAnswer, error.to_string()).because(error)
        })
    }

    async fn ask(&self, question: Question) -> Result<(), DriverError> {
        // Whatever comes of it, the firewall may be another one then.
        lock(&self.mark).forget();
        self.aside(move |own| match own.client.ask(&question) {
            Ok(Answer::Done) => Ok(()),
            Ok(Answer::Refused(word, words)) => Err(refused(word, words)),
            Err(error) => Err(unanswered(error)),
        })
        .await
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unanswered(error: AskError) -> DriverError {
    let message = error.to_string();
    match error {
        AskError::NotThere(cause) => {
            DriverError::passing(Trouble::NotInstalled, message).because(cause)
        }
        AskError::NoAnswer(cause) => {
            DriverError::unclear(Trouble::TimedOut, message).because(cause)
        }
    }
}

fn refused(word: Word, words: String) -> DriverError {
    match word {
        Word::Waits => DriverError::passing(Trouble::WaitsForOthers, words),
        Word::DeviceMissing => DriverError::passing(Trouble::DeviceMissing, words),
        Word::InUse => DriverError::passing(Trouble::InUse, words),
        Word::Refused => DriverError::passing(Trouble::Refused, words),
        Word::Restless => DriverError::passing(Trouble::DoesNotConverge, words),
        Word::ForeignInTheWay => DriverError::lasting(Trouble::ForeignInTheWay, words),
        Word::NotSupported => DriverError::lasting(Trouble::NotSupported, words),
        Word::RolledBack => DriverError::lasting(Trouble::RolledBack, words),
    }
}

fn unread(error: KernelError) -> DriverError {
    DriverError::passing(Trouble::Refused, error.to_string()).because(error)
}

/// The next time that something was said.
async fn heard(watch: Receiver) -> Option<(Hint, Receiver)> {
    /// ENOBUFS: the kernel said more than fitted.
    const OVERRUN: i32 = 105;
    let mut said = [0; 4096];
    loop {
        watch.readable().await.ok()?;
        match watch.try_read(&mut said) {
            Ok(0) => return None,
            Ok(_) => return Some((Hint::Anything, watch)),
            Err(error) if error.raw_os_error() == Some(OVERRUN) => {
                return Some((Hint::Anything, watch));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => {
                tracing::warn!(%error, "the kernel does not say any more when a link changes");
                return None;
            }
        }
    }
}

impl Networks for Interfaces {
    fn observe(&self) -> Doing<'_, Vec<NetworkSeen>> {
        Box::pin(self.aside(|own| {
            let records = own.records()?;
            let host = Machine.observe().map_err(unread)?;
            let mut all = seen::networks(&host, &records);
            if records.present().any(|wanted| wanted.guard.is_some()) {
                let mark = lock(&own.mark).look(Instant::now(), || Machine.firewall());
                seen::firewall(&mut all, &records, &records.firewall(&host), mark);
            }
            let mut flaps = lock(&own.flaps);
            let mut errors = lock(&own.errors);
            for seen in &mut all {
                let Some(name) = seen.owner.object() else {
                    continue;
                };
                seen::flapping(
                    &host,
                    &records,
                    name.as_str(),
                    &mut seen.status,
                    |card, downs| flaps.count(card, downs, Instant::now()),
                );
                seen::damaged(
                    &host,
                    &records,
                    name.as_str(),
                    &mut seen.status,
                    |device, counted| errors.count(device, Instant::now(), counted),
                );
                if let Some(why) = lock(&own.unnamed).get(name.as_str()) {
                    seen::add(&mut seen.status, why);
                }
                if let Some(prober) = &own.prober {
                    let found = prober.found(name.as_str()).into_iter();
                    seen.links = found.map(ways::link).collect();
                    seen.unheard = prober.waits_for_answer(name.as_str());
                    let unfit = prober.too_large_for(name.as_str());
                    seen.unfit = unfit.map(|peer| ways::too_large(seen.status.mtu, &peer));
                    let outside = prober.found(&ways::outside_of(name.as_str()));
                    if let Some(why) = ways::cut_off(&outside) {
                        seen.status.state = Some(LinkState::Down);
                        seen::add(&mut seen.status, &why);
                    }
                }
            }
            Ok(all)
        }))
    }

    fn watch(&self) -> Hints {
        let watched = Watch::begin().and_then(|watch| {
            // A socket is read like a pipe; what was said does not matter, only that something was.
            Receiver::from_owned_fd_unchecked(watch.as_fd().try_clone_to_owned()?)
        });
        let found = stream::unfold(self.found.clone(), |mut found| async {
            found.changed().await.ok()?;
            Some((Hint::Anything, found))
        });
        match watched {
            Ok(watch) => stream::select(stream::unfold(watch, heard), found).boxed(),
            Err(error) => {
                tracing::warn!(%error, "the kernel does not say when a link changes");
                found.boxed()
            }
        }
    }

    fn apply<'a>(&'a self, target: &'a NetworkTarget) -> Doing<'a, ()> {
        Box::pin(async move {
            let wanted = wanted::wanted(target)?;
            let name = target.name.as_str();
            let prober = self.prober.as_ref();
            let heard = prober.is_some_and(|prober| prober.hears(name));
            let mut large =
                prober.map_or_else(Default::default, |prober| prober.passes_large(name));
            large.retain(|peer| ways::has_it_already(target, peer));
            let answer = self.ask(Question::Apply(Box::new(wanted))).await;
            lock(&self.mark).forget();
            if answer.is_ok() {
                let own = rustix::system::uname()
                    .nodename()
                    .to_string_lossy()
                    .into_owned();
                let (hosts, others) = (names::lines(target, &own), names::others(target));
                self.name(&target.name, hosts, others).await;
            }
            if let Some(prober) = prober
                && (answer.is_ok() || !prober.knows(name))
            {
                let outside = ways::outside_of(name);
                for (name, probed) in [
                    (name, ways::probed(target)),
                    (outside.as_str(), ways::outside(target)),
                ] {
                    match probed {
                        Some(probed) => prober.probe(name, probed),
                        None => prober.forget(name),
                    }
                }
                // Whoever was heard before the change is to be heard after it.
                if heard {
                    prober.wait_for_answer(name, true);
                }
                prober.wait_for_large(name, large);
            }
            answer
        })
    }

    fn keep<'a>(&'a self, network: &'a Name) -> Doing<'a, ()> {
        Box::pin(async move {
            self.ask(Question::Keep(network.to_string())).await?;
            if let Some(prober) = &self.prober {
                prober.wait_for_answer(network.as_str(), false);
                prober.wait_for_large(network.as_str(), BTreeSet::new());
            }
            self.tidy(network).await
        })
    }

    fn take_back<'a>(&'a self, network: &'a Name, why: &'a str) -> Doing<'a, ()> {
        Box::pin(async move {
            let question = Question::TakeBack(network.to_string(), why.to_owned());
            self.ask(question).await?;
            lock(&self.mark).forget();
            if let Some(prober) = &self.prober {
                prober.wait_for_large(network.as_str(), BTreeSet::new());
            }
            Ok(())
        })
    }

    fn remove<'a>(&'a self, network: &'a Name) -> Doing<'a, ()> {
        Box::pin(async move {
            self.ask(Question::Remove(network.to_string())).await?;
            self.tidy(network).await
        })
    }
}
