//! Extensions of kube, each policy in one file.

pub mod cache;
pub mod call;
pub(crate) mod depth;
pub(crate) mod events;
pub(crate) mod fence;
pub mod key;
pub mod leader;
pub(crate) mod names;
pub(crate) mod queue;
pub(crate) mod undecoded;
pub(crate) mod version;
pub(crate) mod watch;
pub(crate) mod work;
