//! Events on a droplet exclude each other.

use serde_json::Value;

use crate::{cloud::Cloud, reply::Refusal};

/// Refuses an event on a droplet while another is in progress. Attaching a volume or an address is such an event. A
/// droplet that DigitalOcean locked accepts no event.
pub(crate) fn check_free(cloud: &Cloud, id: &str) -> Result<(), Refusal> {
    if cloud.is_busy("droplets", id) {
        return Err(Refusal::unprocessable("Droplet already has a pending event."));
    }
    if cloud.store.get("droplets", id).is_some_and(|droplet| droplet.get("locked") == Some(&Value::Bool(true))) {
        return Err(Refusal::unprocessable("Droplet is currently locked."));
    }
    Ok(())
}
