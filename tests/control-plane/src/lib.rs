//! A real Kubernetes control plane on loopback, for tests and the demo.
//!
//! ```no_run
//! # async fn example() -> Result<(), control_plane::Error> {
//! let control_plane = control_plane::ControlPlane::shared().await?;
//! let namespace = control_plane.namespace("accepting").await?;
//! namespace.kubectl().apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: one}}").await?;
//! println!("{}", namespace.kubectl().run(&["get", "configmaps"]).await?);
//! # Ok(())
//! # }
//! ```
//!
//! The sources of the control plane, in this order:
//! 1. `ARCADIA_TEST_KUBECONFIG`: this cluster is used unchanged, and no server is started;
//! 2. `KUBEBUILDER_ASSETS`: a folder with `etcd`, `kube-apiserver` and `kubectl` of the pinned minor release, as
//!    `setup-envtest` fills one;
//! 3. the user's cache folder, which [`prepare`] fills once: with prebuilt programs if they can be downloaded,
//!    otherwise with programs built from the pins in `go.mod` beside this crate.
//!
//! Nothing is left behind: every server is tied to a pipe from this process, and its folder is tied to the servers.
//! Both are removed a moment after the process ends, even if it panicked or was killed (see [`Process`]).

#![warn(unreachable_pub)]

mod binaries;
mod control_plane;
mod credentials;
mod error;
mod folder;
mod kubectl;
mod metrics;
mod namespace;
mod options;
mod pins;
mod port;
mod prebuilt;
mod prepare;
mod process;
mod programs;
mod servers;
mod store;

pub use binaries::{Binaries, GitOpsEngines, SHARED, actionlint, find, gitops_engines, given_cluster, helm};
pub use control_plane::ControlPlane;
pub use error::Error;
pub use kubectl::Kubectl;
pub use namespace::Namespace;
pub use options::Options;
pub use prepare::{Progress, Wanted, prepare, prepare_gitops_engines, prepare_helm, prepare_tools};
pub use process::Process;
