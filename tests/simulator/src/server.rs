//! The server: an account behind connections that can be broken on purpose.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, extract::Extension};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

use crate::{
    cloud::Cloud,
    control::Control,
    control_api,
    error::Error,
    fleet::Fleet,
    limits::Limiter,
    load,
    options::Options,
    serve::serve,
    shared::{Bell, Shared},
};

/// A simulator in this process. Dropping it closes the server and all connections.
#[derive(Debug)]
pub struct Simulator {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Simulator {
    /// Starts a simulator.
    ///
    /// # Errors
    /// If the simulator cannot listen on the address or cannot load the inventory.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let mut cloud = Cloud::new(Duration::try_from_secs_f64(options.action_seconds).unwrap_or(Duration::ZERO));
        if options.droplets > 0 {
            cloud.store.add_fleet(Fleet::new(), u32::try_from(options.droplets).unwrap_or(u32::MAX));
            for tag in Fleet::tags() {
                crate::tags::add(&mut cloud, &tag);
            }
        }
        // After the fleet: loaded resources replace generated ones.
        if let Some(path) = &options.load {
            load::load(&mut cloud, path)?;
            cloud.store.forget_ages();
        }
        let refuse = |source| Error::Listen { address: options.listen, source };
        let listener = TcpListener::bind(options.listen).await.map_err(refuse)?;
        let address = listener.local_addr().map_err(refuse)?;
        let shared = Arc::new(Shared {
            cloud: Mutex::new(cloud),
            faults: Mutex::default(),
            limiter: Mutex::new(Limiter::new(options.rate_limits)),
            counter: Mutex::default(),
            token: options.token,
        });
        let router = control_api::routes().fallback(serve).with_state(shared);
        Ok(Self { address, accepting: tokio::spawn(accept(listener, router)) })
    }

    /// The URL, without `/v2`: `http://127.0.0.1:40123`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns a client of the control API.
    #[must_use]
    pub fn control(&self) -> Control {
        Control::new(self.url())
    }

    /// Waits until the simulator ends. It ends only when it is stopped.
    pub async fn run(mut self) {
        // The task only ends when the simulator is dropped.
        let _ = (&mut self.accepting).await;
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, router: Router) {
    // Dropping this task drops the connections too.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => { connections.spawn(connection(stream, router.clone())); }
                // For example out of file descriptors, which may become free later.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(stream: TcpStream, router: Router) {
    // Small responses must not wait for more data.
    let _ = stream.set_nodelay(true);
    let bell = Bell::default();
    let service = TowerToHyperService::new(router.layer(Extension(bell.clone())));
    let mut connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        // The client has seen why the connection ended.
        _ = &mut connection => {}
        () = bell.0.notified() => {
            let stream = connection.into_parts().io.into_inner();
            // Closing a socket without linger sends a reset.
            let _ = stream.set_zero_linger();
        }
    }
}
