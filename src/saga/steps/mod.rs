//! The steps that sagas are made of, one file each. A new step is a file here and a row in [`ALL`].

mod attach_volume;
mod common;
mod create_droplet_snapshot;
mod create_volume;
mod delete_volume;
mod detach_volume;
mod fail;
mod resize_volume;
mod sleep;
#[cfg(test)]
mod tests;
mod volume;

use super::step::AnyStep;

/// All of them, as the reference lists them.
pub static ALL: &[&dyn AnyStep] = &[
    &create_droplet_snapshot::CreateDropletSnapshot,
    &create_volume::CreateVolume,
    &attach_volume::AttachVolume,
    &detach_volume::DetachVolume,
    &resize_volume::ResizeVolume,
    &delete_volume::DeleteVolume,
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
