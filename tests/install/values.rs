//! Values that the chart refuses, with helpful messages.

use crate::helm::Helm;

/// The chart refuses these arguments with these words.
fn refused(arguments: &[&str], words: &[&str]) {
    let error = Helm::new().template(arguments).expect_err(&format!("{arguments:?} should be refused"));
    for word in words {
        assert!(error.contains(word), "{arguments:?}: wanted {word:?} in: {error}");
    }
}

#[test]
fn invalid_values_are_refused_with_their_name_and_the_reason() {
    for (value, words) in [
        ("replica=3", ["additional properties", "replica"]),
        ("replicas=two", ["/replicas", "want integer"]),
        ("image.tag=a b", ["/image/tag", "pattern"]),
        ("image.digest=sha256:123", ["/image/digest", "pattern"]),
        ("image.pullPolicy=Sometimes", ["/image/pullPolicy", "'IfNotPresent'"]),
        ("digitalocean.token=secret", ["/digitalocean", "'token' not allowed"]),
        ("digitalocean.tokenSecret.name=", ["/digitalocean/tokenSecret/name", "pattern"]),
        ("digitalocean.apiUrl=api.digitalocean.com", ["/digitalocean/apiUrl", "pattern"]),
        ("digitalocean.requestsPerMinute=0", ["/digitalocean/requestsPerMinute", "minimum"]),
        ("watchNamespaces=team-a", ["/watchNamespaces", "want array"]),
        ("watchNamespaces[0]=Team", ["/watchNamespaces/0", "pattern"]),
        ("syncSchedule=", ["/syncSchedule", "pattern"]),
        ("syncSchedule=5x", ["/syncSchedule", "pattern"]),
        ("syncSchedule=* * *", ["/syncSchedule", "pattern"]),
        ("detectSchedule=hourly", ["/detectSchedule", "pattern"]),
        ("inventoryMaxAge=2d", ["/inventoryMaxAge", "pattern"]),
        ("driftHistoryLimit=0", ["/driftHistoryLimit", "minimum"]),
        ("sagas.settleTime=", ["/sagas/settleTime", "pattern"]),
        ("sagas.settletime=1m", ["/sagas", "'settletime' not allowed"]),
        ("sagas.secrets[0]=Billing", ["/sagas/secrets/0", "pattern"]),
        ("log.format=xml", ["/log/format", "'json'"]),
        ("crds.install=maybe", ["/crds/install", "want boolean"]),
        ("metrics.port=80", ["/metrics/port", "minimum"]),
        ("resources.request.cpu=1", ["/resources", "'request' not allowed"]),
        ("terminationGracePeriodSeconds=5", ["/terminationGracePeriodSeconds", "minimum"]),
        ("topologySpread[0].topologyKey=zone", ["/topologySpread/0", "missing properties"]),
        ("extraArgs[0]=run", ["/extraArgs/0", "pattern"]),
        ("extraEnv[0].name=DIGITALOCEAN_TOKEN", ["/extraEnv/0/name", "not"]),
        ("extraEnv[0].name=ARCADIA_LEADER_ELECT", ["/extraEnv/0/name", "not"]),
        ("extraEnv[0].name=POD_NAME", ["/extraEnv/0/name", "not"]),
        (
            "metrics.prometheusRule.runbookUrl=docs/troubleshooting.md",
            ["/metrics/prometheusRule/runbookUrl", "pattern"],
        ),
        ("nameOverride=Not_A_Name", ["/nameOverride", "pattern"]),
    ] {
        refused(&["--set", value], &words);
    }
}

#[test]
fn durations_and_schedules_are_taken_as_the_operator_reads_them() {
    for text in include_str!("schedules.txt").lines() {
        let rendered = Helm::new().template(&["--set-literal", &format!("syncSchedule={text}")]);
        assert!(rendered.is_ok(), "{text}: {rendered:?}");
    }
}

#[test]
fn unusable_combinations_are_refused_with_the_remedy() {
    refused(
        &["--set", "extraArgs={--sync-schedule=1m}"],
        &["extraArgs: --sync-schedule is set by the value syncSchedule"],
    );
    refused(
        &["--set", "extraArgs={--settle-time=1m}"],
        &["extraArgs: --settle-time is set by the value sagas.settleTime"],
    );
    refused(
        &["--set", "extraArgs={--leader-elect=false}"],
        &["without leader election there may be one replica only; set replicas to 1"],
    );
    refused(
        &["--set", "sagas.secrets={digitalocean-token}"],
        &["sagas.secrets: digitalocean-token is the Secret with the DigitalOcean token, which no saga may read"],
    );
    refused(&["--set", "serviceAccount.create=false"], &["serviceAccount.name: set the ServiceAccount to use"]);
    refused(&["--kube-version", "v1.35.4"], &["this is v1.35.4; set admissionPolicies.mutating to false"]);
    refused(&["--kube-version", "v1.31.0"], &[">=1.32.0-0", "1.31"]);
}

#[test]
fn an_older_kubernetes_needs_one_value() {
    let older = ["--kube-version", "v1.32.0", "--set", "admissionPolicies.mutating=false"];
    let rendered = Helm::new().template(&older).unwrap();
    assert!(rendered.contains("ValidatingAdmissionPolicy") && !rendered.contains("MutatingAdmissionPolicy"));
}

#[test]
fn no_rendered_object_contains_a_token() {
    let rendered = Helm::new().template(&[]).unwrap();
    assert!(!rendered.contains("kind: Secret") && !rendered.contains("DIGITALOCEAN_TOKEN"), "{rendered}");
}
