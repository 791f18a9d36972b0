//! A member's own certificate.
//!
//! Members hold the authority's key and renew by themselves, at start when the certificate has expired, does not match its key
//! or is missing, and later when a third of its validity is left. No other machine is needed, so a cluster
//! whose every certificate has expired starts like any other.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use quorate_identity::{
    Authority, Clock, Credentials, CredentialsError, LiveCredentials, PkiDir, Subject,
};

/// How often the date is looked at. The wall clock may jump, so there is no sleeping until a date.
const CHECK_EVERY: Duration = Duration::from_secs(600);

/// The member's credentials, renewed first unless they are good.
pub fn usable_credentials(
    pki: &PkiDir,
    authority: &Authority,
    member: u64,
    addresses: &[String],
    clock: &dyn Clock,
) -> Result<Credentials, CredentialsError> {
    let subject = Subject::member(member);
    match Credentials::load(&pki.certificate(), &pki.key()) {
        Ok(own)
            if own.peer().subject == subject
                && own.is_issued_by(authority)
                && clock.now() < own.renew_at() =>
        {
            Ok(own)
        }
        Ok(_) => renew(pki, authority, &subject, addresses),
        Err(error) => {
            tracing::info!(%error, "the member's certificate is made anew");
            renew(pki, authority, &subject, addresses)
        }
    }
}

/// Renews `own` in time, for as long as the process runs. Failures are retried and logged; the certificate in use
/// stays in use.
pub async fn renew_always(
    own: Arc<LiveCredentials>,
    pki: PkiDir,
    authority: Arc<Authority>,
    addresses: Vec<String>,
    clock: Arc<dyn Clock>,
) {
    let mut check = tokio::time::interval(CHECK_EVERY);
    check.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        check.tick().await;
        let current = own.current();
        if !is_due(&current, clock.now()) {
            continue;
        }
        match renew(&pki, &authority, &current.peer().subject, &addresses) {
            Ok(renewed) => {
                tracing::info!(not_after = %renewed.peer().not_after, "renewed the member's certificate");
                own.replace(renewed);
            }
            Err(error) => tracing::warn!(
                %error,
                not_after = %current.peer().not_after,
                "cannot renew the member's certificate; trying again"
            ),
        }
    }
}

/// Members do not renew all at once: each waits up to ten days longer, as its serial number says.
fn is_due(current: &Credentials, now: Timestamp) -> bool {
    let digits = current.peer().serial.get(2..6).unwrap_or("0");
    let jitter = i64::from_str_radix(digits, 16).unwrap_or(0) % (10 * 24);
    let due = current
        .renew_at()
        .saturating_add(jiff::SignedDuration::from_hours(jitter))
        .unwrap_or(Timestamp::MAX);
    now >= due
}

fn renew(
    pki: &PkiDir,
    authority: &Authority,
    subject: &Subject,
    addresses: &[String],
) -> Result<Credentials, CredentialsError> {
    let renewed = Credentials::issue(authority, subject, addresses)?;
    renewed.save(&pki.certificate(), &pki.key())?;
    Ok(renewed)
}
