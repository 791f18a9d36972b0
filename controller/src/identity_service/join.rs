use quorate_identity::{JoinToken, Subject};
use quorate_proto::api::v1::{JoinReply, JoinRequest, MemberGrant};
use quorate_store::Member;

use super::{IdentityService, endpoints};
use crate::{
    audit::Entry,
    cluster_info::ClusterInfo,
    error::ApiError,
    tokens::{Invitee, Person, Valid},
};

const MAX_ADDRESSES: usize = 8;
const MAX_ADDRESS: usize = 261;
const MAX_NAME: usize = 253;

impl IdentityService {
    /// Exchanges a token for a certificate.
    ///
    /// The certificate is signed before the token is used up, so that a request that cannot be certified costs no
    /// token; it is sent only after. A member is made known to the others last: once it is in the membership it
    /// counts, and must have what it needs to come up.
    pub(super) async fn admit(
        &self,
        request: JoinRequest,
        entry: &mut Entry,
    ) -> Result<JoinReply, ApiError> {
        let token: JoinToken =
            request
                .token
                .parse()
                .map_err(|error: quorate_identity::JoinTokenError| {
                    ApiError::BadRequest(error.to_string())
                })?;
        entry.rename("cluster/tokens", token.id());
        let valid = self.tokens.verify(&token).await?;
        match valid.record.purpose.clone() {
            Invitee::Member { witness } => {
                entry.rename("members", &request.name);
                self.admit_member(request, witness, valid).await
            }
            Invitee::Node { name } => {
                entry.rename("nodes", &name);
                let subject = Subject::node(&name).map_err(refused)?;
                self.admit_client(&request.csr, &subject, valid).await
            }
            Invitee::User(Person { name, groups }) => {
                entry.rename("users", &name);
                let subject = Subject::person(&name, &groups).map_err(refused)?;
                self.admit_client(&request.csr, &subject, valid).await
            }
        }
    }

    async fn admit_client(
        &self,
        csr: &str,
        subject: &Subject,
        valid: Valid<Invitee>,
    ) -> Result<JoinReply, ApiError> {
        let certificate = self.certify(csr, subject, &[])?;
        let record = self.tokens.redeem(valid).await?;
        Ok(self.reply(certificate, &record.purpose, None))
    }

    async fn admit_member(
        &self,
        request: JoinRequest,
        witness: bool,
        valid: Valid<Invitee>,
    ) -> Result<JoinReply, ApiError> {
        let member = self.newcomer(&request, witness)?;
        // Throw-away: tells whether the request can be certified at all before an id is spent on it.
        self.certify(&request.csr, &Subject::member(0), &request.addresses)?;
        let record = self.tokens.redeem(valid).await?;
        let id = self.store.allocate_member_id().await?;
        let certificate = self.certify(&request.csr, &Subject::member(id), &request.addresses)?;
        self.store.add_learner(id, member).await?;
        let status = self.store.status();
        let grant = MemberGrant {
            member_id: id,
            cluster_id: status.cluster_id,
            history_id: status.history_id,
            ca_key: self.authority.key_pem(),
            secrets_keyring: self.keyring.reveal(),
            witness,
        };
        Ok(self.reply(certificate, &record.purpose, Some(grant)))
    }

    /// What the joiner says about itself, checked.
    fn newcomer(&self, request: &JoinRequest, witness: bool) -> Result<Member, ApiError> {
        let refuse = |message: String| Err(ApiError::BadRequest(message));
        let name = &request.name;
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
        if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(plain) {
            return refuse(format!(
                "the member's name {:?} is not usable, allowed: 1 to {MAX_NAME} letters, digits, dots and dashes",
                name.chars().take(64).collect::<String>()
            ));
        }
        if request.addresses.is_empty() || request.addresses.len() > MAX_ADDRESSES {
            return refuse(format!(
                "the member has {} addresses, allowed: 1 to {MAX_ADDRESSES}, one per ring",
                request.addresses.len()
            ));
        }
        if let Some(bad) = request.addresses.iter().find(|text| !is_address(text)) {
            return refuse(format!(
                "the member's address {:?} is not usable, allowed: host:port, by which the other members reach it",
                bad.chars().take(64).collect::<String>()
            ));
        }
        let status = self.store.status();
        for known in &status.members {
            if known.name == *name {
                return refuse(format!(
                    "member {} is already called {name:?}; choose another name, or take that member out first with `quorate cluster remove {}`",
                    known.id, known.id
                ));
            }
            if let Some(taken) = known
                .addresses
                .iter()
                .find(|address| request.addresses.contains(address))
            {
                return refuse(format!(
                    "address {taken} belongs to member {} ({}) already; take that member out first with `quorate cluster remove {}`",
                    known.id, known.name, known.id
                ));
            }
        }
        if request.supported_feature_level < status.feature_level {
            return refuse(format!(
                "this software supports feature level {}, the cluster uses {}; install the version that the other members have",
                request.supported_feature_level, status.feature_level
            ));
        }
        Ok(Member {
            name: name.clone(),
            addresses: request.addresses.clone(),
            witness,
            feature_level: request.supported_feature_level,
        })
    }

    fn reply(
        &self,
        certificate: String,
        invitee: &Invitee,
        member: Option<MemberGrant>,
    ) -> JoinReply {
        JoinReply {
            certificate,
            ca_certificate: self.authority.certificate_pem(),
            cluster_name: ClusterInfo::read(&self.store.view()).name,
            endpoints: endpoints(&self.store.status()),
            kind: invitee.kind().into(),
            member,
        }
    }
}

fn refused(error: quorate_identity::SubjectError) -> ApiError {
    ApiError::BadRequest(error.to_string())
}

/// `host:port` or `[v6]:port`.
fn is_address(text: &str) -> bool {
    if text.len() > MAX_ADDRESS {
        return false;
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return false;
    };
    let port = port.parse::<u16>().is_ok_and(|port| port != 0);
    let host = match host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
    {
        Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.contains(':') && rustls::pki_types::ServerName::try_from(host).is_ok(),
    };
    port && host
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_host_and_a_port() {
        for good in ["10.20.0.1:7443", "an-a01n01.bcn:7443", "[fd00::1]:7443"] {
            assert!(is_address(good), "{good}");
        }
        for bad in [
            "",
            "10.20.0.1",
            "fd00::1:7443",
            "[fd00::1]",
            "host:0",
            "host:99999",
            "a b:1",
            ":7443",
        ] {
            assert!(!is_address(bad), "{bad}");
        }
    }
}
