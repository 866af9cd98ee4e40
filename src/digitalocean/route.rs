//! The target of a call, and the method of a change.

use super::Error;

/// The target of a call.
#[derive(Clone, Copy, Debug)]
pub struct Endpoint<'a> {
    /// The path with its placeholders `{parent}` and `{id}`, such as `/v2/domains/{parent}/records/{id}`.
    pub route: &'static str,
    /// The value of `{parent}`.
    pub parent: Option<&'a str>,
    /// The value of `{id}`.
    pub id: Option<&'a str>,
    /// The scope that the token needs, for the message of a 403.
    pub scope: &'static str,
}

/// The method of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeMethod {
    /// Creates a resource, or starts an action.
    Post,
    /// Replaces a resource as a whole.
    Put,
    /// Changes some fields.
    Patch,
    /// Deletes a resource.
    Delete,
}

impl Endpoint<'_> {
    /// Refuses missing ids, and ids that would form another path.
    pub(super) fn check(&self) -> Result<(), Error> {
        let is_wanted = |placeholder: &&str| self.route.split('/').any(|segment| segment == *placeholder);
        let placeholders = self.route.split('/').filter(|segment| segment.starts_with('{')).count();
        let ids = [("{parent}", self.parent), ("{id}", self.id)];
        let given: Vec<_> = ids.into_iter().filter_map(|(placeholder, id)| Some((placeholder, id?))).collect();
        let fits = given.iter().all(|(placeholder, id)| is_wanted(placeholder) && is_one_segment(id));
        if fits && given.len() == placeholders {
            return Ok(());
        }
        let resource = format!("{} with {given:?}", self.route);
        Err(Error::BadId {
            resource,
            rule: "must not be empty, contain control characters or consist of dots".to_owned(),
        })
    }
}

/// Returns true if a URL keeps it as one segment. Parsers of URLs drop tabs and line breaks, and dots change the path.
fn is_one_segment(id: &str) -> bool {
    !id.chars().all(|letter| letter == '.') && !id.chars().any(char::is_control)
}
