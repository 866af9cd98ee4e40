//! Checks the documents against the program: executes the tour, compares the tables with the code, and checks the words.
#![cfg(test)]

mod daily;
mod document;
mod links;
mod shell;
mod skip;
mod snippets;
mod stage;
mod tables;
mod tour;
mod words;
