//! The README is held to the program: its tour is typed into a shell, and its tables are compared with the code.
#![cfg(test)]

mod document;
mod links;
mod stage;
mod tables;
mod tour;
