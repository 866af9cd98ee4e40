//! The output of kubectl stays readable for any value, also for drifts that an earlier version stored.

use serde_json::json;

use crate::world::{DROPLET, World, eventually};

/// The cells of a table, split at the columns of its header.
fn cells(table: &str) -> Vec<Vec<String>> {
    let mut lines = table.lines();
    let header = lines.next().unwrap();
    let mut starts: Vec<usize> = Vec::new();
    let mut before = ' ';
    for (at, sign) in header.chars().enumerate() {
        if sign != ' ' && before == ' ' {
            starts.push(at);
        }
        before = sign;
    }
    let row = |line: &str| {
        let signs: Vec<char> = line.chars().collect();
        let ends = starts.iter().skip(1).copied().chain([signs.len()]);
        let cell = |(start, end): (&usize, usize)| {
            let cell: String = signs.get(*start..end.min(signs.len())).unwrap_or_default().iter().collect();
            cell.trim().to_owned()
        };
        starts.iter().zip(ends).map(cell).collect()
    };
    std::iter::once(header).chain(lines).map(row).collect()
}

const COLUMNS: [&str; 12] = [
    "NAME",
    "RESOURCE",
    "FIELD",
    "EXPECTED",
    "ACTUAL",
    "NOW",
    "PHASE",
    "REVERT",
    "DIFFERENCE",
    "REASON",
    "DECIDEDBY",
    "AGE",
];

#[tokio::test]
async fn tables_stay_readable_with_any_values() {
    let world = World::new("readable").await;
    let long = format!("start-{}", "x".repeat(3000));
    let path = format!("meta.{}", "y".repeat(300));
    let live = json!({ "name": "a\nb\t\u{200b}\u{202e}c", "image": long, "size_slug": " edge ", "tags": ["one"], "meta": { "y".repeat(300): "1" } });
    world.cloud.change("droplets", DROPLET, live).await.unwrap();
    let desired =
        json!({ "name": "plain", "image": "ubuntu", "size_slug": "s", "tags": ["one", "two"], path.as_str(): "2" });
    world.record("web-1", desired).await;
    eventually("all drifts", || async {
        let drifts = world.drifts().await;
        if drifts.len() == 5 { Ok(()) } else { Err(drifts) }
    })
    .await;
    let table = world.run(&["get", "drifts", "-o", "wide"]).await;
    let rows = cells(&table);
    assert_eq!(rows[0], COLUMNS);
    assert_eq!(rows.len(), 6, "one line for each:\n{table}");
    for row in &rows[1..] {
        for (column, cell) in COLUMNS.iter().zip(row).filter(|(column, _)| **column != "NAME") {
            let widest = if *column == "DIFFERENCE" { 110 } else { 40 };
            assert!(cell.chars().count() <= widest, "{column} is too wide: {cell}");
        }
    }
    let row = |field: &str| rows.iter().find(|row| row[2] == field).unwrap_or_else(|| panic!("{field} in {table}"));
    assert_eq!(row("name")[3..5], ["plain", r#""a\nb\t\u200b\u202ec""#]);
    assert_eq!(row("size_slug")[3..5], ["s", r#"" edge ""#]);
    assert!(row("image")[4].starts_with("start-xxx") && row("image")[4].ends_with('…'));
    assert_eq!(row("tags")[3..5], [r#"["one","two"]"#, r#"["one"]"#]);
    // The full values are in the spec.
    let full = world.value("drifts", "{.items[?(@.spec.field=='image')].spec.actual}").await;
    assert_eq!(full.len(), long.len());

    world.reaches("pr/web-1", "InSync", "False DriftOpen").await;
    let table = world.run(&["get", "pr", "-o", "wide"]).await;
    let rows = cells(&table);
    assert_eq!(
        rows[0],
        [
            "NAME",
            "KIND",
            "ID",
            "INSYNC",
            "DRIFTS",
            "FIELDS",
            "DIFFERENCE",
            "READY",
            "REASON",
            "MANIFEST",
            "VERSION",
            "AGE"
        ]
    );
    assert!(rows[1][5].chars().count() <= 40 && rows[1][5].ends_with("more"), "{table}");
    let difference = &rows[1][6];
    assert!(difference.starts_with("image: ubuntu -> start-xxx") && difference.chars().count() <= 60, "{table}");
    assert_eq!((rows[1][7].as_str(), rows[1][8].as_str()), ("True", "DriftOpen"));
    let message = world.message("pr/web-1", "InSync").await;
    assert!(message.contains(r#"name: plain -> "a\nb\t\u200b\u202ec""#) && message.contains("2 more"), "{message}");
}

#[tokio::test]
async fn a_composite_value_shows_the_path_that_differs() {
    let world = World::new("composite").await;
    let id = "bb245ba0-46d4-4aec-b0c8-a5a4a5e5a5a5";
    let rule = |port: &str| json!({"protocol": "tcp", "ports": port, "sources": {"addresses": ["0.0.0.0/0"]}});
    let firewall = json!({"id": id, "name": "web", "inbound_rules": [rule("443"), rule("22")], "outbound_rules": []});
    world.cloud.put("firewalls", firewall).await.unwrap();
    world.record_as("web", "Firewall", id, json!({"inbound_rules": [rule("443")]}), json!({})).await;
    world.open_drift().await;
    let table = world.run(&["get", "drifts", "-o", "wide"]).await;
    let rows = cells(&table);
    assert_eq!(rows[1][4], "+1 rule tcp/22 from 0.0.0.0/0", "{table}");
    assert_eq!(rows[1][8], "+1 rule tcp/22 from 0.0.0.0/0", "{table}");
    world.reaches("pr/web", "InSync", "False DriftOpen").await;
    let message = world.message("pr/web", "InSync").await;
    assert_eq!(message, "inbound_rules: +1 rule tcp/22 from 0.0.0.0/0; decide it with: kubectl arcadia");
    let differences = world.value("drifts", "{.items[0].spec.differences[*].actual}").await;
    assert!(differences.contains("22"), "{differences}");
}

#[tokio::test]
async fn no_time_of_1970_is_shown_anywhere() {
    let world = World::new("times").await;
    world.record("web-1", json!({"name": "other"})).await;
    let drift = world.open_drift().await;
    world.reaches("pr/web-1", "InSync", "False DriftOpen").await;
    eventually("the events", || async {
        let described = world.run(&["describe", "drift", &drift]).await;
        if described.contains("DriftDetected") { Ok(()) } else { Err(described) }
    })
    .await;
    for arguments in [&["get", "pr,drifts,events", "-o", "yaml"][..], &["describe", "pr,drifts"]] {
        let shown = world.run(arguments).await;
        assert!(!shown.contains("1970"), "{shown}");
    }
}

#[tokio::test]
async fn a_drift_that_an_earlier_version_stored_keeps_working() {
    let mut world = World::new("upgrade").await;
    world.kill_operator();
    world.record("web-1", json!({"name": "other", "tags": ["web"]})).await;
    let uid = world.value("pr/web-1", "{.metadata.uid}").await;
    let stored = |field: &str, expected: &str, actual: &str| {
        json!({
            "apiVersion": "arcadia.cloud/v1alpha1", "kind": "Drift",
            "metadata": {
                "name": format!("web-1-{field}-0123456789-1"),
                "ownerReferences": [{
                    "apiVersion": "arcadia.cloud/v1alpha1", "kind": "ProvisionedResource", "name": "web-1", "uid": uid,
                    "controller": true,
                }],
            },
            "spec": {
                "resourceRef": { "name": "web-1", "uid": uid }, "resource": { "kind": "Droplet", "id": DROPLET },
                "field": field, "episode": 1, "expected": expected, "actual": actual, "specVersion": 1,
            },
        })
    };
    for drift in [stored("name", "other", "web-1"), stored("tags", r#"["web"]"#, r#"["web","prod"]"#)] {
        world.kubectl().apply(&drift.to_string()).await.unwrap();
    }
    let name = "drift/web-1-name-0123456789-1";
    let condition = r#"{"status":{"phase":"Open","reason":"AwaitingDecision","conditions":[{
        "type":"Resolved","status":"False","reason":"AwaitingDecision","observedGeneration":1,
        "message":"accept it with the annotation arcadia.cloud/accept, or put the cloud back",
        "lastTransitionTime":"1970-01-01T00:00:00Z"}]}}"#;
    world.run(&["patch", name, "--subresource=status", "--type=merge", "-p", condition]).await;
    world.restart_operator();
    eventually("the labels", || async {
        let label = world.value(name, "{.metadata.labels.arcadia\\.cloud/change}").await;
        if label.len() == 8 { Ok(()) } else { Err(label) }
    })
    .await;
    // No second drift opens, and the columns show the full values.
    world.reaches("pr/web-1", "InSync", "False DriftOpen").await;
    let table = world.run(&["get", "drifts", "-o", "wide"]).await;
    let rows = cells(&table);
    assert_eq!(rows.len(), 3, "{table}");
    assert_eq!(rows[1][2..5], ["name", "other", "web-1"], "{table}");
    assert_eq!(rows[2][2..5], ["tags", r#"["web"]"#, r#"["web","prod"]"#], "{table}");
    let message = world.message("pr/web-1", "InSync").await;
    assert!(message.starts_with("name: other -> web-1, tags: "), "{message}");
    world.run(&["annotate", name, "arcadia.cloud/accept=true"]).await;
    world.reaches(name, "Resolved", "True Accepted").await;
    world.shows("pr/web-1", "{.spec.desired.name}", "web-1").await;
    assert!(!world.run(&["get", name, "-o", "yaml"]).await.contains("1970"));
}

#[tokio::test]
async fn a_change_by_the_provider_has_a_note() {
    let world = World::new("note").await;
    let id = "00000000-0000-4000-8000-000000000001";
    let database = json!({ "id": id, "name": "cache", "engine": "valkey", "version": "8" });
    world.cloud.put_as_is("databases", database).await.unwrap();
    world.record_as("cache", "Database", id, json!({"engine": "redis"}), json!({})).await;
    let drift = world.open_drift().await;
    let note = world.value(&format!("drift/{drift}"), "{.spec.note}").await;
    assert!(note.contains("Redis with Valkey"), "{note}");
}
