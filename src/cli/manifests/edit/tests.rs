//! Edits of texts in every layout, with examples and at random.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn place(keys: &[&str]) -> YamlPath {
    keys.iter().map(|key| (*key).to_owned().into()).collect()
}

fn set(text: &str, key: &str, value: &Value) -> Result<String, Error> {
    let notation = if is_json(text) { Notation::Json } else { Notation::Yaml };
    Editor { text, notation, map: &place(&["spec", "desired"]) }.set(key, value)
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of layouts")]
fn only_the_value_is_another_one_in_every_layout() {
    for (before, key, value, after) in [
        (
            "# why\nspec: # all\n  desired:\n    # the size\n    size_slug:   s-2vcpu-4gb   # small\n    name: web\n",
            "size_slug",
            json!("s-4vcpu-8gb"),
            "# why\nspec: # all\n  desired:\n    # the size\n    size_slug:   s-4vcpu-8gb   # small\n    name: web\n",
        ),
        (
            "spec:\n  desired: {name: 'a', size: \"b\"}\n",
            "size",
            json!("c d"),
            "spec:\n  desired: {name: 'a', size: \"c d\"}\n",
        ),
        ("spec:\n  desired: {name: 'a'}", "name", json!("it's"), "spec:\n  desired: {name: 'it''s'}"),
        ("spec:\n  desired:\n    ttl: 1800\n", "ttl", json!(300), "spec:\n  desired:\n    ttl: 300\n"),
        ("spec:\n  desired:\n    ipv6: false\n", "ipv6", json!("yes"), "spec:\n  desired:\n    ipv6: \"yes\"\n"),
        (
            "spec:\n  desired:\n    name:\n    ttl: 1\n",
            "name",
            json!("x"),
            "spec:\n  desired:\n    name: x\n    ttl: 1\n",
        ),
        (
            "{\"spec\": {\"desired\": {\n  \"name\": \"a\",\n  \"tags\": [\"x\", \"y\"]\n}}}\n",
            "tags",
            json!(["y", "z z"]),
            "{\"spec\": {\"desired\": {\n  \"name\": \"a\",\n  \"tags\": [\"z z\", \"y\"]\n}}}\n",
        ),
        (
            "{\"spec\": {\"desired\": {\"name\": \"a\"}}}",
            "name",
            json!({ "on": [1, true] }),
            "{\"spec\": {\"desired\": {\"name\": {\"on\": [1, true]}}}}",
        ),
        // Lists count as sets: remaining items keep their position and comment.
        (
            "spec:\n  desired:\n    tags:\n      - web # front\n      - prod # live\n      - old # 2019\n    name: a\n",
            "tags",
            json!(["new", "web", "prod"]),
            "spec:\n  desired:\n    tags:\n      - web # front\n      - prod # live\n      - new # 2019\n    name: a\n",
        ),
        (
            "spec:\n  desired:\n    tags:\n    - web # front\n    name: a\n",
            "tags",
            json!(["web", "prod"]),
            "spec:\n  desired:\n    tags:\n    - web # front\n    - prod\n    name: a\n",
        ),
        (
            "spec:\r\n  desired:\r\n    tags:\r\n    - web\r\n    name: a\r\n",
            "tags",
            json!(["web", "prod"]),
            "spec:\r\n  desired:\r\n    tags:\r\n    - web\r\n    - prod\r\n    name: a\r\n",
        ),
        (
            "spec:\n  desired:\n    tags: [web, prod, old]\n",
            "tags",
            json!(["web"]),
            "spec:\n  desired:\n    tags: [web]\n",
        ),
        ("spec:\n  desired:\n    tags: []\n", "tags", json!(["web"]), "spec:\n  desired:\n    tags: [web]\n"),
        (
            "spec:\n  desired:\n    tags:\n      - web\n\n    # the name\n    name: a\n",
            "tags",
            json!([]),
            "spec:\n  desired:\n    tags: []\n\n    # the name\n    name: a\n",
        ),
        // Rules of a firewall.
        (
            "spec:\n  desired:\n    inbound_rules:\n      # ssh\n      - protocol: tcp\n        ports: \"22\" # from home\n        sources: {addresses: [10.0.0.0/8]}\n",
            "inbound_rules",
            json!([
                { "protocol": "tcp", "ports": "22", "sources": { "addresses": ["10.0.0.0/8", "192.0.2.1"] } },
                { "protocol": "tcp", "ports": "443", "sources": { "addresses": ["0.0.0.0/0"] } },
            ]),
            "spec:\n  desired:\n    inbound_rules:\n      # ssh\n      - protocol: tcp\n        ports: \"22\" # from home\n        sources: {addresses: [10.0.0.0/8, 192.0.2.1]}\n      - ports: \"443\"\n        protocol: tcp\n        sources:\n          addresses:\n          - 0.0.0.0/0\n",
        ),
        // A new key.
        (
            "spec:\n  desired:\n    check:\n      port: 80 # http\n    name: a\n",
            "check",
            json!({ "port": 80, "path": "/up" }),
            "spec:\n  desired:\n    check:\n      port: 80 # http\n      path: /up\n    name: a\n",
        ),
        (
            "spec:\n  desired:\n    name: a\n",
            "exists",
            json!(false),
            "spec:\n  desired:\n    name: a\n    exists: false\n",
        ),
        ("spec: {desired: {}}\n", "exists", json!(false), "spec: {desired: {exists: false}}\n"),
        // Texts of several lines.
        (
            "spec:\n  desired:\n    user_data: |\n      #!/bin/sh\n      echo one\n    name: a\n",
            "user_data",
            json!("#!/bin/sh\n\necho two\n"),
            "spec:\n  desired:\n    user_data: |\n      #!/bin/sh\n\n      echo two\n    name: a\n",
        ),
        (
            "spec:\n  desired:\n    note: >-\n      one\n      two\n    name: a\n",
            "note",
            json!("three"),
            "spec:\n  desired:\n    note: |-\n      three\n    name: a\n",
        ),
        (
            "spec:\n  desired:\n    note: | # why\n      one\n    name: a\n",
            "note",
            json!("two\n"),
            "spec:\n  desired:\n    note: | # why\n      two\n    name: a\n",
        ),
        (
            "spec:\r\n  desired:\r\n    note: |\r\n      one\r\n    name: a\r\n",
            "note",
            json!("two\nthree\n"),
            "spec:\r\n  desired:\r\n    note: |\r\n      two\r\n      three\r\n    name: a\r\n",
        ),
        ("spec:\n  desired:\n    note: one\n      two\n", "note", json!("3"), "spec:\n  desired:\n    note: \"3\"\n"),
    ] {
        let edited = set(before, key, &value);
        assert_eq!(edited.as_deref(), Ok(after), "{before}");
    }
}

#[test]
fn a_value_that_is_shared_with_others_is_left_alone() {
    for text in [
        "base: &tags [web]\nspec:\n  desired:\n    tags: *tags\n",
        "spec:\n  desired:\n    tags: &tags [web]\nother: *tags\n",
        "base: &base {tags: [web]}\nspec:\n  desired:\n    <<: *base\n    name: a\n",
    ] {
        assert!(set(text, "tags", &json!(["prod"])).is_err(), "{text}");
    }
    assert!(set("spec: [", "tags", &json!([])).is_err());
    assert!(set("spec: {}\n", "tags", &json!([])).is_err());
}

/// A value as in an account.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[a-z][a-z0-9-]{0,12}".prop_map(Value::from),
        prop::sample::select(vec![
            "",
            "no",
            "22",
            "1e3",
            "~",
            "null",
            "a: b",
            "a #b",
            "- a",
            "it's",
            "say \"x\"",
            "{a}",
            "[b]",
            "日本",
            "x\ny\n",
            " edge ",
            "%",
            "@",
            "*a",
            "&a",
            "!t",
            "|",
            ">",
            "0x1f",
            "1_000",
            "2026-01-01",
            "a,b",
            "\t",
            "\u{7f}",
            "C:\\dir",
        ])
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z_]{1,6}", inner, 0..4)
                .prop_map(|map| map.into_iter().collect::<Map<_, _>>().into()),
        ]
    })
}

/// A notation of a value after `key:`, with its own comments.
fn written(value: &Value, layout: u8, indent: usize) -> String {
    let inline = Editor { text: "", notation: Notation::Yaml, map: &YamlPath::new() };
    let is_block = !inline.block(value, Quotes::None, 0).unwrap().starts_with(|sign| !"- ".contains(sign))
        || value.as_object().is_some_and(|map| !map.is_empty());
    match (layout % 4, value) {
        (0, Value::Array(list)) if !list.is_empty() && is_block => {
            let gap = " ".repeat(indent);
            let items = list.iter().enumerate().map(|(number, item)| {
                format!("\n{gap}# before {number}\n{gap}- {} # item {number}", inline.inline(item, Quotes::None))
            });
            items.collect()
        }
        (1, Value::Object(map)) if !map.is_empty() => {
            let gap = " ".repeat(indent + 2);
            let pairs = map.iter().map(|(key, value)| {
                format!(
                    "\n{gap}{}:   {} # of {key}",
                    inline.inline(&key.as_str().into(), Quotes::None),
                    inline.inline(value, Quotes::None)
                )
            });
            pairs.collect()
        }
        (2, _) => format!("   {}  ", inline.inline(value, Quotes::Double)),
        (3, Value::String(_)) => format!(" {} # quoted", inline.inline(value, Quotes::Single)),
        _ => format!(" {}", inline.inline(value, Quotes::None)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn every_byte_but_the_value_stays(
        fields in prop::collection::btree_map("[a-z_]{1,8}", (value(), any::<u8>()), 1..5),
        chosen in any::<prop::sample::Index>(),
        new in value(),
        line_end in prop::sample::select(vec!["\n", "\r\n"]),
    ) {
        let chosen = fields.keys().nth(chosen.index(fields.len())).unwrap();
        let (mut before, mut after, mut seen) = ("# head\nspec:\n  desired:   # all\n".to_owned(), String::new(), false);
        for (key, (value, layout)) in &fields {
            if key == chosen {
                seen = true;
            }
            let key_text = if is_plain(key) { key.clone() } else { format!("{key:?}") };
            let line = format!("    # about {key}\n    {key_text}:{}\n\n", written(value, *layout, 4));
            if seen && key != chosen { after += &line } else { before += &line }
        }
        let tail = "# foot\nstatus: {kept:   yes }   # kept\n";
        let text = format!("{before}{after}{tail}").replace('\n', line_end);
        let (old, layout) = &fields[chosen];
        let key_text = if is_plain(chosen) { chosen.clone() } else { format!("{chosen:?}") };
        let of_field = format!("{key_text}:{}\n\n", written(old, *layout, 4));
        let head = before.strip_suffix(&of_field).unwrap().replace('\n', line_end) + &key_text + ":";
        let rest = format!("{line_end}{line_end}{}", format!("{after}{tail}").replace('\n', line_end));

        let edited = set(&text, chosen, &new).unwrap();
        prop_assert!(edited.starts_with(&head), "{edited}");
        prop_assert!(edited.ends_with(&rest), "{edited}");
        let read = parse(&edited).unwrap();
        let mut expected = parse(&text).unwrap();
        prop_assert!(is_alike(&read["spec"]["desired"][chosen], &new), "{edited}");
        expected["spec"]["desired"][chosen] = read["spec"]["desired"][chosen].clone();
        prop_assert_eq!(read, expected);
        // The same value again changes nothing.
        prop_assert_eq!(set(&edited, chosen, &new).unwrap(), edited);
    }
}
