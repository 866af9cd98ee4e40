//! Terminals: the interactive inbox key by key, questions, and Ctrl-C everywhere.

use expect_test::expect;
use serde_json::json;

use crate::{
    program::Arcadia,
    terminal::Terminal,
    world::{DROPLET, World, droplet, eventually},
};

const CTRL_C: &str = "\u{3}";
const ESCAPE: &str = "\u{1b}";

/// Two droplets with a drift of the size, and one with a drift of the name.
async fn three_drifts(test: &str) -> (World, Arcadia) {
    let world = World::new(test).await;
    let arcadia = Arcadia::new().with_cluster(world.namespace.kubeconfig());
    for id in ["1", "2"] {
        let mut droplet = droplet(id, "name");
        // Resized without its disk, so it can be resized back.
        droplet["disk"] = json!(25);
        world.cloud.put("droplets", droplet).await.unwrap();
        world.record_as(&format!("web-{id}"), "Droplet", id, json!({"size_slug": "s-1vcpu-1gb"}), json!({})).await;
    }
    world.record("named", json!({"name": "other"})).await;
    eventually("three drifts", || async {
        let names = arcadia.expect(0, &["inbox", "-o", "name"]).await;
        if names.lines().count() == 3 { Ok(()) } else { Err(names) }
    })
    .await;
    (world, arcadia)
}

#[tokio::test]
async fn a_change_is_decided_on_the_screen() {
    let (world, arcadia) = three_drifts("screen").await;
    let mut terminal = Terminal::run(&arcadia, &["inbox", "-i"], 100, 20);
    terminal.shows("3 open drifts").await;
    terminal.shows("web-2").await;
    expect![[r"
        3 open drifts
            RECORD               FIELD          OLD -> NEW                       REVERT        AGE  DECISION
        >   web-1                size_slug      s-1vcpu-1gb -> s-2vcpu-4gb       Disruptive    0s
            web-2                size_slug      s-1vcpu-1gb -> s-2vcpu-4gb       Disruptive    0s
            named                name           other -> web-1                   Safe          0s



        ────────────────────────────────────────────────────────────────────────────────────────────────────
        Droplet 1 web-1-size-slug-HASH-1
        desired  s-1vcpu-1gb
        live     s-2vcpu-4gb
        revert   Disruptive: The droplet is shut down and resized; it is powered on again if it was on.






        ↑↓ move  JK scroll  space choose  c change  a accept  r revert  u undo  h history  / filter  q quit
    "]]
    .assert_eq(&terminal.picture());
    // The drift below, and the history of its field.
    terminal.press("jh");
    terminal.shows(" ago ").await;
    // A filter, all drifts of the change, and the question.
    terminal.press("/size\r");
    terminal.shows("filter \"size\"").await;
    terminal.press("c");
    terminal.shows("2 chosen").await;
    terminal.press("a");
    terminal.shows("y carries it out").await;
    expect![[r#"
        2 open drifts, 2 chosen, filter "size"
            RECORD               FIELD          OLD -> NEW                       REVERT        AGE  DECISION
          * web-1                size_slug      s-1vcpu-1gb -> s-2vcpu-4gb       Disruptive    0s
        > * web-2                size_slug      s-1vcpu-1gb -> s-2vcpu-4gb       Disruptive    0s




        ────────────────────────────────────────────────────────────────────────────────────────────────────
        Accept 2 drifts?
          Droplet size_slug   s-1vcpu-1gb -> s-2vcpu-4gb   web-1, web-2
        The live value becomes the desired one. If a manifest declares the field, the acceptance stands on
        the drift and the record is not changed.






        y carries it out, n leaves it
    "#]]
    .assert_eq(&terminal.picture());
    terminal.press("n");
    terminal.shows("nothing was changed").await;
    terminal.press("ay");
    terminal.becomes("one open drift", |text| text.contains("0 open drifts, filter")).await;
    terminal.press(&format!("/{ESCAPE}"));
    terminal.shows("1 open drift").await;
    expect![[r"
        1 open drift
            RECORD               FIELD          OLD -> NEW                       REVERT        AGE  DECISION
        >   named                name           other -> web-1                   Safe          0s





        ────────────────────────────────────────────────────────────────────────────────────────────────────
        Droplet 3164444 named-name-HASH-1
        desired  other
        live     web-1
        revert   Safe: no interruption and no loss






        ↑↓ move  JK scroll  space choose  c change  a accept  r revert  u undo  h history  / filter  q quit
    "]]
    .assert_eq(&terminal.picture());
    for record in ["web-1", "web-2"] {
        world.shows(&format!("pr/{record}"), "{.spec.desired.size_slug}", "s-2vcpu-4gb").await;
    }
    // Smaller, down to nothing, and back.
    for (columns, rows) in [(30, 10), (5, 3), (1, 1), (80, 12)] {
        terminal.resize(columns, rows);
    }
    terminal.shows("1 open drift").await;
    terminal.press("q");
    assert_eq!(terminal.ends().await, 0);
    assert!(terminal.is_clean(), "{}", terminal.text());
}

#[tokio::test]
async fn a_question_about_a_changed_drift_is_shown_again() {
    let world = World::new("screen-moved").await;
    let arcadia = Arcadia::new().with_cluster(world.namespace.kubeconfig());
    world.record("web-1", json!({"name": "other"})).await;
    let drift = world.open_drift().await;
    let mut terminal = Terminal::run(&arcadia, &["inbox", "-i"], 100, 20);
    terminal.shows("other -> web-1").await;
    terminal.press("a");
    terminal.shows("Accept 1 drift?").await;
    world.cloud.change("droplets", DROPLET, json!({"name": "third"})).await.unwrap();
    terminal.shows("1 drift changed after the question was shown: confirm again").await;
    terminal.shows("other -> third").await;
    terminal.press("y");
    world.reaches(&format!("drift/{drift}"), "Resolved", "True Accepted").await;
    world.shows("pr/web-1", "{.spec.desired.name}", "third").await;
    terminal.shows("0 open drifts").await;
    terminal.press(CTRL_C);
    assert_eq!(terminal.ends().await, 130);
    assert!(terminal.is_clean(), "{}", terminal.text());
}

#[tokio::test]
async fn a_revert_is_confirmed_on_the_screen_after_its_plan() {
    let world = World::new("screen-revert").await;
    let arcadia = Arcadia::new().with_cluster(world.namespace.kubeconfig());
    world.record("web-1", json!({"name": "other"})).await;
    world.open_drift().await;
    let mut terminal = Terminal::run(&arcadia, &["inbox", "-i"], 100, 24);
    terminal.shows("other -> web-1").await;
    terminal.press("r");
    terminal.shows("plan: Safe").await;
    terminal.shows("calls POST /v2/droplets/").await;
    terminal.shows("y carries it out").await;
    assert_eq!(world.run(&["get", "sagas", "-o", "name"]).await, "", "a plan changes nothing");
    terminal.press("y");
    terminal.shows("0 open drifts").await;
    let live = world.cloud.get("droplets", DROPLET).await.unwrap().unwrap();
    assert_eq!(live["name"], "other");
    terminal.press("q");
    assert_eq!(terminal.ends().await, 0);
    assert!(terminal.is_clean(), "{}", terminal.text());
}

#[tokio::test]
async fn a_decision_that_waits_is_undone_on_the_screen() {
    let mut world = World::new("screen-undo").await;
    let arcadia = Arcadia::new().with_cluster(world.namespace.kubeconfig());
    world.record("web-1", json!({"name": "other"})).await;
    let drift = world.open_drift().await;
    world.kill_operator();
    let mut terminal = Terminal::run(&arcadia, &["inbox", "-i"], 100, 20);
    terminal.shows("other -> web-1").await;
    terminal.press("ay");
    terminal.shows("1 drift: accept requested").await;
    terminal
        .becomes("the decision", |text| {
            text.lines().any(|line| line.starts_with('>') && line.trim_end().ends_with("accept"))
        })
        .await;
    world.shows(&format!("drift/{drift}"), "{.metadata.annotations.arcadia\\.cloud/accept}", "true").await;
    terminal.press("uy");
    terminal.shows("1 drift: withdrawal requested; u restores it").await;
    world.shows(&format!("drift/{drift}"), "{.metadata.annotations}", "").await;
    // The withdrawal is undone too.
    terminal
        .becomes("no decision", |text| {
            text.lines().any(|line| line.starts_with('>') && !line.trim_end().ends_with("accept"))
        })
        .await;
    terminal.press("u");
    terminal.shows("Restore the decision on 1 drift?").await;
    terminal.press("y");
    terminal.shows("1 drift: decision restored").await;
    world.shows(&format!("drift/{drift}"), "{.metadata.annotations.arcadia\\.cloud/accept}", "true").await;
    // A signal from another process also restores the terminal.
    terminal.signal("INT");
    assert_eq!(terminal.ends().await, 130);
    assert!(terminal.is_clean(), "{}", terminal.text());
    for signal in ["TERM", "HUP"] {
        let mut terminal = Terminal::run(&arcadia, &["inbox", "-i"], 100, 20);
        terminal.shows("1 open drift").await;
        terminal.signal(signal);
        assert_eq!(terminal.ends().await, 130, "{signal}");
        assert!(terminal.is_clean(), "{signal}: {}", terminal.text());
    }
}

#[tokio::test]
async fn ctrl_c_leaves_a_clean_line_everywhere() {
    let world = World::new("screen-interrupt").await;
    let arcadia = Arcadia::new().with_cluster(world.namespace.kubeconfig());
    world.record("web-1", json!({"name": "other"})).await;
    let drift = world.open_drift().await;
    let saga = json!({
        "apiVersion": "arcadia.cloud/v1alpha1", "kind": "Saga", "metadata": { "name": "ask" },
        "spec": { "kind": "test", "steps": [{ "name": "ask", "step": "Approval" }] },
    });
    world.kubectl().apply(&saga.to_string()).await.unwrap();
    for (arguments, shown) in [
        (&["accept", &drift][..], "Continue? [y/N]"),
        (&["revert", "--record", "web-1"], "Continue? [y/N]"),
        (&["saga", "cancel", "ask"], "Continue? [y/N]"),
        (&["inbox", "--watch"], "other -> web-1"),
        (&["saga", "watch", "ask"], "└─ ask"),
        (&["accept", "-"], ""),
        (&["verify", "-f", "-"], ""),
    ] {
        let mut terminal = Terminal::run(&arcadia, arguments, 120, 20);
        terminal.shows(shown).await;
        // The program reads from the terminal by then, even if it shows nothing.
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        terminal.press(CTRL_C);
        assert_eq!(terminal.ends().await, 130, "{arguments:?}: {}", terminal.text());
        assert!(terminal.is_clean(), "{arguments:?}: {}", terminal.text());
        assert!(!terminal.text().contains("error"), "{arguments:?}: {}", terminal.text());
    }
    let annotations = world.value(&format!("drift/{drift}"), "{.metadata.annotations}").await;
    assert_eq!(annotations, "", "nothing was decided");
}

#[tokio::test]
async fn a_question_is_answered_on_the_terminal_and_colours_only_repeat_words() {
    let world = World::new("screen-question").await;
    let arcadia = Arcadia::new().with_cluster(world.namespace.kubeconfig());
    world.record("web-1", json!({"name": "other"})).await;
    let drift = world.open_drift().await;
    let mut terminal = Terminal::run(&arcadia, &["accept", &drift, "--wait"], 200, 20);
    terminal.shows("Continue? [y/N]").await;
    terminal.press("no\r");
    terminal.shows("Nothing was changed.").await;
    assert_eq!(terminal.ends().await, 1);
    let mut terminal = Terminal::run(&arcadia, &["accept", &drift, "--wait"], 200, 20);
    terminal.shows("Accept 1 drift?").await;
    terminal.shows("the live value is written into the record").await;
    terminal.press("y\r");
    assert_eq!(terminal.ends().await, 0, "{}", terminal.text());
    assert!(terminal.text().contains("Accepted (Accepted)"), "{}", terminal.text());
}
