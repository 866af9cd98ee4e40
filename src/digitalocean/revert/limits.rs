//! Values that the steps of a revert, or DigitalOcean, refuse in any account: a revert to one of them never succeeds.

use crate::digitalocean::Kind;

/// The largest size of a volume, in GiB.
pub(super) const LARGEST_VOLUME: u64 = 16_384;

/// A number, if it is not larger than this.
pub(super) fn at_most(field: &str, number: u64, largest: impl Into<u64>) -> Result<u64, String> {
    let largest = largest.into();
    if number <= largest {
        return Ok(number);
    }
    Err(format!("The recorded value of {field} is larger than {largest}, the maximum; correct the record."))
}

/// The id of a resource of this kind.
pub(super) fn id(kind: &str, id: String) -> Result<String, String> {
    let checked = Kind::named(kind).map_or(Ok(()), |kind| kind.id_format().check(&id));
    checked.map_err(|rule| format!("The recorded id of a {kind} {rule}; correct the record."))?;
    Ok(id)
}

/// The name of a droplet, which is a host name.
pub(super) fn droplet_name(name: String) -> Result<String, String> {
    let is_valid = name.len() <= 255
        && name.chars().all(|letter| letter.is_ascii_alphanumeric() || ".-".contains(letter))
        && name.ends_with(|letter: char| letter.is_ascii_alphanumeric());
    let why = "The recorded name is not a host name of letters, digits, dots and dashes; correct the record.";
    valid(name, is_valid, why)
}

/// The slug of a size.
pub(super) fn slug(slug: &str) -> Result<String, String> {
    let is_valid = slug.len() <= 100;
    valid(slug.to_lowercase(), is_valid, "The recorded value is not the slug of a size; correct the record.")
}

/// The name of a DNS record.
pub(super) fn record_name(name: String) -> Result<String, String> {
    let is_valid = name.len() <= 255;
    let why = "The recorded name is longer than 255 characters, the maximum; correct the record.";
    valid(name, is_valid, why)
}

/// The data of a DNS record.
pub(super) fn record_data(data: String) -> Result<String, String> {
    let is_valid = data.chars().count() <= 4096;
    let why = "The recorded data is longer than 4096 characters, the maximum; correct the record.";
    valid(data, is_valid, why)
}

/// The tag of a CAA record.
pub(super) fn caa_tag(tag: &str) -> Result<String, String> {
    let tag = tag.to_lowercase();
    let why = "The tag of a CAA record is `issue`, `issuewild` or `iodef`; correct the record.";
    let is_valid = ["issue", "issuewild", "iodef"].contains(&tag.as_str());
    valid(tag, is_valid, why)
}

/// A text, if it is valid; otherwise the reason why not.
fn valid(text: String, is_valid: bool, why: &str) -> Result<String, String> {
    if is_valid { Ok(text) } else { Err(why.to_owned()) }
}
