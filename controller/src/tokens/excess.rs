use quorate_identity::{ADMINS_GROUP, Subject};
use quorate_store::View;

use super::{Invitee, Person};
use crate::{
    access::{Access, Caller},
    error::ApiError,
};

/// Nobody invites somebody who may do more than he himself.
pub(super) fn refuse(
    access: &Access,
    view: &View,
    caller: &Caller,
    invitee: &Invitee,
) -> Result<(), ApiError> {
    match invitee {
        Invitee::Member { .. } if caller.is_admin() => Ok(()),
        Invitee::Member { .. } => Err(ApiError::Forbidden(format!(
            "user {:?} cannot invite a member: a member holds the cluster's keys, so only the administrators' group may",
            caller.user()
        ))),
        Invitee::Node { name } => access.check_inviting_node(view, caller, name),
        Invitee::User(person) => refuse_person(access, view, caller, person),
    }
}

/// The same for a person.
pub(super) fn refuse_person(
    access: &Access,
    view: &View,
    caller: &Caller,
    person: &Person,
) -> Result<(), ApiError> {
    let subject = Subject::person(&person.name, &person.groups)
        .map_err(|error| ApiError::BadRequest(error.to_string()))?;
    // That group may invite members, which no role allows: see above.
    if subject.is_in(ADMINS_GROUP) && !caller.is_admin() {
        return Err(ApiError::Forbidden(format!(
            "user {:?} cannot invite into the group {ADMINS_GROUP:?}: only the administrators' group may, whatever roles allow",
            caller.user()
        )));
    }
    access.check_inviting(view, caller, &subject)
}
