//! The steps that sagas are made of, one file each. A new step is a file here and a row in [`ALL`].

mod approval;
mod assign_reserved_ip;
mod attach_volume;
mod common;
mod create_domain_record;
mod create_droplet_snapshot;
mod create_volume;
mod delete_volume;
mod detach_volume;
mod domain_record;
mod fail;
mod http_request;
mod record;
mod record_provisioned;
mod reference;
mod reserved_ip;
mod resize_volume;
mod sleep;
#[cfg(test)]
mod tests;
mod unassign_reserved_ip;
mod unrecord_provisioned;
mod update_domain_record;
mod volume;
mod wait_for_field;

pub use http_request::http_client;
pub use reference::reference;

use super::step::AnyStep;

/// All of them, as the reference lists them.
pub static ALL: &[&dyn AnyStep] = &[
    &create_droplet_snapshot::CreateDropletSnapshot,
    &create_volume::CreateVolume,
    &attach_volume::AttachVolume,
    &detach_volume::DetachVolume,
    &resize_volume::ResizeVolume,
    &delete_volume::DeleteVolume,
    &assign_reserved_ip::AssignReservedIP,
    &unassign_reserved_ip::UnassignReservedIP,
    &create_domain_record::CreateDomainRecord,
    &update_domain_record::UpdateDomainRecord,
    &record_provisioned::RecordProvisioned,
    &unrecord_provisioned::UnrecordProvisioned,
    &wait_for_field::WaitForField,
    &approval::Approval,
    &http_request::HttpRequest,
    &sleep::Sleep,
    &fail::Fail,
];

/// The step of this name.
#[must_use]
pub fn named(name: &str) -> Option<&'static dyn AnyStep> {
    ALL.iter().copied().find(|step| step.name() == name)
}
