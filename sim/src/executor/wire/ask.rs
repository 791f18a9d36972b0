use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

use super::{Broken, Held, Parcel, Way, Wire};

/// Who waits for an answer; whoever answers first, or gives up first, takes it.
struct Waiter<T>(Arc<Mutex<Option<Sender<T>>>>);

type Sender<T> = oneshot::Sender<Result<T, Broken>>;

impl<T> Clone for Waiter<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Waiter<T> {
    fn tell(&self, result: Result<T, Broken>) {
        let waiter = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waiter) = waiter {
            // Who asked may have lost patience.
            let _ = waiter.send(result);
        }
    }
}

/// Forgets a question when who asked no longer waits.
struct Forget(Wire, u64);

impl Drop for Forget {
    fn drop(&mut self) {
        let held = self.0.lock().held.remove(&self.1);
        drop(held);
    }
}

impl Wire {
    /// Asks another process: `handle` is made and run there, and its result comes back.
    ///
    /// The caller limits its patience itself; what the other does is not undone when it loses it.
    pub async fn ask<T: Send + 'static>(
        &self,
        from: &str,
        to: &str,
        label: &str,
        digest: u64,
        handle: impl FnOnce() -> BoxFuture<'static, T> + Send + 'static,
    ) -> Result<T, Broken> {
        let (sender, answer) = oneshot::channel();
        let waiter = Waiter(Arc::new(Mutex::new(Some(sender))));
        let id = {
            let mut inner = self.lock();
            let (Some(asking), Some(asked)) =
                (inner.lives.get(from).copied(), inner.lives.get(to).copied())
            else {
                return Err(Broken::Unreachable);
            };
            let id = inner.number();
            let failing = waiter.clone();
            let held = Held {
                ends: [
                    (from.to_owned(), asking.number),
                    (to.to_owned(), asked.number),
                ],
                silent: None,
                fail: Box::new(move |broken| failing.tell(Err(broken))),
            };
            inner.held.insert(id, held);
            let (wire, failing) = (self.clone(), waiter.clone());
            let back = (to.to_owned(), from.to_owned(), asking.number, asked.machine);
            let label_back = format!("{label}, answered");
            let parcel = Parcel {
                from: asking.machine,
                sent: inner.now(),
                way: Way::Connection(asked.number),
                label: format!("{from} > {to}: {label}"),
                digest,
                deliver: Box::new(move || {
                    let work = handle();
                    tokio::spawn(async move {
                        let result = work.await;
                        wire.answer(back, label_back, waiter, result);
                    });
                }),
                undelivered: Some(Box::new(move |broken| failing.tell(Err(broken)))),
            };
            let due = inner.now() + inner.travel();
            inner.put(to, due, parcel);
            id
        };
        let _forget = Forget(self.clone(), id);
        answer.await.unwrap_or(Err(Broken::Lost))
    }

    fn answer<T: Send + 'static>(
        &self,
        (from, to, life, machine): (String, String, u64, usize),
        label: String,
        waiter: Waiter<T>,
        result: T,
    ) {
        let failing = waiter.clone();
        let mut inner = self.lock();
        let parcel = Parcel {
            from: machine,
            sent: inner.now(),
            way: Way::Connection(life),
            label: format!("{from} > {to}: {label}"),
            digest: 0,
            deliver: Box::new(move || waiter.tell(Ok(result))),
            undelivered: Some(Box::new(move |broken| failing.tell(Err(broken)))),
        };
        let due = inner.now() + inner.travel();
        inner.put(&to, due, parcel);
    }
}
