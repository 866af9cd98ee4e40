//! The table checked for consistency, and against DigitalOcean's own description.

use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::TestRunner,
};
use strum::IntoEnumIterator as _;

use super::*;
use crate::digitalocean::{document::Pattern, examples};

#[test]
fn the_table_is_sorted_and_complete() {
    let names: Vec<_> = Kind::all().map(Kind::name).collect();
    assert!(names.is_sorted(), "{names:?}");
    for kind in Kind::all() {
        let row = kind.row();
        assert_eq!(Kind::named(&row.name), Some(kind));
        assert!(
            row.list.path.starts_with("/v2/")
                && row.get.path.starts_with(&row.list.path)
                && row.get.path.ends_with("/{id}"),
            "{kind}"
        );
        assert!(row.scope.contains(':') && !row.get.key.is_empty() && row.fields.contains(&row.id.field), "{kind}");
        let known: Vec<_> = kind.fields().collect();
        let patterns = row.equivalences.keys().chain(row.gated.keys()).chain(row.closed.keys()).chain(row.nouns.keys());
        for field in row.volatile.iter().map(String::as_str).chain(patterns.map(Pattern::root)) {
            assert!(known.contains(&field) || field == "**", "{kind} has no {field}");
        }
        let parts = row.reads.iter().flat_map(|reading| reading.into.keys());
        let special = row.only_get.iter().chain(&row.only_list).chain(&row.volatile_parts).map(Pattern::root);
        for field in special.chain(parts.chain(&row.certificates).map(String::as_str)) {
            assert!(row.fields.iter().any(|known| known == field), "{kind} has no {field}");
        }
        for reading in &row.reads {
            let list = reading.list.iter().map(|list| &list.path);
            assert!(reading.get.path.contains("/{id}/") && list.into_iter().all(|path| !path.contains('{')), "{kind}");
        }
        for field in &row.unreadable {
            assert_eq!(known.contains(&field.root()), field.len() > 1, "{kind} can read {field}");
        }
        let parent = row.within.as_ref().map(|within| Kind::named(&within.kind).unwrap().row());
        assert_eq!(parent.is_some(), row.list.path.contains("{parent}"), "{kind}");
        let in_parent = parent.map(|parent| parent.get.path.replace("{id}", "{parent}"));
        assert!(in_parent.is_none_or(|parent| row.list.path.starts_with(&parent)), "{kind}");
        let shown_in = row.within.iter().filter_map(|within| within.shown_in.as_ref());
        assert!(shown_in.filter_map(|field| Some(parent?.fields.contains(field))).all(|has| has), "{kind}");
        for pin in &row.pins {
            let root = pin.split('.').next().unwrap();
            let is_dropped = |name: &String| name == root;
            assert!(known.contains(&root), "{kind} has no {pin} to pin");
            assert!(!row.volatile.iter().chain(&row.secret).any(is_dropped), "{kind} changes {pin} by itself");
            assert!(
                !row.only_get.iter().any(|pattern| pattern.root() == root && pattern.len() == 1),
                "no list of {kind} shows {pin}"
            );
        }
        for pattern in &row.unpinned {
            assert!(row.pins.iter().any(|pin| pin == pattern.root()), "{kind} does not pin {pattern}");
        }
        for (name, source) in &row.derived {
            assert!(row.fields.iter().any(|field| field == source.root()), "{kind} has no field for {name}");
        }
    }
}

#[test]
fn each_type_in_the_names_of_a_project_is_one_kind() {
    let types: Vec<_> = TABLE.iter().flat_map(|row| &row.urn_types).collect();
    assert!(types.len() > 10, "{types:?}");
    for name in &types {
        assert_eq!(types.iter().filter(|other| *other == name).count(), 1, "{name}");
    }
}

#[test]
fn controllers_are_listed_as_the_api_describes() {
    let mut kinds = Vec::new();
    for row in TABLE.iter() {
        let Some(lists) = &row.controllers else { continue };
        kinds.push(row.name.as_str());
        assert!(examples::is_paged(&lists.list.path), "{}", row.name);
        assert_eq!(examples::is_paged(&lists.of_one.path), lists.paged, "{}", row.name);
        for path in [&lists.list.path, &lists.of_one.path] {
            assert!(examples::scopes(path).contains(&lists.scope.as_str()), "{path}");
        }
    }
    assert_eq!(kinds, ["Droplet", "LoadBalancer", "Volume"]);
}

/// Fields that change without a request: never compared, unless a row allows it.
const VOLATILE: [&str; 26] = [
    "active_deployment",
    "backup_ids",
    "connection",
    "error_message",
    "in_progress_deployment",
    "last_deployment_created_at",
    "locked",
    "next_backup_window",
    "not_after",
    "pending_changes",
    "pending_deployment",
    "private_connection",
    "schema_registry_connection",
    "sha1_fingerprint",
    "snapshot_ids",
    "standby_connection",
    "standby_private_connection",
    "state",
    "status",
    "storage_usage_bytes",
    "storage_usage_bytes_updated_at",
    "ui_connection",
    "updated_at",
    "users",
    "version_end_of_availability",
    "version_end_of_life",
];

#[test]
fn the_table_agrees_with_digitaloceans_own_description() {
    for kind in Kind::all() {
        let row = kind.row();
        let (list, get) = (&row.list.path, &row.get.path);
        assert_eq!((format!("{list}/{{id}}"), examples::is_paged(list)), (get.clone(), row.paged), "{kind}");
        for (path, scope) in [(list, row.list_scope()), (get, &row.scope)] {
            let scopes = examples::scopes(path);
            assert!(scopes.contains(&scope), "{kind} {path}: {scopes:?}");
        }
        let fields = examples::fields(list, &row.list.key);
        assert!(fields.contains(&row.id.field), "{kind}");
        // Sent when a domain is created, documented as readable, never returned.
        let sent_only = |name: &str| name == "ip_address" && row.name == "Domain";
        for name in fields.union(&examples::fields(get, &row.get.key)).filter(|name| !sent_only(name)) {
            assert!(row.fields.contains(name), "{kind} lacks {name}");
            assert!(!VOLATILE.contains(&name.as_str()) || row.volatile.contains(name), "{kind} {name} is volatile");
        }
    }
}

#[test]
fn every_list_of_the_account_is_a_kind_or_left_out_for_a_reason() {
    let is_kind = |list: &String| Kind::all().any(|kind| kind.row().list.path == *list);
    for list in examples::lists() {
        assert!(is_kind(&list) != LEFT_OUT.contains_key(&list), "{list}");
    }
    for (list, why) in LEFT_OUT.iter() {
        assert!(!is_kind(list) && why.ends_with('.'), "{list}");
    }
}

#[test]
fn every_id_format_admits_exactly_what_its_pattern_matches() {
    let mut runner = TestRunner::deterministic();
    for format in IdFormat::iter() {
        let inside = format.pattern().trim_start_matches('^').trim_end_matches('$');
        let matching = proptest::string::string_regex(inside).unwrap();
        for _ in 0..200 {
            let id = matching.new_tree(&mut runner).unwrap().current();
            assert!(format.admits(&id), "{format:?} {id}");
        }
        let example = format.form().split('"').nth(1).unwrap();
        assert!(format.admits(example), "{format:?} {example}");
        for id in ["", " ", ".", "..", "../1", "a b", "a/b/1", "1/", "/1", "é", "1\n", "?x=1", "%2e%2e"] {
            assert!(!format.admits(id), "{format:?} {id}");
        }
        for id in ["-1", "A"] {
            assert_eq!(format.admits(id), format == IdFormat::Tag, "{format:?} {id}");
        }
    }
    for (format, wrong) in [
        (IdFormat::Digits, "01"),
        (IdFormat::Digits, "123456789012345678901"),
        (IdFormat::Uuid, "506f78a4-e098-11e5-ad9f-000f53306aeX"),
        (IdFormat::Uuid, "506F78A4-e098-11e5-ad9f-000f53306ae1"),
        (IdFormat::Uuid, "506f78a4e098-11e5-ad9f-000f53306ae1-"),
        (IdFormat::Ipv4, "1.2.3"),
        (IdFormat::Ipv4, "1.2.3.04"),
        (IdFormat::Ipv4, "1.2.3.4.5"),
        (IdFormat::Ipv6, "2604:A880::1"),
        (IdFormat::Ipv6, "2604:a880"),
        (IdFormat::Ipv6, "::1"),
        (IdFormat::Ipv6, "2604::a880::1"),
        (IdFormat::Tag, "env.prod"),
        (IdFormat::AccessKey, "do00example4key7id21"),
        (IdFormat::UuidInUuid, "506f78a4-e098-11e5-ad9f-000f53306ae1"),
        (IdFormat::DomainRecord, "example.com"),
        (IdFormat::DomainRecord, "28448429"),
        (IdFormat::DomainRecord, "example.com/x"),
    ] {
        assert!(!format.admits(wrong), "{format:?} {wrong}");
    }
}

#[test]
fn a_kind_is_written_as_its_name_and_an_unknown_one_names_the_nearest() {
    let kind: Kind = serde_json::from_str("\"Droplet\"").unwrap();
    assert_eq!((kind.to_string(), serde_json::to_string(&kind).unwrap()), ("Droplet".into(), "\"Droplet\"".into()));
    let error = serde_json::from_str::<Kind>("\"droplets\"").unwrap_err().to_string();
    assert!(error.contains("did you mean Droplet"), "{error}");
    let error = serde_json::from_str::<Kind>("\"Xyz\"").unwrap_err().to_string();
    assert!(!error.contains("did you mean"), "{error}");
}

#[test]
fn keys_read_as_kind_and_id() {
    let key = ResourceKey::new(Kind::named("DomainRecord").unwrap(), "example.com/7");
    assert_eq!((key.to_string().as_str(), key.parts()), ("DomainRecord example.com/7", (Some("example.com"), "7")));
    let key = ResourceKey::new(Kind::named("Droplet").unwrap(), "7");
    assert_eq!((key.to_string().as_str(), key.parts()), ("Droplet 7", (None, "7")));
    let kind = Kind::named("DomainRecord").unwrap();
    assert_eq!((kind.parent(), kind.is_shown_in_parent()), (Kind::named("Domain"), false));
    assert_eq!(Kind::named("Domain").unwrap().parent(), None);
}

#[test]
fn the_reference_has_a_row_and_a_section_per_kind() {
    let reference = reference();
    let (table, rest) = reference.split_once("\n\n").unwrap();
    assert_eq!(table.lines().count(), Kind::all().count() + 2);
    assert!(table.contains("| [Droplet](#droplet) | `/v2/droplets`, `/v2/droplets?type=gpus` | digits"), "{table}");
    let (left_out, sections) = rest.split_once("\n## ").unwrap();
    assert!(left_out.contains("| `/v2/actions` | Actions are the history"), "{left_out}");
    let section = |kind: &str| sections.split("\n## ").find(|section| section.lines().next() == Some(kind)).unwrap();
    let droplet = section("Droplet");
    for wanted in ["`public_ipv4`", "`user_data`", "`tags` (tag:read)", "`image`: slug or id"] {
        assert!(droplet.contains(wanted), "{droplet}");
    }
    let balancer = section("LoadBalancer");
    assert!(balancer.contains("`firewall.deny`: defaults to `[]`"), "{balancer}");
    assert!(balancer.contains("`firewall.allow`: defaults to `[]`"), "{balancer}");
    assert_eq!(sections.split("\n## ").count(), Kind::all().count());
}

#[test]
fn the_keys_that_count_without_a_record_have_a_row_per_map() {
    let table = reference_of_defaults();
    let maps: usize = Kind::all().map(|kind| kind.row().closed.len()).sum();
    assert_eq!(table.lines().count(), maps + 2);
    for wanted in [
        "| KubernetesCluster | `control_plane_firewall` | `allowed_addresses`: `[]`, `enabled`: `true` | `enabled`, `allowed_addresses` |",
        "| UptimeAlert | `notifications` | `email`: `[]`, `slack`: `[]` |  |",
        "| App | `spec.**.github` | `deploy_on_push`: `false` |  |",
    ] {
        assert!(table.contains(wanted), "{wanted}: {table}");
    }
    for kind in Kind::all() {
        let row = kind.row();
        assert!(row.together.keys().all(|map| row.closed.contains_key(map)), "{kind}: only keys with defaults count");
    }
}

#[test]
fn all_paths_of_a_kind_share_the_limit_of_its_own() {
    let lane = |route| own_limit(route).map(|(name, limit)| (name, limit.calls));
    for route in ["/v2/account/keys", "/v2/account/keys/{id}"] {
        assert_eq!(lane(route), Some(("SSHKey", 10)), "{route}");
    }
    assert_eq!(lane("/v2/cdn/endpoints/{id}/cache"), Some(("CDNEndpoint", 5)));
    for route in ["/v2/account", "/v2/droplets", "/v2/droplets/{id}/actions", "/v2/actions"] {
        assert_eq!(lane(route), None, "{route}");
    }
}
