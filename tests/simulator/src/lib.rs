//! An HTTP server that behaves as the DigitalOcean API does, faults included.
//!
//! `api` and the files of the kinds implement the API. `server` accepts connections that can be broken, `serve` runs
//! the steps around a handler, and `faults` defines the faults that tests inject. [`Control`] injects them over HTTP.

#![warn(unreachable_pub)]

mod account;
mod actions;
mod api;
mod apps;
mod backups;
mod catalogue;
mod certificates;
mod changes;
mod cloud;
mod clusters;
mod colleague;
mod colleagues;
mod control;
mod control_api;
mod control_paths;
mod database_changes;
mod database_parts;
mod database_plans;
mod databases;
mod deployments;
mod domains;
mod droplet_actions;
mod droplet_document;
mod droplet_events;
mod droplets;
mod error;
mod faults;
mod firewalls;
mod fleet;
mod gateways;
mod generated;
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
mod past;
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
mod shared;
mod snapshots;
mod store;
mod tagged;
mod tags;
mod templates;
mod values;
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
