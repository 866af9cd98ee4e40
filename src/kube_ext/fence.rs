//! A client of the API server that sends only the requests which the lease permits.
//!
//! A check before each call is not enough: the process can be paused between the check and the write, for longer than
//! its lease lasts. So the check is made on the connection, below the retries, the pool and TLS, right before the bytes
//! go to the kernel. A process whose lease has expired ends there. A standby may only read.

use std::{
    future::Future,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use http::{Method, Request, Uri};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_timeout::TimeoutConnector;
use hyper_util::{
    client::{
        legacy,
        legacy::connect::{Connected, Connection, HttpConnector},
    },
    rt::TokioExecutor,
};
use kube::{
    Client, Config,
    client::{Body, ConfigExt, retry::RetryPolicy},
};
use tower::{BoxError, Service, ServiceBuilder, filter::FilterLayer, retry::RetryLayer};

use super::{
    depth,
    leader::{AllowedRequests, Leadership, Lost, end},
    watch,
};

/// A standby tried to write: a bug.
#[derive(Debug, thiserror::Error)]
#[error("this replica does not hold the lease, so it does not write")]
struct NotLeader;

/// A client like `Client::try_from(config)`, with the fence.
///
/// # Errors
/// When the configuration is invalid.
pub(crate) fn client(config: &Config, leadership: &Leadership) -> Result<Client, kube::Error> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    let fenced = FencedConnector { tcp, leadership: leadership.clone() };
    let mut connector = TimeoutConnector::new(config.rustls_https_connector_with_connector(fenced)?);
    connector.set_connect_timeout(config.connect_timeout);
    connector.set_read_timeout(config.read_timeout);
    connector.set_write_timeout(config.write_timeout);
    connector.set_reset_reader_on_write(config.reset_reader_on_write);

    let leadership = leadership.clone();
    let only_leaders_write = FilterLayer::new(move |request: Request<Body>| {
        let allowed = request.method() == Method::GET || leadership.permit() == AllowedRequests::Write;
        if allowed { Ok(request) } else { Err(NotLeader) }
    });
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.default_retry.then(|| RetryLayer::new(RetryPolicy::server_retry())))
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .layer(only_leaders_write)
        .map_err(BoxError::from)
        .map_request(watch::with_recent_list)
        .map_response(depth::limited)
        .service(legacy::Builder::new(TokioExecutor::new()).build::<_, Body>(connector));
    Ok(Client::new(service, config.default_namespace.clone()))
}

/// Creates fenced connections.
#[derive(Clone)]
struct FencedConnector {
    tcp: HttpConnector,
    leadership: Leadership,
}

impl Service<Uri> for FencedConnector {
    type Response = Fenced<<HttpConnector as Service<Uri>>::Response>;
    type Error = <HttpConnector as Service<Uri>>::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Service::<Uri>::poll_ready(&mut self.tcp, context)
    }

    fn call(&mut self, address: Uri) -> Self::Future {
        let connecting = Service::<Uri>::call(&mut self.tcp, address);
        let leadership = self.leadership.clone();
        Box::pin(async move { Ok(Fenced { io: connecting.await?, leadership }) })
    }
}

/// A connection that sends nothing after the lease has expired.
struct Fenced<T> {
    io: T,
    leadership: Leadership,
}

impl<T: Unpin> Fenced<T> {
    /// The connection to write to. The write must follow immediately.
    fn writable(self: Pin<&mut Self>) -> io::Result<Pin<&mut T>> {
        let this = self.get_mut();
        match this.leadership.permit() {
            AllowedRequests::Write | AllowedRequests::Read => Ok(Pin::new(&mut this.io)),
            AllowedRequests::Nothing => Err(io::Error::other("the lease was released")),
            AllowedRequests::Lost => end(&Lost::Expired),
        }
    }
}

impl<T: Write + Unpin> Write for Fenced<T> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.writable()?.poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writable()?.poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.writable()?.poll_write_vectored(context, pieces)
    }
}

impl<T: Read + Unpin> Read for Fenced<T> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_read(context, into)
    }
}

impl<T: Connection> Connection for Fenced<T> {
    fn connected(&self) -> Connected {
        self.io.connected()
    }
}
