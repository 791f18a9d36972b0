//! What can be asked, with the numbers of libvirt's `remote_protocol.x`. They never change: a daemon of any version
//! understands them.

use crate::connection::Connection;
use crate::domain::{Domain, State};
use crate::error::RpcError;
use crate::params::{self, Param};
use crate::stream::Stream;
use crate::xdr::{Decoder, Encoder};

/// The most domains that an answer may have.
const DOMAINS: usize = 16_384;

/// What is known of the work that goes on at a domain.
#[derive(Clone, Debug, PartialEq)]
pub struct JobStats {
    /// Whether there is any.
    pub kind: JobKind,
    /// How far it is.
    pub params: Vec<Param>,
}

/// Whether work goes on at a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobKind {
    /// None.
    None,
    /// Some, and nobody knows how long it takes.
    Unbounded,
    /// Some, with a known end.
    Bounded,
    /// It has ended, in whichever way.
    Ended,
}

/// A network card as the agent inside knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name in the guest.
    pub name: String,
    /// Its addresses.
    pub addresses: Vec<String>,
}

fn nothing(_: &mut Decoder<'_>) -> Result<(), crate::xdr::XdrError> {
    Ok(())
}

fn about(domain: &Domain) -> Encoder {
    domain.encode(Encoder::new())
}

impl Connection {
    /// Every domain, also those that are off.
    ///
    /// # Errors
    /// As for every call.
    pub async fn list(&self) -> Result<Vec<Domain>, RpcError> {
        let arguments = Encoder::new().int(1).uint(0);
        self.call("CONNECT_LIST_ALL_DOMAINS", 273, arguments, |decoder| {
            decoder.list("the number of domains", DOMAINS, Domain::decode)
        })
        .await
    }

    /// The domain of that name.
    ///
    /// # Errors
    /// As for every call; [`crate::ErrorCode::NO_DOMAIN`] when there is none.
    pub async fn lookup(&self, name: &str) -> Result<Domain, RpcError> {
        let arguments = Encoder::new().string(name);
        self.call("DOMAIN_LOOKUP_BY_NAME", 23, arguments, |decoder| {
            Domain::decode(decoder)
        })
        .await
    }

    /// What a domain does.
    ///
    /// # Errors
    /// As for every call.
    pub async fn state(&self, domain: &Domain) -> Result<State, RpcError> {
        self.call("DOMAIN_GET_STATE", 212, about(domain).uint(0), |decoder| {
            Ok(State {
                state: decoder.int()?,
                reason: decoder.int()?,
            })
        })
        .await
    }

    /// A domain's XML.
    ///
    /// # Errors
    /// As for every call.
    pub async fn xml(&self, domain: &Domain, flags: u32) -> Result<String, RpcError> {
        let arguments = about(domain).uint(flags);
        self.call("DOMAIN_GET_XML_DESC", 14, arguments, |decoder| {
            decoder.string()
        })
        .await
    }

    /// Defines a domain, or defines it anew.
    ///
    /// # Errors
    /// As for every call.
    pub async fn define(&self, xml: &str) -> Result<Domain, RpcError> {
        let arguments = Encoder::new().string(xml).uint(0);
        self.call("DOMAIN_DEFINE_XML_FLAGS", 350, arguments, |decoder| {
            Domain::decode(decoder)
        })
        .await
    }

    /// Starts a domain as defined.
    ///
    /// # Errors
    /// As for every call.
    pub async fn start(&self, domain: &Domain, flags: u32) -> Result<(), RpcError> {
        let arguments = about(domain).uint(flags);
        self.call("DOMAIN_CREATE_WITH_FLAGS", 196, arguments, nothing)
            .await
    }

    /// Stands a domain still.
    ///
    /// # Errors
    /// As for every call.
    pub async fn suspend(&self, domain: &Domain) -> Result<(), RpcError> {
        self.call("DOMAIN_SUSPEND", 34, about(domain), nothing)
            .await
    }

    /// Lets a domain go on.
    ///
    /// # Errors
    /// As for every call.
    pub async fn resume(&self, domain: &Domain) -> Result<(), RpcError> {
        self.call("DOMAIN_RESUME", 28, about(domain), nothing).await
    }

    /// Asks a domain to shut down.
    ///
    /// # Errors
    /// As for every call.
    pub async fn shut_down(&self, domain: &Domain, flags: u32) -> Result<(), RpcError> {
        let arguments = about(domain).uint(flags);
        self.call("DOMAIN_SHUTDOWN_FLAGS", 258, arguments, nothing)
            .await
    }

    /// Switches a domain off.
    ///
    /// # Errors
    /// As for every call.
    pub async fn destroy(&self, domain: &Domain) -> Result<(), RpcError> {
        self.call("DOMAIN_DESTROY_FLAGS", 234, about(domain).uint(0), nothing)
            .await
    }

    /// Forgets a domain's definition.
    ///
    /// # Errors
    /// As for every call.
    pub async fn undefine(&self, domain: &Domain, flags: u32) -> Result<(), RpcError> {
        let arguments = about(domain).uint(flags);
        self.call("DOMAIN_UNDEFINE_FLAGS", 231, arguments, nothing)
            .await
    }

    /// Says whether a domain starts with its host.
    ///
    /// # Errors
    /// As for every call.
    pub async fn set_autostart(&self, domain: &Domain, starts: bool) -> Result<(), RpcError> {
        let arguments = about(domain).int(i32::from(starts));
        self.call("DOMAIN_SET_AUTOSTART", 29, arguments, nothing)
            .await
    }

    /// Writes an element of one's own into a domain, in the place of that of the same namespace. The XML has no prefixes:
    /// libvirt puts `prefix` before every name in it.
    ///
    /// # Errors
    /// As for every call.
    pub async fn set_metadata(
        &self,
        domain: &Domain,
        xml: &str,
        prefix: &str,
        namespace: &str,
        flags: u32,
    ) -> Result<(), RpcError> {
        let arguments = about(domain)
            .int(2)
            .optional(Some(xml))
            .optional(Some(prefix))
            .optional(Some(namespace))
            .uint(flags);
        self.call("DOMAIN_SET_METADATA", 264, arguments, nothing)
            .await
    }

    /// Adds a device.
    ///
    /// # Errors
    /// As for every call.
    pub async fn attach(&self, domain: &Domain, xml: &str, flags: u32) -> Result<(), RpcError> {
        let arguments = about(domain).string(xml).uint(flags);
        self.call("DOMAIN_ATTACH_DEVICE_FLAGS", 160, arguments, nothing)
            .await
    }

    /// Takes a device away. The guest may take its time to let it go.
    ///
    /// # Errors
    /// As for every call.
    pub async fn detach(&self, domain: &Domain, xml: &str, flags: u32) -> Result<(), RpcError> {
        let arguments = about(domain).string(xml).uint(flags);
        self.call("DOMAIN_DETACH_DEVICE_FLAGS", 161, arguments, nothing)
            .await
    }

    /// Changes a device: the medium of a drive, the cable of a card.
    ///
    /// # Errors
    /// As for every call.
    pub async fn update(&self, domain: &Domain, xml: &str, flags: u32) -> Result<(), RpcError> {
        let arguments = about(domain).string(xml).uint(flags);
        self.call("DOMAIN_UPDATE_DEVICE_FLAGS", 174, arguments, nothing)
            .await
    }

    /// Gives a domain so many processors.
    ///
    /// # Errors
    /// As for every call.
    pub async fn set_cpus(&self, domain: &Domain, cpus: u32, flags: u32) -> Result<(), RpcError> {
        let arguments = about(domain).uint(cpus).uint(flags);
        self.call("DOMAIN_SET_VCPUS_FLAGS", 199, arguments, nothing)
            .await
    }

    /// Gives a domain so much memory, in KiB.
    ///
    /// # Errors
    /// As for every call.
    pub async fn set_memory(
        &self,
        domain: &Domain,
        kibibytes: u64,
        flags: u32,
    ) -> Result<(), RpcError> {
        let arguments = about(domain).unsigned_hyper(kibibytes).uint(flags);
        self.call("DOMAIN_SET_MEMORY_FLAGS", 204, arguments, nothing)
            .await
    }

    /// Tells a domain that a disk has grown, in bytes.
    ///
    /// # Errors
    /// As for every call.
    pub async fn resize_disk(
        &self,
        domain: &Domain,
        disk: &str,
        bytes: u64,
    ) -> Result<(), RpcError> {
        let arguments = about(domain).string(disk).unsigned_hyper(bytes).uint(1);
        self.call("DOMAIN_BLOCK_RESIZE", 251, arguments, nothing)
            .await
    }

    /// What goes on at a domain.
    ///
    /// # Errors
    /// As for every call.
    pub async fn job(&self, domain: &Domain) -> Result<JobStats, RpcError> {
        self.call(
            "DOMAIN_GET_JOB_STATS",
            298,
            about(domain).uint(0),
            |decoder| {
                let kind = match decoder.int()? {
                    0 => JobKind::None,
                    1 => JobKind::Bounded,
                    2 => JobKind::Unbounded,
                    _ => JobKind::Ended,
                };
                Ok(JobStats {
                    kind,
                    params: params::decode(decoder)?,
                })
            },
        )
        .await
    }

    /// Gives up what goes on at a domain.
    ///
    /// # Errors
    /// As for every call.
    pub async fn abort_job(&self, domain: &Domain) -> Result<(), RpcError> {
        self.call("DOMAIN_ABORT_JOB", 164, about(domain), nothing)
            .await
    }

    /// Moves a domain to the daemon at `uri`, which this host's daemon speaks to by itself. Waits as long as it takes: how
    /// far it is, [`Connection::job`] on another connection tells.
    ///
    /// # Errors
    /// As for every call.
    pub async fn migrate(
        &self,
        domain: &Domain,
        uri: &str,
        parameters: &[Param],
        flags: u32,
    ) -> Result<(), RpcError> {
        let arguments = params::encode(about(domain).optional(Some(uri)), parameters)
            .opaque(&[])
            .uint(flags);
        self.call_for_ever("DOMAIN_MIGRATE_PERFORM3_PARAMS", 305, arguments, nothing)
            .await
    }

    /// Lets a domain that is being moved stand still for so many milliseconds at the end.
    ///
    /// # Errors
    /// As for every call.
    pub async fn set_max_downtime(
        &self,
        domain: &Domain,
        milliseconds: u64,
    ) -> Result<(), RpcError> {
        let arguments = about(domain).unsigned_hyper(milliseconds).uint(0);
        self.call("DOMAIN_MIGRATE_SET_MAX_DOWNTIME", 166, arguments, nothing)
            .await
    }

    /// The console of that name, or the first that there is. The connection belongs to it from now on.
    ///
    /// # Errors
    /// As for every call; also when somebody has it open, and `flags` do not send him away.
    pub async fn console(
        self,
        domain: &Domain,
        name: Option<&str>,
        flags: u32,
    ) -> Result<Stream, RpcError> {
        let arguments = about(domain).optional(name).uint(flags);
        self.into_stream("DOMAIN_OPEN_CONSOLE", 201, arguments)
            .await
    }

    /// Lets events of that kind, of all domains, come.
    ///
    /// # Errors
    /// As for every call.
    pub async fn listen(&self, event: i32) -> Result<i32, RpcError> {
        let arguments = Encoder::new().int(event).uint(0);
        self.call(
            "CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY",
            316,
            arguments,
            |decoder| decoder.int(),
        )
        .await
    }

    /// libvirt's own version: a million times the first number, a thousand times the second, and the third.
    ///
    /// # Errors
    /// As for every call.
    pub async fn library_version(&self) -> Result<u64, RpcError> {
        self.call("CONNECT_GET_LIB_VERSION", 157, Encoder::new(), |decoder| {
            decoder.unsigned_hyper()
        })
        .await
    }

    /// What the agent inside says of itself and its system.
    ///
    /// # Errors
    /// As for every call.
    pub async fn guest_info(&self, domain: &Domain, types: u32) -> Result<Vec<Param>, RpcError> {
        let arguments = about(domain).uint(types).uint(0);
        self.call("DOMAIN_GET_GUEST_INFO", 418, arguments, |decoder| {
            params::decode(decoder)
        })
        .await
    }

    /// The cards and addresses that the agent inside tells.
    ///
    /// # Errors
    /// As for every call.
    pub async fn interfaces(&self, domain: &Domain) -> Result<Vec<Interface>, RpcError> {
        const BY_AGENT: u32 = 1;
        let arguments = about(domain).uint(BY_AGENT).uint(0);
        self.call("DOMAIN_INTERFACE_ADDRESSES", 353, arguments, |decoder| {
            decoder.list("the number of cards", 2048, |decoder| {
                let name = decoder.string()?;
                let _mac = decoder.optional()?;
                let addresses = decoder.list("the number of addresses", 2048, |decoder| {
                    let _family = decoder.int()?;
                    let address = decoder.string()?;
                    let prefix = decoder.uint()?;
                    Ok(format!("{address}/{prefix}"))
                })?;
                Ok(Interface { name, addresses })
            })
        })
        .await
    }
}
