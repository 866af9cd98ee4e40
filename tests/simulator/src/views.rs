//! Views: a list and a single document of a resource have different keys, and a list can show old values.

use serde_json::Value;

use crate::{cloud::Cloud, kinds::Kind, places, request::Call, store::Row, tagged, values::set};

/// The keys of a kind that only one of its two views shows.
struct View {
    collection: &'static str,
    /// Places that lists leave out.
    unlisted: &'static [&'static str],
    /// Places that the document of one resource leaves out.
    listed_only: &'static [&'static str],
}

const VIEWS: &[View] = &[
    View {
        collection: "databases",
        unlisted: &[
            "rules",
            "semantic_version",
            "do_settings",
            "metrics_endpoints",
            "standby_connection",
            "standby_private_connection",
        ],
        // The document of a cluster lacks its rules, which have their own path.
        listed_only: &["rules"],
    },
    View { collection: "vpc_nat_gateways", unlisted: &["vpcs.*.default_gateway"], listed_only: &["project_id"] },
    View { collection: "registries", unlisted: &[], listed_only: &["subscription"] },
];

fn view(kind: &Kind) -> Option<&'static View> {
    VIEWS.iter().find(|view| view.collection == kind.collection)
}

/// The document of one resource in the format of a single GET.
pub(crate) fn single(cloud: &Cloud, kind: &Kind, mut document: Value) -> Value {
    follow_tag(cloud, kind, &mut document);
    for place in view(kind).map_or(&[][..], |view| view.listed_only) {
        places::remove(&mut document, place);
    }
    document
}

/// Appends a row in the format of lists.
pub(crate) fn write_row(cloud: &Cloud, kind: &Kind, row: &Row, call: &Call, to: &mut String) {
    let view = view(kind);
    let past = call.distortion.past.iter().filter_map(|past| past.rows.get(&row.id)).flatten();
    let follows_tag = kind.collection == "load_balancers";
    let before = call.distortion.behind.and_then(|age| row.text_before(age));
    if view.is_none() && !follows_tag && before.is_none() && past.clone().next().is_none() {
        return cloud.store.write(row, to);
    }
    let mut text = before.unwrap_or_default().to_owned();
    if before.is_none() {
        cloud.store.write(row, &mut text);
    }
    let Ok(mut document) = serde_json::from_str::<Value>(&text) else { return to.push_str(&text) };
    follow_tag(cloud, kind, &mut document);
    for (field, value) in past {
        match value {
            Some(value) => set(&mut document, field, value.clone()),
            None => places::remove(&mut document, field),
        }
    }
    for place in view.map_or(&[][..], |view| view.unlisted) {
        places::remove(&mut document, place);
    }
    to.push_str(&document.to_string());
}

/// Sets the droplets of a tagged load balancer to those with its tag.
fn follow_tag(cloud: &Cloud, kind: &Kind, document: &mut Value) {
    let tag = document.get("tag").and_then(Value::as_str).unwrap_or_default().to_owned();
    if kind.collection == "load_balancers" && !tag.is_empty() {
        let members = tagged::with(cloud, "droplets", &tag);
        let ids: Vec<u64> = members.iter().filter_map(|id| id.parse().ok()).collect();
        set(document, "droplet_ids", Value::from(ids));
    }
}
