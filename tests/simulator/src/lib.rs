//! An HTTP server that behaves as the DigitalOcean API does, faults included.
//!
//! The API itself is `api` and the files of the nouns it serves; `server` has the connections that can be broken, `serve`
//! what happens to a call around its handler; `faults` are what tests put in the way; [`Control`] is how they do it, over
//! HTTP like everyone else.

mod actions;
mod api;
mod apps;
mod backups;
mod catalogue;
mod certificates;
mod cloud;
mod clusters;
mod colleagues;
mod control;
mod control_api;
mod database_changes;
mod database_parts;
mod database_plans;
mod databases;
mod deployments;
mod domains;
mod droplet_actions;
mod droplets;
mod error;
mod faults;
mod firewalls;
mod fleet;
mod gateways;
mod images;
mod inventory;
mod kinds;
mod limits;
mod load;
mod load_balancers;
mod memberships;
mod monitoring;
mod node_pools;
mod options;
mod pages;
mod places;
mod projects;
mod registries;
mod reply;
mod request;
mod requests;
mod reserved_ips;
mod scopes;
mod serve;
mod server;
mod snapshots;
mod store;
mod tags;
mod templates;
mod views;
mod volumes;
mod vpcs;
mod writes;

pub use control::Control;
pub use error::Error;
pub use faults::{Effect, Fault};
pub use options::{Options, RateLimits};
pub use requests::Requests;
pub use server::Simulator;
