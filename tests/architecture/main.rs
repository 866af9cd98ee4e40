//! The structure of the program: no circles, deciding code that is pure, one name for one type, one style of imports,
//! and log lines that name their objects.
#![cfg(test)]

mod circles;
mod imports;
mod logs;
mod source;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use circles::circles;
use source::{Source, Target};

/// An object of any type, which `kube::api` exports too. It makes no call.
const OBJECT: &str = "kube::api::DynamicObject";

/// The files whose first comment says that they are pure, each with the files of its folder.
fn pure() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let says_so = |file: &str| {
        let text = fs::read_to_string(root.join(file)).unwrap();
        let mut words =
            text.lines().take_while(|line| line.starts_with("//!")).flat_map(|line| line.split([' ', '.', ':']));
        words.any(|word| word == "Pure")
    };
    let references = source().references();
    let (pure, others): (BTreeSet<_>, BTreeSet<_>) = references.into_keys().partition(|file| says_so(file));
    let folders: Vec<_> = pure.iter().map(|file| file.trim_end_matches("mod.rs").replace(".rs", "/")).collect();
    let is_below = |file: &String| folders.iter().any(|folder| file.starts_with(folder));
    others.into_iter().filter(is_below).chain(pure.clone()).collect()
}

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

/// The folders of code: the program, and what tests and builds it.
const FOLDERS: [&str; 5] =
    ["src", "tests/simulator/src", "tests/control-plane/src", "tests/gitops/engines/src", "xtask/src"];

#[test]
fn no_files_and_no_folders_import_each_other_in_a_circle() {
    let mut found = Vec::new();
    for folder in FOLDERS {
        let source = Source::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder));
        assert!(!source.references().is_empty(), "{folder} contains no code");
        found.extend(circles(&source).iter().map(|circle| format!("{folder}: {circle}")));
    }
    assert!(found.is_empty(), "{} circles:\n{}", found.len(), found.join("\n"));
}

/// The names that each step or each room may define once more.
const SHARED_NAMES: [&str; 4] = ["Before", "Error", "Output", "Parameters"];

#[test]
fn no_two_rooms_define_a_type_of_one_name() {
    let source = source();
    let types = source.types();
    assert!(types.len() > 300, "only {} types found", types.len());
    let twins = twins(&types);
    assert!(twins.is_empty(), "types with one name:\n{}", twins.join("\n"));
}

/// The names of several types of which at least one is visible outside its module.
fn twins(types: &BTreeMap<&str, Vec<(&str, bool)>>) -> Vec<String> {
    let shared = types.iter().filter(|(name, places)| {
        places.len() > 1 && places.iter().any(|(_, is_private)| !is_private) && !SHARED_NAMES.contains(name)
    });
    shared.map(|(name, places)| format!("{name}: {places:?}")).collect()
}

#[test]
fn two_types_of_one_name_are_detected_unless_both_are_private() {
    let twins = |one: &str, two: &str| {
        let files = [("lib.rs", "mod one; mod two;"), ("one.rs", one), ("two.rs", two)];
        twins(&Source::of(&files).types()).len()
    };
    assert_eq!(twins("pub struct Plan;", "pub(super) enum Plan {}"), 1);
    assert_eq!(twins("type Plan = u8;", "pub(crate) trait Plan {}"), 1);
    assert_eq!(twins("struct Plan;", "struct Plan;"), 0);
    assert_eq!(twins("pub struct Plan;", "#[cfg(test)] mod tests { pub struct Plan; }"), 0);
    assert_eq!(twins("pub struct Parameters;", "pub struct Parameters;"), 0);
}

#[test]
fn all_imports_have_one_style() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders: Vec<_> = ["src", "tests", "xtask"].iter().map(|folder| root.join(folder)).collect();
    let (mut files, mut faults) = (0, Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root).unwrap().display().to_string();
                faults.extend(imports::faults(&name, &fs::read_to_string(&path).unwrap()));
                files += 1;
            }
        }
    }
    assert!(files > 500, "only {files} files found");
    assert!(faults.is_empty(), "{} imports in another style:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn imports_in_another_style_are_detected() {
    let faults = |code: &str| imports::faults("a.rs", code).len();
    for code in [
        "use std::fmt;\nuse std::env;\n",
        "use std::fmt;\nuse serde_json::json;\n",
        "use crate::a::A;\nuse crate::b::B;\n",
        "use serde_json::json;\n\nuse std::fmt;\n",
        "use kube::Api;\n\nuse serde_json::json;\n",
        "mod a;\n\nuse serde::Serialize;\nuse a::A;\n",
        "mod tests {\n    use super::*;\n    use std::fmt;\n}\n",
        "fn f() {\n    use std::fmt;\n    use std::env;\n}\n",
    ] {
        assert_ne!(faults(code), 0, "{code}");
    }
    for code in [
        "use std::{env, fmt};\n\nuse kube::Api;\nuse serde_json::json;\n\nuse super::A;\nuse crate::b::B;\n",
        "use std::fmt;\n\npub use a::A;\n\nmod a;\n",
        "use std::fmt;\n\n#[cfg(test)]\nuse std::env;\n",
        "fn f() {\n    use std::fmt;\n    let a = 1;\n}\n",
    ] {
        assert_eq!(imports::faults("a.rs", code), Vec::<String>::new(), "{code}");
    }
}

/// The parts of the operator that the command line may use: the API, the comparison, and what reads the cloud.
const OF_COMMAND_LINE: [&str; 16] = [
    "api/",
    "cli/",
    "comparison/",
    "digitalocean/",
    "drift/finding.rs",
    "drift/ownership.rs",
    "drift/pace.rs",
    "drift/shown.rs",
    "kube_ext/call.rs",
    "kube_ext/depth.rs",
    "kube_ext/names.rs",
    "manifests/places.rs",
    "manifests/policies.rs",
    "manifests/users.rs",
    "nearest.rs",
    "schedule.rs",
];

#[test]
fn the_command_line_uses_no_controller_and_no_cache() {
    let references = source().references();
    let used = references
        .iter()
        .filter(|(file, _)| file.starts_with("cli/") || *file == "bin/kubectl-arcadia.rs")
        .flat_map(|(file, targets)| targets.iter().map(move |target| (file, target)));
    let (mut parts, mut faults) = (BTreeSet::new(), Vec::new());
    for (user, target) in used {
        let Target::Here { file, item } = target else { continue };
        match OF_COMMAND_LINE.iter().find(|place| is_within(file, place)) {
            Some(place) => _ = parts.insert(*place),
            None => faults.push(format!("{user}: {item} of {file}")),
        }
    }
    assert!(faults.is_empty(), "the command line uses parts of the operator:\n{}", faults.join("\n"));
    let unused: Vec<_> = OF_COMMAND_LINE.iter().filter(|place| !parts.contains(*place)).collect();
    assert!(unused.is_empty(), "correct the list: {unused:?}");
}

/// The only file that recognises the texts of DigitalOcean.
const PHRASES: &str = "digitalocean/error.rs";

/// The other files that match on the message of an error of DigitalOcean.
fn readers_of_messages(source: &Source) -> BTreeSet<&str> {
    let patterns = source.patterns().filter(|(_, owner, variant, fields)| {
        let is_error = matches!(owner, Target::Here { file, .. } if file == PHRASES);
        is_error && ["Forbidden", "Refused"].contains(variant) && fields.contains("message")
    });
    patterns.map(|(file, ..)| file).filter(|file| *file != PHRASES).collect()
}

#[test]
fn only_one_file_recognises_the_texts_of_digitalocean() {
    assert_eq!(readers_of_messages(&source()), BTreeSet::new());
}

#[test]
fn a_file_that_reads_the_message_of_an_error_is_detected() {
    let is_read = |code: &str| {
        let user = format!("use crate::digitalocean::{{self, error::Error}}; {code}");
        let source = Source::of(&[
            ("lib.rs", "mod digitalocean; mod user;"),
            ("digitalocean/mod.rs", "pub mod error; pub use error::Error;"),
            (PHRASES, "pub enum Error { Refused { status: u16, message: String }, Forbidden { message: String } }"),
            ("user.rs", &user),
        ]);
        !readers_of_messages(&source).is_empty()
    };
    for code in [
        "fn f() { match e { Err(Error::Refused { status: 422, message, .. }) => {} _ => {} } }",
        "fn f() -> bool { matches!(e, Error::Forbidden { message, .. } if message.is_empty()) }",
        "fn f() { if let digitalocean::Error::Refused { message: text, .. } = e {} }",
    ] {
        assert!(is_read(code), "{code}");
    }
    for code in [
        "fn f() { match e { Err(Error::Refused { status: 422, .. }) => {} _ => {} } }",
        "fn f() -> Error { Error::Refused { status, message } }",
        "fn f() -> bool { matches!(e, call::Error::Forbidden { message, .. }) }",
    ] {
        assert!(!is_read(code), "{code}");
    }
}

#[test]
fn every_log_line_names_its_object() {
    let (lines, faults) = logs::check(&source());
    assert!(lines > 20, "only {lines} lines found");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_log_line_without_an_object_is_detected_wherever_it_stands() {
    let faults = |code: &str| logs::check(&Source::of(&[("lib.rs", code)])).1.len();
    for code in [
        r#"fn f() { info!("done"); }"#,
        r#"fn f() { tracing::warn!(field = %name, "done"); }"#,
        r#"fn f() { select! { () = stop => { debug!(delay, "done") } } }"#,
        r#"fn f() { info!(record = %key, message = "done"); }"#,
        r#"impl A { fn f(&self) { error!(%error, "done"); } }"#,
    ] {
        assert_eq!(faults(code), 1, "{code}");
    }
    for code in [
        r#"fn f() { info!(record = %key, "done"); }"#,
        r#"fn f() { debug!(field, %drift, "done"); }"#,
        r#"fn f() { select! { () = stop => { info!(?saga, "done") } } }"#,
        r#"fn f() { info!("arcadia-operator stops"); }"#,
        r#"#[cfg(test)] mod tests { fn f() { info!("done"); } }"#,
    ] {
        assert_eq!(faults(code), 0, "{code}");
    }
}

#[test]
fn deciding_code_uses_no_client_runtime_random_number_or_clock() {
    let references = source().references();
    let pure = pure();
    assert!(pure.contains("saga/decide.rs") && pure.contains("drift/evaluate/planner.rs"), "{pure:?}");
    let mut impure = Vec::new();
    // The command line shows objects with the types of the code that reads them.
    let (shown, mut through): (Vec<&str>, Vec<&str>) =
        pure.iter().map(String::as_str).partition(|file| file.starts_with("cli/"));
    for file in shown {
        impure.extend(references[file].iter().filter_map(impurity).map(|impurity| format!("{file}: {impurity}")));
    }
    let mut seen: BTreeSet<&str> = through.iter().copied().collect();
    while let Some(file) = through.pop() {
        for target in &references[file] {
            impure.extend(impurity(target).map(|impurity| format!("{file}: {impurity}")));
            if let Target::Here { file: used, .. } = target
                && let Some((used, _)) = references.get_key_value(used)
                && seen.insert(used)
            {
                through.push(used);
            }
        }
    }
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
            (path != OBJECT && IMPURE.iter().any(is_it)).then_some(path)
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
