//! Canaries in every string of every kind's document that may contain a credential: no output of a comparison contains
//! one.

use std::{collections::BTreeSet, fmt::Write as _, sync::Arc};

use serde_json::Value;

use super::{
    FieldComparison, Live,
    changed::{full_document, live, pointer, visit},
};
use crate::{
    comparison::Difference,
    digitalocean::{Kind, examples::is_credential},
};

/// The forms of credentials that people put anywhere; `{}` is the secret.
const LOOKS: [&str; 13] = [
    "https://user:{}@example.com/path",
    "https://{}@git.example.com/a.git",
    "https://example.com/in?token={}",
    "https://hooks.slack.com/services/T0/B0/{}",
    "curl -H 'Authorization: Bearer {}' localhost",
    "EV[1:{}]",
    "dop_v1_{}",
    "-----BEGIN RSA PRIVATE KEY-----\n{}",
    "{\"password\": \"{}\"}",
    "serve --password={}",
    "serve --auth-token {} --port 80",
    "PGPASSWORD={} psql",
    "Server=db;Password={};",
];

/// All outputs of a comparison: in conditions, drifts, events and the log.
fn shown(live: &Live, field: &str, recorded: &Value) -> String {
    let mut shown = live.hide(field, recorded).to_string();
    // Writing to a String cannot fail.
    match live.compare(field, recorded) {
        FieldComparison::Done(found) => {
            let _ = write!(shown, "{} {:?}", live.hide(field, &found.adopted), found.doubts);
            for difference in &found.differences {
                let Difference { path, expected, actual, item } = difference;
                let _ = write!(shown, "{path} {expected:?} {actual:?} {item:?} {}", difference.short(400));
                let _ = write!(shown, "{} {}", difference.short_expected(400), difference.short_actual(400));
            }
        }
        FieldComparison::Unknown(why) => shown += &why,
        FieldComparison::NotReadable => {}
        FieldComparison::NoSuchField { nearest } => shown += &nearest.join(" "),
    }
    shown
}

/// The paths of all strings of a document.
fn strings(document: &Value) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    visit(document, &mut Vec::new(), &mut |path, value| {
        if value.is_string() {
            paths.push(path.to_vec());
        }
    });
    paths
}

/// The document with its strings replaced by these.
fn planted(document: &Value, paths: &[Vec<String>], plant: impl Fn(usize) -> String) -> Value {
    let mut planted = document.clone();
    for (number, path) in paths.iter().enumerate() {
        *planted.pointer_mut(&pointer(path)).unwrap() = plant(number).into();
    }
    planted
}

/// The places at which a canary of these paths is shown, with it on the recorded side or on the live side.
fn leaks(kind: Kind, document: &Value, paths: &[Vec<String>], plant: impl Fn(usize) -> String) -> Vec<String> {
    let planted = planted(document, paths, plant);
    let roots: BTreeSet<&str> = paths.iter().filter_map(|path| path.first()).map(String::as_str).collect();
    let mut fields: Vec<&str> = kind.fields().filter(|field| document.get(field).is_none()).collect();
    fields.extend(roots);
    let mut leaks = Vec::new();
    for (recorded, running) in [(document, &planted), (&planted, document)] {
        // Reasons name certificates that do not exist in the account.
        let live = Live { certificates: Some(Arc::default()), ..live(kind, running) };
        for field in &fields {
            let value = super::at(recorded, field).cloned().unwrap_or_default();
            let shown = shown(&live, field, &value);
            if !shown.contains("CANARY") {
                continue;
            }
            let found = paths.iter().enumerate().filter(|(number, _)| shown.contains(&canary(*number)));
            leaks.extend(found.map(|(_, path)| format!("{kind} {field}: {}", path.join("."))));
        }
    }
    leaks
}

fn canary(number: usize) -> String {
    format!("CANARY{number}X")
}

#[test]
fn what_looks_like_a_credential_is_shown_nowhere() {
    let mut leaked = Vec::new();
    for kind in Kind::all() {
        let document = full_document(kind);
        let paths = strings(&document);
        for look in LOOKS {
            let plant = |number: usize| look.replace("{}", &canary(number));
            leaked.extend(leaks(kind, &document, &paths, plant).into_iter().map(|leak| format!("{look:?} {leak}")));
        }
    }
    leaked.sort();
    leaked.dedup();
    assert!(leaked.is_empty(), "{}:\n{}", leaked.len(), leaked.join("\n"));
}

#[test]
fn one_string_that_looks_like_a_credential_is_shown_nowhere() {
    let mut leaked = Vec::new();
    for kind in Kind::all() {
        let document = full_document(kind);
        // Testing the copies of the spec in deployments one by one would take long.
        for path in strings(&document).into_iter().filter(|path| !path[0].ends_with("_deployment")) {
            // One field is a separate document.
            let document = serde_json::json!({ &path[0]: document[&path[0]] });
            let plant = |_| LOOKS[0].replace("{}", &canary(0));
            leaked.extend(leaks(kind, &document, std::slice::from_ref(&path), plant));
        }
    }
    assert!(leaked.is_empty(), "{}:\n{}", leaked.len(), leaked.join("\n"));
}

#[test]
fn the_value_of_a_field_that_holds_credentials_is_shown_nowhere() {
    let mut leaked = Vec::new();
    let mut planted = Vec::new();
    for kind in Kind::all() {
        let document = full_document(kind);
        let paths: Vec<_> = strings(&document).into_iter().filter(|path| is_credential(path)).collect();
        leaked.extend(leaks(kind, &document, &paths, canary));
        planted.extend(paths.into_iter().map(|path| format!("{kind} {}", path.join("."))));
    }
    for wanted in [
        "AlertPolicy alerts.slack.0.url",
        "App active_deployment.spec.services.0.envs.0.value",
        "App spec.jobs.0.image.registry_credentials",
        "App spec.workers.0.log_destinations.0.datadog.api_key",
        "App spec.services.0.log_destinations.0.open_search.basic_auth.password",
        "Database connection.password",
        "Database users.0.access_key",
    ] {
        assert!(planted.contains(&wanted.to_owned()), "{wanted}: {planted:#?}");
    }
    assert!(leaked.is_empty(), "{}:\n{}", leaked.len(), leaked.join("\n"));
}
