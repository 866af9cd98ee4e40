//! Lists: pages, links, filters, and a fleet of 100,000.

use std::time::{Duration, Instant};

use digitalocean_simulator::Options;
use serde_json::{Value, json};

use crate::common::{Client, demo, start};

fn names(list: &Value, key: &str) -> Vec<String> {
    list[key].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn links_lead_forwards_and_backwards_and_are_absent_at_the_ends() {
    let (simulator, client) = start(Options { droplets: 45, ..demo() }).await;
    let url = simulator.url();
    let first = client.get("/v2/droplets?per_page=10&tag_name=web").await.json();
    assert_eq!(first["meta"]["total"], 43, "45 of which db-1 and train-1 are not web");
    assert_eq!(
        first["links"],
        json!({"pages": {
            "next": format!("{url}/v2/droplets?page=2&per_page=10&tag_name=web"),
            "last": format!("{url}/v2/droplets?page=5&per_page=10&tag_name=web"),
        }})
    );
    let last = client.get("/v2/droplets?page=5&per_page=10&tag_name=web").await.json();
    assert_eq!(last["droplets"].as_array().unwrap().len(), 3);
    assert_eq!(
        last["links"],
        json!({"pages": {
            "first": format!("{url}/v2/droplets?page=1&per_page=10&tag_name=web"),
            "prev": format!("{url}/v2/droplets?page=4&per_page=10&tag_name=web"),
        }})
    );
    let only = client.get("/v2/volumes").await.json();
    assert_eq!(only["links"], json!({}));
    let beyond = client.get("/v2/volumes?page=9").await.json();
    assert_eq!((beyond["volumes"].as_array().unwrap().len(), &beyond["meta"]["total"]), (0, &json!(2)));
}

#[tokio::test]
async fn pages_have_20_rows_by_default_and_at_most_200() {
    let (_simulator, client) = start(Options { droplets: 450, load: None, ..demo() }).await;
    let rows = async |query: &str| {
        client.get(&format!("/v2/droplets{query}")).await.json()["droplets"].as_array().unwrap().len()
    };
    assert_eq!(rows("").await, 20);
    assert_eq!(rows("?per_page=200").await, 200);
    assert_eq!(rows("?per_page=1000").await, 200);
    assert_eq!(rows("?per_page=200&page=3").await, 50);
    assert_eq!(rows("?per_page=0&page=-1").await, 20);
}

#[tokio::test]
async fn the_plain_list_leaves_gpu_droplets_out_and_the_gpu_list_has_nothing_else() {
    let (_simulator, client) = start(demo()).await;
    assert_eq!(names(&client.get("/v2/droplets").await.json(), "droplets"), ["web-1", "web-2", "db-1"]);
    assert_eq!(names(&client.get("/v2/droplets?type=gpus").await.json(), "droplets"), ["train-1"]);
    assert_eq!(names(&client.get("/v2/droplets?tag_name=ml").await.json(), "droplets"), ["train-1"]);
    assert_eq!(names(&client.get("/v2/droplets?name=web-2").await.json(), "droplets"), ["web-2"]);
    assert_eq!(client.get("/v2/droplets?tag_name=ml&type=gpus").await.status, 400);
}

#[tokio::test]
async fn an_unknown_resource_is_not_found() {
    let (_simulator, client) = start(demo()).await;
    for path in [
        "/v2/droplets/1",
        "/v2/domains/example.org",
        "/v2/domains/example.org/records",
        "/v2/nothing",
        "/v2/tags/none",
        "/",
    ] {
        let answer = client.get(path).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["id"]), (404, &json!("not_found")), "{path}");
        assert_eq!(answer.json()["request_id"].as_str(), answer.header("x-request-id"), "{path}");
    }
}

#[tokio::test]
async fn a_body_that_is_not_json_is_a_bad_request() {
    let (_simulator, client) = start(demo()).await;
    let broken = client.try_send("POST", "/v2/droplets", "{\"name\": ").await.unwrap();
    assert_eq!((broken.status.as_u16(), &broken.json()["id"]), (400, &json!("bad_request")));
}

#[tokio::test]
async fn databases_and_registries_have_no_pages() {
    let (_simulator, client) = start(demo()).await;
    let databases = client.get("/v2/databases?per_page=1&page=2").await.json();
    assert_eq!(databases.as_object().unwrap().keys().collect::<Vec<_>>(), ["databases"]);
    assert_eq!(names(&databases, "databases"), ["backend"]);
}

#[tokio::test]
async fn images_are_found_by_slug_and_private_ones_are_those_of_the_account() {
    let (simulator, client) = start(demo()).await;
    simulator.control().put("images", json!({"name": "ours"})).await.unwrap();
    assert_eq!(client.get("/v2/images/ubuntu-24-04-x64").await.json()["image"]["id"], 155_133_621);
    assert_eq!(names(&client.get("/v2/images?private=true").await.json(), "images"), ["ours"]);
    assert!(client.get("/v2/images?type=distribution").await.json()["meta"]["total"].as_u64().unwrap() > 5);
}

#[tokio::test]
async fn a_hundred_thousand_droplets_are_listed_in_pages() {
    let (simulator, client) = start(Options { droplets: 100_000, load: None, ..demo() }).await;
    simulator.control().change("droplets", "3164445", json!({"name": "touched"})).await.unwrap();
    simulator.control().delete("droplets", "3164446").await.unwrap();
    for page in [1, 250, 500] {
        let answer = client.get(&format!("/v2/droplets?per_page=200&page={page}")).await;
        assert!((400_000..650_000).contains(&answer.bytes.len()), "{}", answer.bytes.len());
    }
    let last = client.get("/v2/droplets?per_page=200&page=500").await.json();
    assert_eq!(last["meta"]["total"], 99_999);
    assert_eq!(last["droplets"].as_array().unwrap().last().unwrap()["name"], "web-100000");
    assert_eq!(client.get("/v2/droplets/3164445").await.json()["droplet"]["name"], "touched");
    assert_eq!(client.get("/v2/droplets/3164444").await.json()["droplet"]["tags"], json!(["web", "prod"]));
}

#[tokio::test]
async fn a_call_does_not_wait_for_a_timer() {
    let (_simulator, client) = start(demo()).await;
    let mut times = Vec::new();
    for _ in 0..50 {
        let begin = Instant::now();
        client.get("/v2/actions").await;
        times.push(begin.elapsed());
    }
    // Measured 0.1 ms, including a connection for each; a timer has ticks of 1 ms.
    assert!(times.iter().min().unwrap() < &Duration::from_micros(900), "{times:?}");
}

#[tokio::test]
async fn a_partial_document_is_completed_and_its_tags_are_created() {
    let (simulator, client) = start(Options { load: None, ..demo() }).await;
    let droplet = simulator
        .control()
        .put("droplets", json!({"id": 7, "size": "c-4", "region": "fra1", "tags": ["new"]}))
        .await
        .unwrap();
    assert_eq!(
        (&droplet["vcpus"], &droplet["region"]["name"], &droplet["size_slug"]),
        (&json!(4), &json!("Frankfurt 1"), &json!("c-4"))
    );
    assert_eq!(client.get("/v2/droplets/7").await.json()["droplet"], droplet);
    assert_eq!(client.get("/v2/tags/new").await.json()["tag"]["resources"]["droplets"]["count"], 1);
    let balancer = simulator.control().put("load_balancers", json!({"name": "lb"})).await.unwrap();
    assert_eq!(balancer["region"]["slug"], "nyc3");
    assert!(simulator.control().put("nonsense", json!({})).await.is_err());
}

#[tokio::test]
async fn a_change_outside_the_api_is_a_merge_patch_and_a_new_size_sets_its_numbers() {
    let (simulator, client) = start(demo()).await;
    let control = simulator.control();
    let droplet = control.change("droplets", "3164444", json!({"size_slug": "s-4vcpu-8gb"})).await.unwrap();
    let of = |field: &str| droplet[field].as_u64().unwrap();
    assert_eq!((of("vcpus"), of("memory"), of("disk")), (4, 8192, 160));
    assert_eq!(droplet["size"]["slug"], "s-4vcpu-8gb");
    control
        .change("domains/example.com/records", "28448430", json!({"data": "203.0.113.99", "ttl": 60}))
        .await
        .unwrap();
    let record = client.get("/v2/domains/example.com/records/28448430").await.json();
    assert_eq!(
        (&record["domain_record"]["data"], &record["domain_record"]["name"]),
        (&json!("203.0.113.99"), &json!("@"))
    );
    control
        .change("databases", "9cc10173-e9ea-4176-9dbc-a4cee4c4ff30", json!({"maintenance_window": {"day": "monday"}}))
        .await
        .unwrap();
    let database = control.get("databases", "9cc10173-e9ea-4176-9dbc-a4cee4c4ff30").await.unwrap().unwrap();
    assert_eq!((&database["maintenance_window"]["day"], &database["num_nodes"]), (&json!("monday"), &json!(2)));
    control.delete("droplets", "3164446").await.unwrap();
    assert_eq!(control.get("droplets", "3164446").await.unwrap(), None);
    assert_eq!(
        client.get("/v2/volumes/506f78a4-e098-11e5-ad9f-000f53306ae1").await.json()["volume"]["droplet_ids"],
        json!([])
    );
    assert!(control.change("droplets", "3164446", json!({})).await.is_err());
    assert!(control.delete("droplets", "3164446").await.is_err());
}

#[tokio::test]
async fn only_the_token_is_accepted_and_the_control_api_needs_none() {
    let (simulator, client) = start(Options { token: Some("right".to_owned()), ..demo() }).await;
    assert_eq!(client.get("/v2/account").await.status, 401);
    let with = |token: &str| Client { token: Some(token.to_owned()), ..client.clone() };
    assert_eq!(with("wrong").get("/v2/account").await.json()["id"], "unauthorized");
    assert_eq!(with("right").get("/v2/account").await.status, 200);
    assert_eq!(simulator.control().requests().await.unwrap().count("GET /v2/account"), 3);
}
