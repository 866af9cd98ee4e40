//! A way to the API server that can be cut.

use std::{
    fs, io,
    net::{Shutdown, TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use serde_json::Value;

/// A forwarded port.
pub(crate) struct Gate {
    kubeconfig: PathBuf,
    is_open: Arc<AtomicBool>,
    connections: Arc<Mutex<Vec<TcpStream>>>,
    _folder: tempfile::TempDir,
}

impl Gate {
    /// Forwards to the cluster of a kubeconfig.
    pub(crate) fn to(kubeconfig: &Path) -> Self {
        let mut config: Value = serde_saphyr::from_str(&fs::read_to_string(kubeconfig).unwrap()).unwrap();
        let server = config["clusters"][0]["cluster"]["server"].as_str().unwrap().to_owned();
        let (address, target) = server.rsplit_once(':').unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        config["clusters"][0]["cluster"]["server"] =
            format!("{address}:{}", listener.local_addr().unwrap().port()).into();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kubeconfig");
        fs::write(&path, config.to_string()).unwrap();
        let is_open = Arc::new(AtomicBool::new(true));
        let connections = Arc::new(Mutex::new(Vec::new()));
        let gate = Self {
            kubeconfig: path,
            is_open: Arc::clone(&is_open),
            connections: Arc::clone(&connections),
            _folder: folder,
        };
        let target = format!("127.0.0.1:{}", target.trim_end_matches('/'));
        thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.unwrap();
                if is_open.load(Ordering::SeqCst) {
                    let server = TcpStream::connect(&target).unwrap();
                    connections.lock().unwrap().extend([client.try_clone().unwrap(), server.try_clone().unwrap()]);
                    forward(client.try_clone().unwrap(), server.try_clone().unwrap());
                    forward(server, client);
                }
            }
        });
        gate
    }

    pub(crate) fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Cuts all connections, and refuses new ones.
    pub(crate) fn close(&self) {
        self.is_open.store(false, Ordering::SeqCst);
        for connection in self.connections.lock().unwrap().drain(..) {
            // It may be closed already.
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    pub(crate) fn open(&self) {
        self.is_open.store(true, Ordering::SeqCst);
    }
}

fn forward(mut from: TcpStream, mut to: TcpStream) {
    thread::spawn(move || {
        // A cut connection ends both ways.
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
    });
}
