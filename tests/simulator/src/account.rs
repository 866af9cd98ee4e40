//! The documents of the account: completed, changed and removed with everything that depends on them.

use serde_json::{Value, json};

use crate::{
    apps, backups, catalogue,
    cloud::Cloud,
    clusters, databases, domains, droplet_document, droplets, gateways,
    generated::uuid,
    images,
    kinds::{self, Id, Kind},
    load_balancers, node_pools, places, projects, registries, snapshots, tags, templates,
    values::{set, text_of},
    volumes, vpcs,
};

impl Cloud {
    /// Adds or replaces a resource, and completes its document. Loaded inventories, tests and creates of simple kinds
    /// use it.
    pub(crate) fn put(&mut self, collection: &str, document: Value) -> Result<Value, String> {
        if let Some(cluster) = node_pools::cluster_of(collection) {
            return node_pools::put_behind(self, cluster, node_pools::complete(&document));
        }
        let (kind, collection) = known(collection, &document)?;
        let mut document = document;
        let policy = take_policy(kind, &mut document);
        let document = self.complete(kind, document);
        let id = self.keep(kind, &collection, &document, policy)?;
        match kind.collection {
            "domains" => domains::add_default_records(self, &id, &document),
            "snapshots" => snapshots::add_image(self, &document),
            _ => {}
        }
        Ok(document)
    }

    /// Adds or replaces a resource with exactly this document: nothing is completed.
    pub(crate) fn put_as_is(&mut self, collection: &str, mut document: Value) -> Result<Value, String> {
        if let Some(cluster) = node_pools::cluster_of(collection) {
            return node_pools::put_behind(self, cluster, document);
        }
        let (kind, collection) = known(collection, &document)?;
        let policy = document.as_object_mut().filter(|_| kind.collection == "droplets");
        let policy = policy.and_then(|fields| fields.remove("backup_policy"));
        self.keep(kind, &collection, &document, policy)?;
        Ok(document)
    }

    fn keep(
        &mut self,
        kind: &Kind,
        collection: &str,
        document: &Value,
        policy: Option<Value>,
    ) -> Result<String, String> {
        let id = kind.id_of(document).ok_or_else(|| format!("a document of {collection} has a {:?}", kind.id_field))?;
        self.store.put(collection, &id, document);
        tags::note(self, document);
        if let Some(policy) = policy {
            backups::force_policy(self, &id, &policy);
        }
        Ok(id)
    }

    /// Completes a document of a kind.
    pub(crate) fn complete(&mut self, kind: &Kind, mut document: Value) -> Value {
        if let (None, Some(fields)) = (kind.id_of(&document), document.as_object_mut()) {
            match kind.id {
                Id::Uuid => fields.insert(kind.id_field.to_owned(), Value::from(uuid())),
                Id::Integer => fields.insert(kind.id_field.to_owned(), Value::from(self.next_id())),
                Id::Text => fields.insert(kind.id_field.to_owned(), Value::from(self.next_id().to_string())),
                Id::Given => None,
            };
        }
        if kind.collection == "droplets" {
            let id = document.get("id").and_then(Value::as_u64).unwrap_or_default();
            self.resolve_image(&mut document);
            return droplet_document::complete(document, id);
        }
        match kind.collection {
            "kubernetes/clusters" => node_pools::complete_all(&mut document),
            "databases" => databases::complete(&mut document),
            "vpc_nat_gateways" => gateways::complete(&mut document),
            _ => {}
        }
        let mut document = templates::complete(kind, document);
        match kind.collection {
            "load_balancers" => {
                load_balancers::simplify(&mut document);
                load_balancers::complete(&mut document);
            }
            "kubernetes/clusters" => clusters::tag(&mut document),
            _ => {}
        }
        if kind.collection == "apps" {
            apps::complete(&mut document);
        }
        if kind.collection == "vpcs" && document.get("urn").is_none() {
            let urn = format!("do:vpc:{}", kind.id_of(&document).unwrap_or_default());
            set(&mut document, "urn", Value::from(urn));
        }
        if let Some(region) = document.get_mut("region").filter(|_| kind.region_object)
            && let Some(slug) = region.as_str()
        {
            *region = catalogue::region(&slug.to_ascii_lowercase());
        }
        document
    }

    /// Replaces the id or slug of an image with the document of that image.
    fn resolve_image(&self, droplet: &mut Value) {
        places::visit(droplet, "image", &mut |image| {
            if !image.is_object()
                && let Some(document) = droplets::image(self, &text_of(image))
            {
                *image = document;
            }
        });
    }

    /// Changes a live document by a JSON merge patch, as a person in the console would.
    pub(crate) fn change(&mut self, collection: &str, id: &str, patch: &Value) -> Option<Value> {
        let (kind, collection) = kinds::list(collection)?;
        let id = self.resolve(kind, &collection, id)?;
        let mut document = self.store.get(&collection, &id)?;
        let resized = patch.get("size_slug").is_some();
        merge(&mut document, patch);
        let policy = take_policy(kind, &mut document);
        if kind.collection == "droplets" {
            if patch.get("backups").is_some() && patch.get("next_backup_window").is_none() {
                places::remove(&mut document, "next_backup_window");
                backups::set_policy(self, &id, &Value::Null);
            }
            self.resolve_image(&mut document);
            if resized && let Some(fields) = document.as_object_mut() {
                for field in ["size", "vcpus", "memory", "disk", "disk_info", "gpu_info"] {
                    if patch.get(field).is_none() {
                        fields.remove(field);
                    }
                }
            }
            document = droplet_document::complete(document, id.parse().unwrap_or_default());
        } else if kind.region_object {
            document = self.complete(kind, document);
        }
        match kind.collection {
            "apps" => apps::changed(&mut document, patch),
            "databases" => databases::changed(&mut document, patch),
            "load_balancers" => load_balancers::changed(&mut document, patch),
            "kubernetes/clusters" if patch.get("node_pools").is_some() => node_pools::complete_all(&mut document),
            _ => {}
        }
        self.store.put(&collection, &id, &document);
        tags::note(self, &document);
        self.share(kind, &id, &document, patch);
        if let Some(policy) = policy {
            backups::force_policy(self, &id, &policy);
        }
        Some(document)
    }

    /// Copies a change made outside the API to other documents that show it.
    fn share(&mut self, kind: &Kind, id: &str, document: &Value, patch: &Value) {
        let has = |field: &str| patch.get(field).is_some();
        match kind.collection {
            "images" => images::share(self, ("images", "snapshots"), id, document, images::SHARED),
            "snapshots" => images::share(self, ("snapshots", "images"), id, document, images::SHARED),
            "vpcs" => vpcs::share_default(self, id, document),
            "projects" => projects::share_default(self, id, document),
            "droplets" if has("volume_ids") => volumes::attach_exactly(self, id, document),
            "volumes" if has("droplet_ids") => volumes::attached_exactly(self, id, document),
            "registries" if has("subscription") => registries::share_subscription(self, document),
            _ => {}
        }
    }

    /// Removes a resource and everything that depends on it.
    pub(crate) fn remove(&mut self, collection: &str, id: &str) -> bool {
        if !self.store.remove(collection, id) {
            return false;
        }
        self.store.remove_below(&format!("{collection}/{id}"));
        if collection == "droplets" {
            droplets::detach_everything(self, id);
        }
        if collection == "snapshots" {
            self.store.remove("images", id);
        }
        true
    }
}

/// Returns the kind of a collection that accepts such a document.
fn known(collection: &str, document: &Value) -> Result<(&'static Kind, String), String> {
    let (kind, collection) = kinds::list(collection).ok_or_else(|| format!("there is no collection {collection:?}"))?;
    if document.is_object() {
        return Ok((kind, collection));
    }
    Err(format!("a document of {collection} is an object, not {document}"))
}

/// Removes the backup policy from the document of a droplet, which does not show it. A droplet with a policy has
/// backups, even if its features do not show it.
fn take_policy(kind: &Kind, document: &mut Value) -> Option<Value> {
    let fields = document.as_object_mut().filter(|_| kind.collection == "droplets")?;
    let policy = fields.remove("backup_policy").filter(|it| !it.is_null())?;
    if fields.get("next_backup_window").is_none_or(Value::is_null) {
        fields.insert("next_backup_window".to_owned(), droplet_document::next_backup_window());
    }
    Some(policy)
}

/// Applies a JSON merge patch (RFC 7386).
pub(crate) fn merge(document: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *document = patch.clone();
        return;
    };
    if !document.is_object() {
        *document = json!({});
    }
    let Value::Object(fields) = document else { return };
    for (key, change) in changes {
        if change.is_null() {
            fields.remove(key);
        } else {
            merge(fields.entry(key.clone()).or_insert(Value::Null), change);
        }
    }
}
