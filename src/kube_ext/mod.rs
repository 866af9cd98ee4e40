//! Extensions of kube, each policy in one file.

pub mod cache;
pub mod call;
pub mod depth;
pub mod events;
pub mod fence;
pub mod key;
pub mod leader;
pub mod queue;
pub mod undecoded;
pub mod version;
pub mod watch;
pub mod work;
