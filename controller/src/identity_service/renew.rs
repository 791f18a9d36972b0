use quorate_identity::{AuthorityError, Subject};
use quorate_proto::api::v1::RenewReply;

use super::IdentityService;
use crate::{access::Caller, error::ApiError, tls::ConnectionInfo};

impl IdentityService {
    /// A new certificate for whom the present one stands for, even when it has expired. The handshake has proved that
    /// the caller holds its key.
    pub(super) fn certify_again(
        &self,
        connection: &ConnectionInfo,
        csr: &str,
    ) -> Result<RenewReply, ApiError> {
        let caller = Caller::authenticate_for_renewal(connection)?;
        let subject = caller.subject();
        let addresses = match subject.member_id() {
            Some(id) => self.addresses_of(id)?,
            None => Vec::new(),
        };
        Ok(RenewReply {
            certificate: self.certify(csr, subject, &addresses)?,
            ca_certificate: self.authority.certificate_pem(),
        })
    }

    pub(super) fn certify(
        &self,
        csr: &str,
        subject: &Subject,
        addresses: &[String],
    ) -> Result<String, ApiError> {
        self.authority
            .issue(csr, subject, addresses)
            .map_err(unsigned)
    }

    fn addresses_of(&self, id: u64) -> Result<Vec<String>, ApiError> {
        self.store
            .status()
            .members
            .into_iter()
            .find(|member| member.id == id)
            .map(|member| member.addresses)
            .ok_or_else(|| {
                ApiError::Forbidden(format!(
                    "member {id} is not in the cluster any more; wipe its data directory and join again"
                ))
            })
    }
}

pub(super) fn unsigned(error: AuthorityError) -> ApiError {
    match error {
        AuthorityError::Request { .. } | AuthorityError::Address { .. } => {
            ApiError::BadRequest(error.to_string())
        }
        error => {
            tracing::error!(%error, "cannot sign a certificate");
            ApiError::Internal("the certificate could not be signed".into())
        }
    }
}
