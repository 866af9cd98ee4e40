//! The state that all connections share, and the bell that resets one.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tokio::sync::Notify;

use crate::{cloud::Cloud, faults::Faults, limits::Limiter, requests::Counter};

/// The state that all connections share.
pub(crate) struct Shared {
    pub(crate) cloud: Mutex<Cloud>,
    pub(crate) faults: Mutex<Faults>,
    pub(crate) limiter: Mutex<Limiter>,
    pub(crate) counter: Mutex<Counter>,
    pub(crate) token: Option<String>,
}

impl Shared {
    /// Returns the account, after everything that is due took effect.
    pub(crate) fn cloud(&self) -> MutexGuard<'_, Cloud> {
        let mut cloud = lock(&self.cloud);
        cloud.settle(Instant::now());
        cloud
    }

    pub(crate) fn faults(&self) -> MutexGuard<'_, Faults> {
        lock(&self.faults)
    }

    pub(crate) fn limiter(&self) -> MutexGuard<'_, Limiter> {
        lock(&self.limiter)
    }

    /// Returns true if a token is accepted.
    pub(crate) fn lets_in(&self, token: Option<&str>) -> bool {
        self.token.is_none() || self.token.as_deref() == token
    }

    pub(crate) fn counter(&self) -> MutexGuard<'_, Counter> {
        lock(&self.counter)
    }
}

/// Ignores poisoning: a panic in one handler must not fail the rest of a test.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A handler notifies it to reset the connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bell(pub(crate) Arc<Notify>);

impl Bell {
    pub(crate) fn ring(&self) {
        self.0.notify_one();
    }
}
