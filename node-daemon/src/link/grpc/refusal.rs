use super::LinkError;
use prost::Message;
use quorate_proto::host::v1::MemberAddress;
use tonic::{Code, Status};

/// The trailer in which a member says what a refusal means to a host.
const REASON: &str = "quorate-host-reason";
/// With `NotLeader`: who leads.
const LEADER: &str = "quorate-leader-bin";

/// What a member's refusal comes to.
#[derive(Debug)]
pub(super) enum Refusal {
    /// Another member answers for the cluster.
    NotLeader {
        leader: Option<MemberAddress>,
        message: String,
    },
    /// This member does not answer at present; another may.
    Elsewhere(String),
    /// This is the cluster's answer.
    Final(LinkError),
}

impl Refusal {
    pub(super) fn into_error(self) -> LinkError {
        match self {
            Self::NotLeader { message, .. } | Self::Elsewhere(message) => {
                LinkError::unreachable(message)
            }
            Self::Final(error) => error,
        }
    }
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        let message = status.message().to_owned();
        let reason = status
            .metadata()
            .get(REASON)
            .and_then(|reason| reason.to_str().ok());
        match reason {
            Some("NotLeader") => {
                let leader = status
                    .metadata()
                    .get_bin(LEADER)
                    .and_then(|value| value.to_bytes().ok())
                    .and_then(|bytes| MemberAddress::decode(bytes).ok());
                return Self::NotLeader { leader, message };
            }
            Some("NotNow") => return Self::Final(LinkError::NotNow { message }),
            Some("Refused") => return Self::Final(LinkError::Refused { message }),
            Some("IncarnationOver") => return Self::Final(LinkError::IncarnationOver { message }),
            _ => {}
        }
        match status.code() {
            Code::PermissionDenied
            | Code::InvalidArgument
            | Code::FailedPrecondition
            | Code::NotFound => Self::Final(LinkError::Refused { message }),
            // Too much at once, or a certificate that is just being renewed.
            Code::ResourceExhausted | Code::Unauthenticated | Code::Aborted => {
                Self::Final(LinkError::NotNow { message })
            }
            _ => Self::Elsewhere(message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::metadata::{MetadataMap, MetadataValue};

    fn status(code: Code, reason: &'static str) -> Status {
        let mut trailers = MetadataMap::new();
        trailers.insert(REASON, MetadataValue::from_static(reason));
        Status::with_metadata(code, "why", trailers)
    }

    #[test]
    fn the_trailer_says_more_than_the_code() {
        let mut redirect = status(Code::Unavailable, "NotLeader");
        let leader = MemberAddress {
            id: 2,
            name: "b".into(),
            addresses: vec!["b:7443".into()],
        };
        let value = MetadataValue::from_bytes(&leader.encode_to_vec());
        redirect.metadata_mut().insert_bin(LEADER, value);
        let Refusal::NotLeader { leader: found, .. } = redirect.into() else {
            panic!("another member leads");
        };
        assert_eq!(found, Some(leader));

        let of = |code, reason| Refusal::from(status(code, reason)).into_error();
        let over = of(Code::FailedPrecondition, "IncarnationOver");
        assert!(matches!(over, LinkError::IncarnationOver { .. }));
        let refused = of(Code::FailedPrecondition, "Refused");
        assert!(matches!(refused, LinkError::Refused { .. }));
        assert!(matches!(
            of(Code::Aborted, "NotNow"),
            LinkError::NotNow { .. }
        ));
        let away = of(Code::Unavailable, "Unavailable");
        assert!(matches!(away, LinkError::Unreachable { .. }));
    }

    #[test]
    fn what_a_member_of_another_release_says_is_judged_by_its_code() {
        let of = |code| Refusal::from(Status::new(code, "why"));
        assert!(matches!(of(Code::Unavailable), Refusal::Elsewhere(_)));
        assert!(matches!(of(Code::Unimplemented), Refusal::Elsewhere(_)));
        let denied = of(Code::PermissionDenied);
        assert!(matches!(denied, Refusal::Final(LinkError::Refused { .. })));
        let busy = of(Code::ResourceExhausted);
        assert!(matches!(busy, Refusal::Final(LinkError::NotNow { .. })));
    }
}
