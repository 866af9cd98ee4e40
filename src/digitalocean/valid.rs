//! Values that a parser accepts, checked without keeping them.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};

/// A value that can be parsed. `IgnoredAny` also accepts numbers that are too large, half a surrogate pair, and any depth.
pub(crate) struct Valid;

impl<'de> Deserialize<'de> for Valid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValidVisitor)
    }
}

struct ValidVisitor;

impl<'de> Visitor<'de> for ValidVisitor {
    type Value = Valid;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Valid, E> {
        Ok(Valid)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Valid, E> {
        Ok(Valid)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Valid, E> {
        Ok(Valid)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Valid, E> {
        Ok(Valid)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Valid, E> {
        Ok(Valid)
    }

    fn visit_str<E>(self, _: &str) -> Result<Valid, E> {
        Ok(Valid)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Valid, A::Error> {
        while items.next_element::<Valid>()?.is_some() {}
        Ok(Valid)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Valid, A::Error> {
        while entries.next_entry::<Valid, Valid>()?.is_some() {}
        Ok(Valid)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn it_accepts_what_a_parser_accepts() {
        let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        let texts = [
            r#"{"a": [1, -2, 3.5, true, null, "\u00fc\ud83d\ude00"], "a": {}}"#.to_owned(),
            r#""\ud83d""#.to_owned(),
            r#"{"\ud83d": 1}"#.to_owned(),
            "1e999".to_owned(),
            "9".repeat(400),
            "[1,]".to_owned(),
            "\"\u{1}\"".to_owned(),
            deep(127),
            deep(128),
        ];
        let verdicts = texts.each_ref().map(|text| {
            let is_parsed = serde_json::from_str::<Value>(text).is_ok();
            assert_eq!(serde_json::from_str::<Valid>(text).is_ok(), is_parsed, "{text}");
            is_parsed
        });
        assert_eq!(verdicts, [true, false, false, false, false, false, false, true, false]);
    }
}
