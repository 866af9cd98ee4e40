//! Writes objects directly into etcd: unchanged as an earlier version stored them, with their UIDs and status.

use std::path::Path;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::UnixStream;

use crate::Error;

/// Stores a custom resource. The API server sends it to all watches.
pub(crate) async fn put(socket: &Path, plural: &str, object: &Value) -> Result<(), Error> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let group = text("/apiVersion").split('/').next().unwrap_or_default();
    let key = format!("/registry/{group}/{plural}/{}/{}", text("/metadata/namespace"), text("/metadata/name"));
    let body = json!({ "key": STANDARD.encode(&key), "value": STANDARD.encode(object.to_string()) });
    let failed = |reason: String| Error::Store { key: key.clone(), reason };
    let stream = UnixStream::connect(socket).await.map_err(|error| failed(error.to_string()))?;
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| failed(error.to_string()))?;
    tokio::spawn(connection);
    let request = Request::post("/v3/kv/put").header(header::HOST, "etcd");
    let request = request.body(Full::new(Bytes::from(body.to_string()))).map_err(|error| failed(error.to_string()))?;
    let response = sender.send_request(request).await.map_err(|error| failed(error.to_string()))?;
    let status = response.status();
    let answer = response.into_body().collect().await.map_err(|error| failed(error.to_string()))?.to_bytes();
    if status == StatusCode::OK { Ok(()) } else { Err(failed(String::from_utf8_lossy(&answer).into_owned())) }
}
