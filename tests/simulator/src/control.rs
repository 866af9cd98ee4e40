//! The client of the control API. Tests and the demo both use it over HTTP.

use axum::http::{Method, Request, StatusCode, header};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::{
    control_paths::{ACTIONS, COLLEAGUES, FAULTS, INVENTORY, RENEWAL, REQUESTS, RESOURCE},
    error::Error,
    faults::Fault,
    request::encode,
    requests::Requests,
};

/// Changes the simulated account outside the API, injects faults and counts requests.
///
/// A collection is the list's path below `/v2`: `droplets`, `load_balancers`, `domains/example.com/records`.
#[derive(Clone, Debug)]
pub struct Control {
    url: String,
}

impl Control {
    /// A client for the simulator at this URL (without `/v2`).
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into().trim_end_matches('/').to_owned() }
    }

    /// Adds or replaces a resource, and returns it in full: missing fields are filled in.
    ///
    /// # Errors
    /// If the simulator cannot be reached or the collection does not exist.
    pub async fn put(&self, collection: &str, document: Value) -> Result<Value, Error> {
        self.expect(Method::PUT, &resource(collection, ""), Some(&document)).await
    }

    /// Adds or replaces a resource with exactly this document, which has an id: nothing is filled in, encrypted or
    /// omitted.
    ///
    /// # Errors
    /// If the simulator cannot be reached, the collection does not exist or the document has no id.
    pub async fn put_as_is(&self, collection: &str, document: Value) -> Result<Value, Error> {
        let path = format!("{RESOURCE}?collection={}&as_is=true", encode(collection));
        self.expect(Method::PUT, &path, Some(&document)).await
    }

    /// Returns a resource as stored, or `None`.
    ///
    /// # Errors
    /// If the simulator cannot be reached.
    pub async fn get(&self, collection: &str, id: &str) -> Result<Option<Value>, Error> {
        match self.expect(Method::GET, &resource(collection, id), None).await {
            Err(Error::Refused { status: 404, .. }) => Ok(None),
            other => other.map(Some),
        }
    }

    /// Changes a resource by a JSON merge patch, as a person in the console would, and returns it. For droplets a
    /// changed `size_slug` also changes size, vcpus, memory and disk; `region` and `image` may be given as slugs.
    ///
    /// # Errors
    /// If the simulator cannot be reached or the resource does not exist.
    pub async fn change(&self, collection: &str, id: &str, merge_patch: Value) -> Result<Value, Error> {
        self.expect(Method::PATCH, &resource(collection, id), Some(&merge_patch)).await
    }

    /// Removes a resource.
    ///
    /// # Errors
    /// If the simulator cannot be reached or the resource does not exist.
    pub async fn delete(&self, collection: &str, id: &str) -> Result<(), Error> {
        self.call(Method::DELETE, &resource(collection, id), None).await.map(drop)
    }

    /// Renews a certificate, as Let's Encrypt certificates are every two months, and returns the new one. The new
    /// certificate has a new id and the same name, all users of the old one use it, and the old one is deleted.
    ///
    /// # Errors
    /// If the simulator cannot be reached or the certificate does not exist.
    pub async fn renew_certificate(&self, id: &str) -> Result<Value, Error> {
        let path = format!("{RENEWAL}?collection=certificates&id={}", encode(id));
        self.expect(Method::POST, &path, None).await
    }

    /// Schedules a colleague's write, a JSON merge patch: it runs just before the next call that changes this resource
    /// or a part of it, after all reads of the caller.
    ///
    /// # Errors
    /// If the simulator cannot be reached or the resource does not exist.
    pub async fn change_before_next_put(&self, collection: &str, id: &str, merge_patch: Value) -> Result<(), Error> {
        self.order("before", collection, id, &merge_patch).await
    }

    /// Schedules the same write just after the next call that changes the resource, from a document read before that
    /// call.
    ///
    /// # Errors
    /// If the simulator cannot be reached or the resource does not exist.
    pub async fn change_after_next_put(&self, collection: &str, id: &str, merge_patch: Value) -> Result<(), Error> {
        self.order("after", collection, id, &merge_patch).await
    }

    async fn order(&self, moment: &str, collection: &str, id: &str, merge_patch: &Value) -> Result<(), Error> {
        let path = format!("{COLLEAGUES}?collection={}&id={}&moment={moment}", encode(collection), encode(id));
        self.call(Method::POST, &path, Some(merge_patch)).await.map(drop)
    }

    /// Returns all resources of the account, as collection → id → document. Two inventories are equal if nothing
    /// changed between them or every change was undone: actions, base images, unused tags and volatile fields are left
    /// out, and sets are sorted. The effect of an action in progress is not included.
    ///
    /// # Errors
    /// If the simulator cannot be reached.
    pub async fn inventory(&self) -> Result<Value, Error> {
        self.expect(Method::GET, INVENTORY, None).await
    }

    /// Ends all actions that are in progress, as if their time were over.
    ///
    /// # Errors
    /// If the simulator cannot be reached.
    pub async fn finish_actions(&self) -> Result<(), Error> {
        self.call(Method::DELETE, ACTIONS, None).await.map(drop)
    }

    /// Injects a fault.
    ///
    /// # Errors
    /// If the simulator cannot be reached.
    pub async fn inject(&self, fault: Fault) -> Result<(), Error> {
        self.call(Method::POST, FAULTS, Some(&json!(fault))).await.map(drop)
    }

    /// Clears all faults.
    ///
    /// # Errors
    /// If the simulator cannot be reached.
    pub async fn clear_faults(&self) -> Result<(), Error> {
        self.call(Method::DELETE, FAULTS, None).await.map(drop)
    }

    /// Returns the requests since the last reset.
    ///
    /// # Errors
    /// If the simulator cannot be reached.
    pub async fn requests(&self) -> Result<Requests, Error> {
        self.expect(Method::GET, REQUESTS, None).await
    }

    /// Resets the counts. The windows of the rate limits are kept.
    ///
    /// # Errors
    /// If the simulator cannot be reached.
    pub async fn reset_requests(&self) -> Result<(), Error> {
        self.call(Method::DELETE, REQUESTS, None).await.map(drop)
    }

    async fn expect<T: DeserializeOwned>(&self, method: Method, path: &str, body: Option<&Value>) -> Result<T, Error> {
        let bytes = self.call(method, path, body).await?;
        serde_json::from_slice(&bytes).map_err(|error| self.unreachable(&error))
    }

    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Bytes, Error> {
        let authority = self.url.strip_prefix("http://").unwrap_or(&self.url);
        let stream = TcpStream::connect(authority).await.map_err(|error| self.unreachable(&error))?;
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|error| self.unreachable(&error))?;
        tokio::spawn(connection);
        let request = Request::builder()
            .method(&method)
            .uri(path)
            .header(header::HOST, authority)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string()))))
            .map_err(|error| self.unreachable(&error))?;
        let response = sender.send_request(request).await.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        let bytes = response.into_body().collect().await.map_err(|error| self.unreachable(&error))?.to_bytes();
        if status == StatusCode::OK || status == StatusCode::NO_CONTENT {
            return Ok(bytes);
        }
        let message = String::from_utf8_lossy(&bytes).into_owned();
        Err(Error::Refused { request: format!("{method} {path}"), status: status.as_u16(), message })
    }

    fn unreachable(&self, reason: &dyn std::fmt::Display) -> Error {
        Error::Unreachable { url: self.url.clone(), reason: reason.to_string() }
    }
}

fn resource(collection: &str, id: &str) -> String {
    format!("{RESOURCE}?collection={}&id={}", encode(collection), encode(id))
}
