//! The jobs of the floor, and their cost.

use serde::{Deserialize, Serialize};

use super::orders::Batch;

/// The jobs of the floor.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Job {
    /// List the records to write to, and open as many connections as the writes need.
    Prepare,
    /// Read and parse all pages of the droplet lists.
    List,
    /// Read and parse all pages of the records of a namespace.
    ListRecords { namespace: String },
    /// Write the status of records, by server-side apply.
    WriteStatuses {
        /// The number of the first record.
        from: usize,
        /// The number of records.
        count: usize,
    },
    /// Read each of the first droplets, as the operator does before a verdict, and create a drift for its record.
    CreateDrifts {
        /// The number of drifts.
        count: usize,
        /// The number of the drift within its record.
        episode: u32,
        /// Publish an Event for each at the same time, as the operator does. The measured time ends with the last
        /// drift.
        with_events: bool,
    },
    /// Write the acceptance of the first drift of each of the first records, and the status of the record.
    Accept {
        /// The number of records.
        count: usize,
    },
    /// Make the calls and writes of a revert, for the first drift of each of these records. It is about droplets that
    /// no record names.
    Revert {
        /// The number of the first record.
        from: usize,
        /// The number of records.
        count: usize,
    },
    /// A job about sagas.
    Sagas(SagaJob),
}

/// The result of a job.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Done {
    /// The time of the job.
    pub(super) seconds: f64,
    /// The number of calls or writes.
    pub(super) calls: u64,
    /// The number of bytes read from the cloud.
    pub(super) bytes: u64,
}

/// The cost of a job.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cost {
    /// Wall time.
    pub(super) seconds: f64,
    /// CPU time of the floor's process.
    pub(super) cpu_seconds: f64,
    /// Calls or writes.
    pub(super) calls: u64,
    /// Bytes read from the cloud.
    pub(super) bytes: u64,
}

impl std::ops::Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            seconds: self.seconds + other.seconds,
            cpu_seconds: self.cpu_seconds + other.cpu_seconds,
            calls: self.calls + other.calls,
            bytes: self.bytes + other.bytes,
        }
    }
}

/// The jobs of the floor about sagas.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum SagaJob {
    /// List the sagas, open as many connections as the writes need, and create the tags of these batches.
    Prepare(Vec<Batch>),
    /// Write the journals of sagas from the first write to the last, with the concurrency of the operator.
    CarryOn {
        batch: Batch,
        /// The number of the first saga.
        from: u32,
        /// The number of sagas.
        count: u32,
        /// Also make the calls of the steps, between the writes.
        with_calls: bool,
    },
    /// Create sagas at a steady rate and write the journal of each, with the calls of its steps.
    Order {
        batch: Batch,
        /// The number of the first saga.
        from: u32,
        /// The number of sagas.
        count: u32,
        /// The number of sagas per second.
        per_second: f64,
    },
}
