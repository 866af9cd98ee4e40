//! The steps of sagas, one file each. To add a step, add its file here and its row in [`ALL`]. The build refuses a step
//! without a row as dead code.

mod approval;
mod assign_reserved_ip;
mod assign_to_project;
mod attach_volume;
mod backups;
mod common;
mod converging;
mod create_domain_record;
mod create_droplet;
mod create_droplet_snapshot;
mod create_volume;
mod decided;
mod delete_droplet;
mod delete_snapshot;
mod delete_volume;
mod detach_volume;
mod disable_backups;
mod domain_record;
mod droplet;
mod enable_backups;
mod enable_ipv6;
mod fail;
mod http_request;
mod power_off_droplet;
mod power_on_droplet;
mod record;
mod record_provisioned;
mod reference;
mod rename_droplet;
mod reserved_ip;
mod resize_droplet;
mod resize_volume;
mod restore_droplet;
mod reverting;
mod sleep;
mod tag_resource;
mod tagging;
#[cfg(test)]
mod tests;
mod unassign_reserved_ip;
mod unrecord_provisioned;
mod untag_resource;
mod update_domain_record;
mod update_node_pool;
mod update_resource;
mod volume;
mod wait_for_field;

use std::sync::LazyLock;

use super::{step::AnyStep, step_rules::StepRules};

pub use http_request::http_client;
pub use reference::reference;

/// All steps, in the order of the reference.
pub static ALL: &[&dyn AnyStep] = &[
    &create_droplet::CreateDroplet,
    &create_droplet_snapshot::CreateDropletSnapshot,
    &delete_droplet::DeleteDroplet,
    &power_on_droplet::PowerOnDroplet,
    &power_off_droplet::PowerOffDroplet,
    &resize_droplet::ResizeDroplet,
    &rename_droplet::RenameDroplet,
    &restore_droplet::RestoreDroplet,
    &enable_backups::EnableBackups,
    &disable_backups::DisableBackups,
    &enable_ipv6::EnableIPv6,
    &tag_resource::TagResource,
    &untag_resource::UntagResource,
    &delete_snapshot::DeleteSnapshot,
    &create_volume::CreateVolume,
    &attach_volume::AttachVolume,
    &detach_volume::DetachVolume,
    &resize_volume::ResizeVolume,
    &delete_volume::DeleteVolume,
    &assign_reserved_ip::AssignReservedIP,
    &unassign_reserved_ip::UnassignReservedIP,
    &create_domain_record::CreateDomainRecord,
    &update_domain_record::UpdateDomainRecord,
    &assign_to_project::AssignToProject,
    &update_resource::UpdateResource,
    &update_node_pool::UpdateNodePool,
    &record_provisioned::RecordProvisioned,
    &unrecord_provisioned::UnrecordProvisioned,
    &wait_for_field::WaitForField,
    &approval::Approval,
    &http_request::HttpRequest,
    &sleep::Sleep,
    &fail::Fail,
];

/// The rules of all steps, in the same order.
pub static RULES: LazyLock<Vec<&'static dyn StepRules>> =
    LazyLock::new(|| ALL.iter().copied().map(|step| -> &'static dyn StepRules { step }).collect());

/// The step with this name.
#[must_use]
pub fn named(name: &str) -> Option<&'static dyn AnyStep> {
    ALL.iter().copied().find(|step| step.name() == name)
}
