//! The structure of the program: no circles, and deciding code that is pure.
#![cfg(test)]

mod circles;
mod source;

use std::path::Path;

use circles::circles;
use source::{Source, Target};

/// The files that decide. A folder includes all files below it.
const DECIDING: [&str; 31] = [
    "backoff.rs",
    "comparison/",
    "digitalocean/document.rs",
    "digitalocean/equivalence.rs",
    "digitalocean/live.rs",
    "digitalocean/merge.rs",
    "digitalocean/revert/",
    "digitalocean/rules.rs",
    "drift/evaluate.rs",
    "drift/evaluate/",
    "drift/finding.rs",
    "drift/known.rs",
    "drift/observed.rs",
    "drift/ownership.rs",
    "drift/pace.rs",
    "drift/plan.rs",
    "drift/shown.rs",
    "drift/standing.rs",
    "drift/status.rs",
    "drift/summary.rs",
    "saga/attempts.rs",
    "saga/claims.rs",
    "saga/clock.rs",
    "saga/command.rs",
    "saga/decide.rs",
    "saga/decide/",
    "saga/event.rs",
    "saga/journal.rs",
    "saga/outcome.rs",
    "saga/state.rs",
    "saga/view.rs",
];

/// Paths of other crates that deciding code must not use: clients, the runtime, random numbers and clocks.
const IMPURE: [&str; 17] = [
    "fail",
    "hyper",
    "jiff::Timestamp::now",
    "jiff::Zoned",
    "kube::Api",
    "kube::Client",
    "kube::api",
    "kube::client",
    "kube::runtime",
    "rand",
    "reqwest",
    "std::env",
    "std::fs",
    "std::net::TcpStream",
    "std::time::Instant",
    "std::time::SystemTime",
    "tokio",
];

/// Parts of this project that deciding code must not use.
const ACTING: [&str; 8] = [
    "digitalocean/client.rs",
    "digitalocean/inventory/snapshot.rs",
    "drift/context.rs",
    "failpoint.rs",
    "kube_ext/call.rs",
    "liveness.rs",
    "process.rs",
    "saga/context.rs",
];

fn source() -> Source {
    Source::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"))
}

#[test]
fn no_files_and_no_folders_import_each_other_in_a_circle() {
    let found: Vec<_> = circles(&source()).iter().map(ToString::to_string).collect();
    assert!(found.is_empty(), "{} circles:\n{}", found.len(), found.join("\n"));
}

#[test]
fn deciding_code_uses_no_client_runtime_random_number_or_clock() {
    let references = source().references();
    for place in DECIDING {
        let is_known = references.keys().any(|file| is_within(file, place));
        assert!(is_known, "there is no {place}; correct the list");
    }
    let deciding = references.iter().filter(|(file, _)| DECIDING.iter().any(|place| is_within(file, place)));
    let impure: Vec<_> = deciding
        .flat_map(|(file, targets)| targets.iter().map(move |target| (file, target)))
        .filter_map(|(file, target)| Some(format!("{file}: {}", impurity(target)?)))
        .collect();
    assert!(impure.is_empty(), "deciding code is not pure:\n{}", impure.join("\n"));
}

fn is_within(file: &str, place: &str) -> bool {
    file == place || (place.ends_with('/') && file.starts_with(place))
}

/// Names the impure dependency, if the target is one.
fn impurity(target: &Target) -> Option<String> {
    match target {
        Target::Here { file, item } => ACTING.contains(&file.as_str()).then(|| format!("{item} of {file}")),
        Target::Elsewhere(path) => {
            let path = path.join("::");
            let is_it = |impure: &&str| path == **impure || path.starts_with(&format!("{impure}::"));
            IMPURE.iter().any(is_it).then_some(path)
        }
    }
}

/// The circles of a crate of these files.
fn found(files: &[(&str, &str)]) -> Vec<String> {
    circles(&Source::of(files)).iter().map(ToString::to_string).collect()
}

#[test]
fn a_circle_is_reported_with_its_imports() {
    let files = [
        ("lib.rs", "mod one; mod two;"),
        ("one.rs", "use crate::two::Two; pub struct One(Two);"),
        ("two.rs", "pub struct Two; fn back() { crate::one::One::default(); }"),
    ];
    let circles = found(&files);
    assert_eq!(circles.len(), 2, "one of files, one of entries: {circles:?}");
    assert_eq!(circles[0], "circle of one.rs, two.rs\n  one.rs -> two.rs: Two\n  two.rs -> one.rs: One\n");
}

#[test]
fn a_re_exported_name_depends_on_the_file_that_defines_it() {
    let files = [
        ("lib.rs", "mod user; mod room;"),
        ("room/mod.rs", "mod inner; pub use inner::Inner; pub struct Shared;"),
        ("room/inner.rs", "use super::Shared; pub struct Inner(Shared);"),
        ("user.rs", "use crate::room::Inner; fn f(_: Inner) {}"),
    ];
    assert_eq!(found(&files), Vec::<String>::new());
    let with_use = ("room/mod.rs", "mod inner; pub use inner::Inner; pub struct Shared; fn f(_: Inner) {}");
    let files = files.map(|file| if file.0 == "room/mod.rs" { with_use } else { file });
    assert_eq!(found(&files).len(), 2);
}

#[test]
fn folders_can_form_a_circle_without_any_file_in_one() {
    let files = [
        ("lib.rs", "mod left; mod right;"),
        ("left/mod.rs", "pub mod high; pub mod low;"),
        ("left/high.rs", "use crate::right::Right; fn f(_: Right) {}"),
        ("left/low.rs", "pub struct Low;"),
        ("right.rs", "use crate::left::low::Low; pub struct Right(Low);"),
    ];
    let circles = found(&files);
    assert_eq!(circles, ["circle of left, right\n  left -> right: Right\n  right -> left: Low\n"]);
}

#[test]
fn names_in_macros_and_attributes_count_and_tests_do_not() {
    let circle = |second: &str| {
        let second = format!("pub struct Two; {second}");
        !found(&[
            ("lib.rs", "mod one; mod two;"),
            ("one.rs", "use crate::two::Two; pub fn one(_: Two) {}"),
            ("two.rs", &second),
        ])
        .is_empty()
    };
    assert!(circle("fn f() { vec![crate::one::one(Two)]; }"));
    assert!(circle("#[serde(with = \"crate::one::one\")] struct Three;"));
    assert!(circle("use super::one; fn f() { one::one(Two) }"));
    assert!(!circle("#[cfg(test)] mod tests { use crate::one::one; }"));
    assert!(!circle("#[cfg(test)] fn f() { crate::one::one(Two) }"));
    assert!(!circle("fn one() {} fn f() { one() }"));
}

#[test]
fn a_clock_is_detected_under_any_name() {
    for code in [
        "use tokio::time::Instant as Clock; fn f() -> Clock { Clock::now() }",
        "use std::time; fn f() { time::Instant::now(); }",
        "use jiff::Timestamp; fn f() { let _ = Timestamp::now(); }",
        "use jiff::Timestamp; fn f() { let _ = Some(()).map(|()| Timestamp::now()); }",
        "fn f() { assert!(rand::random::<bool>()); }",
        "use kube::{Api, Resource}; fn f(_: Api<()>) {}",
    ] {
        let references = Source::of(&[("lib.rs", code)]).references();
        assert!(references["lib.rs"].iter().any(|target| impurity(target).is_some()), "{code}: {references:?}");
    }
    let pure = "use jiff::Timestamp; use kube::ResourceExt; fn f(now: Timestamp) -> Timestamp { now }";
    let references = Source::of(&[("lib.rs", pure)]).references();
    assert!(references["lib.rs"].iter().all(|target| impurity(target).is_none()), "{references:?}");
}
