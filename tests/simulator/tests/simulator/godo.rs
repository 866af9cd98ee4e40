//! The official client works with the simulator as with the API: the Go module in `tests/godo` drives it with godo.

use std::path::Path;

use digitalocean_simulator::{Options, RateLimits, Simulator};

#[tokio::test(flavor = "multi_thread")]
async fn the_official_go_client_works_against_the_simulator() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let simulator = Simulator::start(Options {
        token: Some("a-token-for-godo".to_owned()),
        load: Some(here.join("fleets/demo.json")),
        droplets: 450,
        action_seconds: 0.3,
        rate_limits: RateLimits { per_minute: 0, ..RateLimits::default() },
        ..Options::default()
    })
    .await
    .unwrap();
    let output = tokio::process::Command::new("go")
        .args(["test", "-count=1", "-v", "-timeout=180s", "./..."])
        .current_dir(here.join("../godo"))
        .env("SIMULATOR_URL", simulator.url())
        .env("SIMULATOR_TOKEN", "a-token-for-godo")
        .output()
        .await
        .expect("this test needs Go on the PATH, to run the official client in tests/godo");
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "go test in tests/godo failed:\n{text}");
    assert_eq!((text.matches("--- PASS").count(), text.matches("--- SKIP").count()), (17, 0), "{text}");
}
