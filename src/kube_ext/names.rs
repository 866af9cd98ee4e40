//! The names that the API server allows.

/// Returns true if objects can have this name.
pub(crate) fn is_name(text: &str) -> bool {
    let is_sign = |sign: char| sign.is_ascii_lowercase() || sign.is_ascii_digit() || sign == '-';
    let is_part =
        |part: &str| !part.is_empty() && part.chars().all(is_sign) && !part.starts_with('-') && !part.ends_with('-');
    text.len() <= 253 && text.split('.').all(is_part)
}

/// Returns true if namespaces can have this name.
pub(crate) fn is_namespace(text: &str) -> bool {
    is_name(text) && text.len() <= 63 && !text.contains('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_nowhere_else() {
        assert!(["web-1", "a.b", "1"].into_iter().all(is_name));
        let long = "x".repeat(254);
        for text in ["", "..", "a/b", "%2e%2e", "a..b", "Web", "a b", "日本", "a\0", "?watch=1", "-a", "a-", &long] {
            assert!(!is_name(text), "{text:?}");
        }
        assert!(is_namespace("team-a") && !is_namespace("a.b") && !is_namespace(&"x".repeat(64)));
    }
}
