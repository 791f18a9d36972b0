//! People at the consoles and screens of this host's guests.
//!
//! The host alone knows who is there, whichever member they came by: it lets one at a time to a serial console, tells
//! everybody who else is there, and says why a visit has ended. It asks neither the plan nor the lease: to look at a guest, and
//! to type into it, changes nothing that the cluster decides.

use crate::drivers::{DriverError, GuestDoing, Guests, HowEnded, Line, Trouble};
use crate::link::{Visit, Visits};
use futures_util::StreamExt;
use prost::bytes::Bytes;
use quorate_crds::Name;
use quorate_program::chain;
use quorate_proto::host::v1::{
    Attendee, Device, Present, VisitEnd, Visitor, from_guest::What, visit_end::Why,
};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// More are not let in at once: each of them holds a connection.
const MOST: usize = 64;
/// What is carried at once.
const PART: usize = 16 << 10;
/// How long a visitor is given to hear why it is over.
const GOODBYE: Duration = Duration::from_secs(5);
/// How long it may take until it is seen why a console ended.
const SEEN: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Receives everybody. Never ends.
pub(super) async fn receive(mut visits: Visits, guests: Arc<dyn Guests>) {
    let house = House {
        guests,
        book: Arc::default(),
    };
    let mut inside = JoinSet::new();
    loop {
        tokio::select! {
            Some(visit) = visits.next() => {
                let house = house.clone();
                inside.spawn(async move { house.welcome(visit).await });
            }
            Some(_) = inside.join_next() => {}
            else => std::future::pending().await,
        }
    }
}

#[derive(Clone)]
struct House {
    guests: Arc<dyn Guests>,
    book: Arc<Mutex<Book>>,
}

/// Who is there.
#[derive(Default)]
struct Book {
    last: u64,
    present: BTreeMap<u64, Entry>,
}

struct Entry {
    guest: String,
    device: Device,
    user: String,
    since: Instant,
    leave: Option<oneshot::Sender<String>>,
}

/// Somebody's place in the book, until he goes.
struct Place {
    book: Arc<Mutex<Book>>,
    number: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        open(&self.book).present.remove(&self.number);
    }
}

fn open(book: &Mutex<Book>) -> MutexGuard<'_, Book> {
    // An entry cannot be left half written.
    book.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Book {
    fn of(&self, guest: &str) -> Vec<Attendee> {
        self.present
            .values()
            .filter(|entry| entry.guest == guest)
            .map(|entry| Attendee {
                user: entry.user.clone(),
                device: entry.device.into(),
                seconds: entry.since.elapsed().as_secs(),
            })
            .collect()
    }

    /// Enters a visitor, and says who was there; or why he may not come in.
    fn enter(
        &mut self,
        visitor: &Visitor,
    ) -> Result<(u64, Vec<Attendee>, oneshot::Receiver<String>), VisitEnd> {
        if self.present.len() >= MOST {
            let reason = format!("{MOST} visitors are on this host, and more are not let in");
            return Err(end(Why::Refused, reason));
        }
        let others = self.of(&visitor.guest);
        if visitor.device() == Device::Serial {
            let there = self
                .present
                .values_mut()
                .find(|entry| entry.device == Device::Serial && entry.guest == visitor.guest);
            if let Some(there) = there {
                if !visitor.force {
                    let reason = format!(
                        "{} has been at the console of guest {} for {} s; --force takes it over",
                        there.user,
                        visitor.guest,
                        there.since.elapsed().as_secs()
                    );
                    return Err(end(Why::Taken, reason));
                }
                if let Some(leave) = there.leave.take() {
                    // He may be on his way out.
                    let _ = leave.send(format!("{} took the console over", visitor.user));
                }
            }
        }
        self.last += 1;
        let (leave, asked) = oneshot::channel();
        self.present.insert(
            self.last,
            Entry {
                guest: visitor.guest.clone(),
                device: visitor.device(),
                user: visitor.user.clone(),
                since: Instant::now(),
                leave: Some(leave),
            },
        );
        Ok((self.last, others, asked))
    }
}

fn end(why: Why, reason: String) -> VisitEnd {
    VisitEnd {
        why: why.into(),
        reason,
    }
}

impl House {
    async fn welcome(&self, visit: Visit) {
        let Visit {
            visitor,
            say,
            mut hear,
        } = visit;
        let over = self.serve(&visitor, &say, &mut hear).await;
        // Whoever has gone himself hears no more.
        if say.send(What::End(over)).await.is_ok() {
            drop(say);
            let gone = async { while hear.recv().await.is_some() {} };
            let _ = tokio::time::timeout(GOODBYE, gone).await;
        }
    }

    async fn serve(
        &self,
        visitor: &Visitor,
        say: &mpsc::Sender<What>,
        hear: &mut mpsc::Receiver<Bytes>,
    ) -> VisitEnd {
        let guest = Name(visitor.guest.clone());
        if visitor.only_looks {
            let others = open(&self.book).of(&visitor.guest);
            let _ = say.send(What::Present(Present { others })).await;
            return end(Why::Over, String::new());
        }
        let entered = open(&self.book).enter(visitor);
        let (number, others, asked) = match entered {
            Ok(entered) => entered,
            Err(refused) => return refused,
        };
        let _place = Place {
            book: Arc::clone(&self.book),
            number,
        };
        let line = match visitor.device() {
            Device::Serial => self.guests.console(&guest, visitor.force).await,
            Device::Screen => self.guests.screen(&guest).await,
        };
        let line = match line {
            Ok(line) => line,
            Err(error) => return refusal(&error),
        };
        tracing::info!(%guest, user = visitor.user, device = ?visitor.device(), "a visitor is let in");
        if say.send(What::Present(Present { others })).await.is_err() {
            return end(Why::Over, String::new());
        }
        tokio::select! {
            biased;
            Ok(reason) = asked => end(Why::Over, reason),
            ended = carry(line, say, hear) => match ended {
                Ended::Visitor => end(Why::Over, String::new()),
                Ended::Guest => end(Why::Over, self.why_ended(&guest).await),
            },
        }
    }

    /// A console ends a moment before it is seen why.
    async fn why_ended(&self, guest: &Name) -> String {
        let begun = Instant::now();
        loop {
            let doing = match self.guests.observe().await {
                Ok(all) => all
                    .into_iter()
                    .find(|seen| seen.owner.object() == Some(guest))
                    .map(|seen| seen.doing),
                Err(error) => return chain(&error),
            };
            match doing {
                None => return format!("guest {guest} is not on this host any more"),
                Some(GuestDoing::Off(HowEnded::Migrated)) => {
                    return format!("guest {guest} has moved to another host");
                }
                Some(GuestDoing::Off(_)) => return format!("guest {guest} is off"),
                Some(_) if begun.elapsed() < SEEN => tokio::time::sleep(LOOK_AGAIN).await,
                Some(_) => {
                    return format!("the hypervisor closed it; guest {guest} is still there");
                }
            }
        }
    }
}

fn refusal(error: &DriverError) -> VisitEnd {
    let why = match error.trouble() {
        Trouble::InUse => Why::Taken,
        _ => Why::Refused,
    };
    end(why, chain(error))
}

/// Who ended it.
enum Ended {
    Guest,
    Visitor,
}

async fn carry(line: Line, say: &mpsc::Sender<What>, hear: &mut mpsc::Receiver<Bytes>) -> Ended {
    let (mut from, mut into) = tokio::io::split(line);
    let out = async {
        let mut part = vec![0; PART];
        loop {
            match from.read(&mut part).await {
                Ok(0) | Err(_) => return Ended::Guest,
                Ok(read) => {
                    let data = Bytes::copy_from_slice(&part[..read]);
                    if say.send(What::Data(data)).await.is_err() {
                        return Ended::Visitor;
                    }
                }
            }
        }
    };
    let back = async {
        while let Some(data) = hear.recv().await {
            if into.write_all(&data).await.is_err() {
                return Ended::Guest;
            }
        }
        Ended::Visitor
    };
    tokio::select! {
        ended = out => ended,
        ended = back => ended,
    }
}
