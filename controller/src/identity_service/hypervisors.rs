use quorate_proto::api::v1::CertifyHypervisorReply;

use super::{IdentityService, renew::unsigned};
use crate::{access::Caller, error::ApiError, hosts::addresses_of};

impl IdentityService {
    /// What the calling host's hypervisor shows to others. Its addresses are those that the cluster knows: a host cannot claim
    /// another's.
    pub(super) fn certify_hypervisor_of(
        &self,
        caller: &Caller,
        csr: &str,
    ) -> Result<CertifyHypervisorReply, ApiError> {
        let node = caller.node_name().ok_or_else(|| {
            ApiError::Forbidden(format!(
                "user {:?} is no host; only hosts have a hypervisor",
                caller.user()
            ))
        })?;
        let addresses = addresses_of(&self.store.view(), node);
        let hypervisors = self.authority.hypervisors().map_err(unsigned)?;
        Ok(CertifyHypervisorReply {
            certificate: hypervisors.issue(csr, node, &addresses).map_err(unsigned)?,
            authority: hypervisors.certificate_pem(),
        })
    }
}
