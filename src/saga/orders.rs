//! The compiled orders, by saga: compiling the expressions is expensive.

use std::{collections::HashMap, sync::Arc};

use kube::ResourceExt;
use parking_lot::{Mutex, MutexGuard};

use super::{
    order::{Order, digest},
    steps::RULES,
};
use crate::{api::Saga, kube_ext::key::ObjectKey};

/// The compiled orders of all sagas.
#[derive(Default)]
pub(super) struct Orders(Mutex<HashMap<ObjectKey, Arc<ReadOrder>>>);

/// A compiled order.
pub(super) struct ReadOrder {
    pub(super) digest: String,
    pub(super) order: Result<Order, String>,
}

impl Orders {
    /// The compiled order of a saga, reused while the spec stays the same.
    pub(super) fn order_of(
        &self,
        key: &ObjectKey,
        saga: &Saga,
        author: Option<&Saga>,
        own_digest: &str,
    ) -> Arc<ReadOrder> {
        if saga.phase().is_finished() {
            self.all().remove(key);
            return Arc::new(ReadOrder { digest: own_digest.to_owned(), order: Err("it is finished".to_owned()) });
        }
        let (author, digest) = match (&saga.spec.rollback_of, author) {
            (None, _) => (saga, own_digest.to_owned()),
            (Some(_), Some(author)) => (author, digest(&author.spec)),
            (Some(other), None) => {
                let why = format!("rollbackOf names saga {:?}, which does not exist in this namespace", other.name);
                return Arc::new(ReadOrder { digest: String::new(), order: Err(why) });
            }
        };
        if let Some(uid) = saga.status.as_ref().and_then(|status| status.rollback_of_uid.as_deref())
            && author.metadata.uid.as_deref() != Some(uid)
        {
            let why = format!("the saga {:?} to undo was deleted, and another saga has its name", author.name_any());
            return Arc::new(ReadOrder { digest: String::new(), order: Err(why) });
        }
        if let Some(read) = self.all().get(key).filter(|read| read.digest == digest) {
            return read.clone();
        }
        let order = Order::read(&author.spec, &RULES).map_err(|invalid| invalid.to_string());
        let read = Arc::new(ReadOrder { digest, order });
        self.all().insert(key.clone(), read.clone());
        read
    }

    pub(super) fn forget(&self, key: &ObjectKey) {
        self.all().remove(key);
    }

    fn all(&self) -> MutexGuard<'_, HashMap<ObjectKey, Arc<ReadOrder>>> {
        self.0.lock()
    }
}
