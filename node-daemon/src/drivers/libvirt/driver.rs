//! The trait, act by act.

use super::adjust::{adjust, open_screen};
use super::failure::{failed, unseen};
use super::ownership::{NAMESPACE, Ownership, PREFIX};
use super::render::{self, Identity, Kept, RenderError};
use super::seen::{Found, active};
use super::{LibvirtGuests, archive, watch};
use crate::drivers::{
    Doing, DriverError, GuestSeen, GuestTarget, Guests, Hints, Line, SendTo, StartAs, Trouble,
};
use futures_util::future::try_join_all;
use quorate_crds::{Name, ShutdownMethod};
use quorate_libvirt::{Connection, Domain, Element, ErrorCode, RpcError, State, flags};
use std::sync::PoisonError;

/// A guest of ours, as libvirt has it.
pub(super) struct Own {
    pub(super) domain: Domain,
    pub(super) defined: Element,
    pub(super) ours: Ownership,
}

pub(super) fn garbled(what: &str) -> DriverError {
    DriverError::passing(
        Trouble::UnknownAnswer,
        format!("cannot {what}: libvirt's XML cannot be read"),
    )
}

pub(super) fn refused(what: &str, error: RenderError) -> DriverError {
    DriverError::lasting(Trouble::Refused, format!("cannot {what}")).because(error)
}

impl LibvirtGuests {
    pub(super) async fn connect(&self, what: &str) -> Result<Connection, DriverError> {
        match self.settings.connect().await {
            Ok((connection, _)) => Ok(connection),
            Err(error) => Err(unseen(what, error)),
        }
    }

    /// The guest, when it is here and ours.
    pub(super) async fn own(
        &self,
        libvirt: &Connection,
        guest: &Name,
        what: &str,
    ) -> Result<Option<Own>, DriverError> {
        match libvirt.lookup(guest.as_str()).await {
            Ok(domain) => {
                if let Some(own) = owned(libvirt, domain, guest, what).await? {
                    return Ok(Some(own));
                }
            }
            Err(error) if error.code() == Some(ErrorCode::NO_DOMAIN) => {}
            Err(error) => return Err(unseen(what, error)),
        }
        // One that was taken over has kept its name.
        let all = libvirt.list().await.map_err(|error| unseen(what, error))?;
        for domain in all {
            if let Some(own) = owned(libvirt, domain, guest, what).await? {
                return Ok(Some(own));
            }
        }
        Ok(None)
    }

    pub(super) async fn must(
        &self,
        libvirt: &Connection,
        guest: &Name,
        what: &str,
    ) -> Result<Own, DriverError> {
        self.own(libvirt, guest, what).await?.ok_or_else(|| {
            DriverError::passing(
                Trouble::GuestNotRunning,
                format!("cannot {what}: it is not defined here"),
            )
        })
    }

    async fn make(&self, target: &GuestTarget, from: Option<&Name>) -> Result<(), DriverError> {
        let what = format!("define guest {}", target.name);
        if let Some(password) = &target.display_password {
            self.passwords
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(target.name.clone(), password.clone());
        }
        self.make_room(&what).await?;
        let libvirt = self.connect(&what).await?;
        if let Some(own) = self.own(&libvirt, &target.name, &what).await? {
            return self.make_again(&libvirt, target, own, from, &what).await;
        }
        let name = target.spec.adopt.as_deref().unwrap_or(target.name.as_str());
        match libvirt.lookup(name).await {
            Ok(domain) if target.spec.adopt.is_some() => {
                return adopt(&libvirt, target, &domain, &what).await;
            }
            Ok(_) => {
                return Err(DriverError::lasting(
                    Trouble::ForeignInTheWay,
                    format!(
                        "cannot {what}: libvirt has a domain {name} that is not Quorate's; rename it, or take it over with adopt: {name}"
                    ),
                ));
            }
            Err(error) if error.code() == Some(ErrorCode::NO_DOMAIN) => {}
            Err(error) => return Err(unseen(&what, error)),
        }
        let ours = Ownership {
            name: target.name.clone(),
            epoch: target.epoch,
            generation: target.generation,
            begun: from.map(|_| target.epoch),
            arriving: from.cloned(),
            spec: Some((*target.spec).clone()),
        };
        let xml = render::domain(
            target,
            &Identity::of(target),
            &ours,
            &Kept::default(),
            &self.settings.consoles,
        )
        .map_err(|error| refused(&what, error))?;
        libvirt
            .define(&xml.to_string())
            .await
            .map(drop)
            .map_err(|error| failed(&what, error))
    }

    /// libvirt makes the directory of its own logs when a guest starts, which is too late for what its console says.
    async fn make_room(&self, what: &str) -> Result<(), DriverError> {
        let consoles = &self.settings.consoles;
        tokio::fs::create_dir_all(consoles).await.map_err(|error| {
            DriverError::passing(
                Trouble::Refused,
                format!("cannot {what}: cannot make {}", consoles.display()),
            )
            .because(error)
        })
    }

    async fn make_again(
        &self,
        libvirt: &Connection,
        target: &GuestTarget,
        own: Own,
        from: Option<&Name>,
        what: &str,
    ) -> Result<(), DriverError> {
        let state = libvirt
            .state(&own.domain)
            .await
            .map_err(|error| unseen(what, error))?;
        let running = active(state);
        if running && from.is_some() {
            // It is on its way already, or here.
            return Ok(());
        }
        let mut ours = Ownership {
            name: target.name.clone(),
            epoch: target.epoch,
            generation: target.generation,
            begun: if running || from.is_some() {
                Some(target.epoch)
            } else {
                own.ours.begun.filter(|begun| *begun == target.epoch)
            },
            arriving: if running {
                own.ours.arriving.clone()
            } else {
                from.cloned()
            },
            spec: own.ours.spec.clone(),
        };
        if running && ours.spec.is_none() {
            // Taken over as it runs: its definition is made by us when it is off.
            return mark(libvirt, &own.domain, &ours, flags::affect::CONFIG)
                .await
                .map_err(|error| failed(what, error));
        }
        ours.spec = Some((*target.spec).clone());
        let identity = Identity {
            name: own.domain.name.clone(),
            uuid: own.domain.uuid.to_string(),
        };
        let kept = Kept::of(&own.defined);
        let xml = render::domain(target, &identity, &ours, &kept, &self.settings.consoles)
            .map_err(|error| refused(what, error))?;
        if own.ours.generation != target.generation {
            archive::keep(
                &self.settings.definitions,
                &target.name,
                &own.defined.to_string(),
                target.spec.keep_definitions,
            )
            .await?;
        }
        let domain = libvirt
            .define(&xml.to_string())
            .await
            .map_err(|error| failed(what, error))?;
        if running {
            adjust(libvirt, &domain, target, &kept, what).await?;
        }
        Ok(())
    }

    async fn begin(&self, guest: &Name, how: StartAs) -> Result<(), DriverError> {
        let what = format!("start guest {guest}");
        let libvirt = self.connect(&what).await?;
        let own = self.must(&libvirt, guest, &what).await?;
        let state = libvirt
            .state(&own.domain)
            .await
            .map_err(|error| unseen(&what, error))?;
        if active(state) {
            return Ok(());
        }
        let before = own.ours.clone();
        let mut ours = own.ours;
        ours.begun = Some(ours.epoch);
        ours.arriving = None;
        mark(&libvirt, &own.domain, &ours, flags::affect::CONFIG)
            .await
            .map_err(|error| unseen(&what, error))?;
        let password = self
            .passwords
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(guest)
            .cloned();
        let paused = match how {
            StartAs::Paused => flags::start::PAUSED,
            StartAs::Running => 0,
        };
        let started = libvirt
            .start(&own.domain, flags::start::FORCE_BOOT | paused)
            .await;
        if let Err(error) = started {
            if error.surely_nothing() {
                // It did not run: the next attempt is the first.
                mark(&libvirt, &own.domain, &before, flags::affect::CONFIG)
                    .await
                    .map_err(|error| unseen(&what, error))?;
            }
            return Err(failed(&what, error));
        }
        match password {
            Some(password) => open_screen(&libvirt, &own.domain, &password.0, &what).await,
            None => Ok(()),
        }
    }

    async fn look(&self) -> Result<Vec<GuestSeen>, DriverError> {
        let what = "look at the guests";
        let libvirt = self.connect(what).await?;
        let domains = libvirt.list().await.map_err(|error| unseen(what, error))?;
        let each = domains.into_iter().map(|domain| {
            let libvirt = &libvirt;
            async move {
                match found(libvirt, &domain).await {
                    // It has gone meanwhile.
                    Err(Looking::Rpc(error)) if error.code() == Some(ErrorCode::NO_DOMAIN) => {
                        Ok(None)
                    }
                    Err(Looking::Rpc(error)) => Err(unseen(what, error)),
                    Err(Looking::Xml) => Err(garbled(&format!("look at domain {}", domain.name))),
                    Ok(found) => Ok(Some(found.seen())),
                }
            }
        });
        Ok(try_join_all(each).await?.into_iter().flatten().collect())
    }
}

enum Looking {
    Rpc(RpcError),
    Xml,
}

impl From<RpcError> for Looking {
    fn from(error: RpcError) -> Self {
        Self::Rpc(error)
    }
}

async fn found(libvirt: &Connection, domain: &Domain) -> Result<Found, Looking> {
    let read = |text: String| Element::read(&text).map_err(|_| Looking::Xml);
    let state = libvirt.state(domain).await?;
    let defined = read(libvirt.xml(domain, flags::xml::INACTIVE).await?)?;
    let (mut live, mut job) = (None, None);
    if active(state) {
        live = Some(read(libvirt.xml(domain, 0).await?)?);
        job = match libvirt.job(domain).await {
            Ok(job) => Some(job),
            // It has ended meanwhile; the next look tells.
            Err(error) if error.code() == Some(ErrorCode::OPERATION_INVALID) => None,
            // While a guest arrives, only its source can be asked how far it is; the note on the definition says that it arrives.
            Err(error) if error.code() == Some(ErrorCode::OPERATION_UNSUPPORTED) => None,
            Err(error) => return Err(error.into()),
        };
    }
    Ok(Found {
        name: domain.name.clone(),
        state,
        defined,
        live,
        job,
    })
}

async fn owned(
    libvirt: &Connection,
    domain: Domain,
    guest: &Name,
    what: &str,
) -> Result<Option<Own>, DriverError> {
    let text = match libvirt.xml(&domain, flags::xml::INACTIVE).await {
        Ok(text) => text,
        Err(error) if error.code() == Some(ErrorCode::NO_DOMAIN) => return Ok(None),
        Err(error) => return Err(unseen(what, error)),
    };
    let defined = Element::read(&text).map_err(|_| garbled(what))?;
    Ok(Ownership::of(&defined)
        .filter(|ours| ours.name == *guest)
        .map(|ours| Own {
            domain,
            defined,
            ours,
        }))
}

pub(super) async fn mark(
    libvirt: &Connection,
    domain: &Domain,
    ours: &Ownership,
    affect: u32,
) -> Result<(), RpcError> {
    let text = ours.plain().to_string();
    libvirt
        .set_metadata(domain, &text, PREFIX, NAMESPACE, affect)
        .await
}

/// Rule R12: what runs is taken over as it is.
async fn adopt(
    libvirt: &Connection,
    target: &GuestTarget,
    domain: &Domain,
    what: &str,
) -> Result<(), DriverError> {
    let state = libvirt
        .state(domain)
        .await
        .map_err(|error| unseen(what, error))?;
    let running = active(state);
    let ours = Ownership {
        name: target.name.clone(),
        epoch: target.epoch,
        generation: target.generation,
        begun: running.then_some(target.epoch),
        arriving: None,
        spec: None,
    };
    let live = if running { flags::affect::LIVE } else { 0 };
    libvirt
        .set_autostart(domain, false)
        .await
        .map_err(|error| failed(what, error))?;
    mark(libvirt, domain, &ours, flags::affect::CONFIG | live)
        .await
        .map_err(|error| failed(what, error))
}

/// An act on what runs: not being in that state, or not being there, is as good as done when `done` says so.
fn settled(
    result: Result<(), RpcError>,
    what: &str,
    after: Result<State, RpcError>,
    done: impl Fn(State) -> bool,
) -> Result<(), DriverError> {
    match result {
        Err(error) if error.surely_nothing() && after.is_ok_and(done) => {
            tracing::debug!(%error, "{what}: it is so already");
            Ok(())
        }
        other => other.map_err(|error| failed(what, error)),
    }
}

impl Guests for LibvirtGuests {
    fn observe(&self) -> Doing<'_, Vec<GuestSeen>> {
        Box::pin(self.look())
    }

    fn watch(&self) -> Hints {
        watch::hints(self.settings.clone())
    }

    fn define<'a>(&'a self, target: &'a GuestTarget) -> Doing<'a, ()> {
        Box::pin(self.make(target, None))
    }

    fn start<'a>(&'a self, guest: &'a Name, how: StartAs) -> Doing<'a, ()> {
        Box::pin(self.begin(guest, how))
    }

    fn pause<'a>(&'a self, guest: &'a Name) -> Doing<'a, ()> {
        Box::pin(async move {
            let what = format!("pause guest {guest}");
            let libvirt = self.connect(&what).await?;
            let own = self.must(&libvirt, guest, &what).await?;
            let result = libvirt.suspend(&own.domain).await;
            let after = libvirt.state(&own.domain).await;
            settled(result, &what, after, |state| state.state == State::PAUSED)
        })
    }

    fn resume<'a>(&'a self, guest: &'a Name) -> Doing<'a, ()> {
        Box::pin(async move {
            let what = format!("let guest {guest} run on");
            let libvirt = self.connect(&what).await?;
            let mut own = self.must(&libvirt, guest, &what).await?;
            let result = libvirt.resume(&own.domain).await;
            let after = libvirt.state(&own.domain).await;
            settled(result, &what, after, |state| state.state == State::RUNNING)?;
            if own.ours.arriving.take().is_some() {
                mark(&libvirt, &own.domain, &own.ours, flags::affect::CONFIG)
                    .await
                    .map_err(|error| failed(&what, error))?;
            }
            Ok(())
        })
    }

    fn shut_down<'a>(&'a self, guest: &'a Name, method: ShutdownMethod) -> Doing<'a, ()> {
        Box::pin(async move {
            let what = format!("ask guest {guest} to shut down");
            let libvirt = self.connect(&what).await?;
            let Some(own) = self.own(&libvirt, guest, &what).await? else {
                return Ok(());
            };
            let how = match method {
                ShutdownMethod::Any => flags::shutdown::AGENT | flags::shutdown::BUTTON,
                ShutdownMethod::Agent => flags::shutdown::AGENT,
                ShutdownMethod::PowerButton => flags::shutdown::BUTTON,
            };
            let result = libvirt.shut_down(&own.domain, how).await;
            let after = libvirt.state(&own.domain).await;
            settled(result, &what, after, |state| !active(state))
        })
    }

    fn destroy<'a>(&'a self, guest: &'a Name) -> Doing<'a, ()> {
        Box::pin(async move {
            let what = format!("switch guest {guest} off");
            let libvirt = self.connect(&what).await?;
            let Some(own) = self.own(&libvirt, guest, &what).await? else {
                return Ok(());
            };
            let result = libvirt.destroy(&own.domain).await;
            let after = libvirt.state(&own.domain).await;
            settled(result, &what, after, |state| !active(state))
        })
    }

    fn receive<'a>(&'a self, target: &'a GuestTarget, from: &'a Name) -> Doing<'a, ()> {
        Box::pin(async move {
            self.may_move(target)?;
            self.make(target, Some(from)).await
        })
    }

    fn send<'a>(&'a self, target: &'a GuestTarget, to: &'a SendTo) -> Doing<'a, ()> {
        Box::pin(async move {
            self.may_move(target)?;
            self.send_away(target, to).await
        })
    }

    fn cancel_send<'a>(&'a self, guest: &'a Name) -> Doing<'a, ()> {
        Box::pin(async move {
            let what = format!("give up sending guest {guest}");
            let libvirt = self.connect(&what).await?;
            let Some(own) = self.own(&libvirt, guest, &what).await? else {
                return Ok(());
            };
            match libvirt.abort_job(&own.domain).await {
                // There is nothing to give up.
                Err(error) if error.code() == Some(ErrorCode::OPERATION_INVALID) => Ok(()),
                other => other.map_err(|error| failed(&what, error)),
            }
        })
    }

    fn forget<'a>(&'a self, guest: &'a Name) -> Doing<'a, ()> {
        Box::pin(async move {
            let what = format!("forget guest {guest}");
            let libvirt = self.connect(&what).await?;
            let Some(own) = self.own(&libvirt, guest, &what).await? else {
                return Ok(());
            };
            let state = libvirt
                .state(&own.domain)
                .await
                .map_err(|error| unseen(&what, error))?;
            if active(state) {
                return Err(DriverError::passing(
                    Trouble::InUse,
                    format!("cannot {what}: it is not off"),
                ));
            }
            let keep = own
                .ours
                .spec
                .as_ref()
                .map_or(10, |spec| spec.keep_definitions);
            let text = own.defined.to_string();
            archive::keep(&self.settings.definitions, guest, &text, keep).await?;
            let with = flags::undefine::MANAGED_SAVE
                | flags::undefine::SNAPSHOTS
                | flags::undefine::CHECKPOINTS
                | flags::undefine::KEEP_NVRAM;
            match libvirt.undefine(&own.domain, with).await {
                Err(error) if error.code() == Some(ErrorCode::NO_DOMAIN) => Ok(()),
                other => other.map_err(|error| failed(&what, error)),
            }
        })
    }

    fn console<'a>(&'a self, guest: &'a Name, force: bool) -> Doing<'a, Line> {
        Box::pin(self.serial(guest, force))
    }

    fn screen<'a>(&'a self, guest: &'a Name) -> Doing<'a, Line> {
        Box::pin(self.picture(guest))
    }
}
