//! GitOps engines for tests and the demo: Flux's and Argo CD's own code, applying a folder of manifests.
//!
//! ```no_run
//! # async fn example() -> Result<(), gitops_engines::Error> {
//! # let (folder, kubeconfig) = (std::path::Path::new("manifests"), std::path::Path::new("kubeconfig"));
//! use std::time::Duration;
//! let mut flux = gitops_engines::Flux::default().apply_loop(folder, kubeconfig, Duration::from_millis(200))?;
//! for round in flux.next_rounds(10).await? {
//!     println!("{:?} {:?}", round.objects, round.error);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The engines are Go programs beside this file. `cargo xtask control-plane` builds them once.

#![warn(unreachable_pub)]

mod argo;
mod error;
mod flux;
mod rounds;

pub use argo::{Argo, Compared, SyncPolicy, SyncResult, SyncStatus, Tracking};
pub use error::Error;
pub use flux::{Action, Applied, Flux};
pub use rounds::{Loop, Round};
