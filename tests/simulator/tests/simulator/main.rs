//! The simulator behaves as the DigitalOcean API does.
#![cfg(test)]

mod actions;
mod addresses;
mod changes;
mod common;
mod faults;
mod godo;
mod inventory;
mod limits;
mod lists;
mod openapi;
mod races;
mod slow_writes;
mod views;
mod writes;
