//! The steps that sagas are made of, one file each. A new step is a file here and a row in [`ALL`].

mod common;
mod create_droplet;
mod create_droplet_snapshot;
mod delete_droplet;
mod delete_snapshot;
mod disable_backups;
mod droplet;
mod enable_backups;
mod fail;
mod power_off_droplet;
mod power_on_droplet;
mod rename_droplet;
mod resize_droplet;
mod restore_droplet;
mod sleep;
mod tag_resource;
mod tagging;
#[cfg(test)]
mod tests;
mod untag_resource;

use super::step::AnyStep;

/// All of them, as the reference lists them.
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
    &tag_resource::TagResource,
    &untag_resource::UntagResource,
    &delete_snapshot::DeleteSnapshot,
    &sleep::Sleep,
    &fail::Fail,
];

/// The step of this name.
#[must_use]
pub fn named(name: &str) -> Option<&'static dyn AnyStep> {
    ALL.iter().copied().find(|step| step.name() == name)
}

/// The client for the users' own services.
///
/// # Errors
/// When there is no TLS.
pub fn http_client() -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()
}
