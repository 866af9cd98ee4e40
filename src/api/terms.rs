//! Names that users select on. The text of each is its documentation in the code and in the reference.

/// A name of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term {
    /// The name in the API.
    pub name: &'static str,
    /// The objects that have it.
    pub on: &'static [&'static str],
    /// The text of its documentation. It begins with a space, and so does each further line.
    pub text: &'static str,
}

/// Declares a constant for each name, and `ALL` of them, in the order of the reference.
macro_rules! terms {
    ($($(#[doc = $text:literal])+ $constant:ident = $name:literal on $($object:literal),+;)+) => {
        $($(#[doc = $text])+ pub const $constant: &str = $name;)+

        /// All names, in the order of the reference.
        pub const ALL: &[$crate::api::terms::Term] = &[
            $($crate::api::terms::Term { name: $name, on: &[$($object),+], text: concat!($($text),+) }),+
        ];
    };
}

pub(crate) use terms;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::api::{annotations, conditions, labels};

    #[test]
    fn each_name_is_declared_once_and_its_text_is_a_sentence() {
        for terms in [annotations::ALL, labels::ALL, conditions::REASONS] {
            let names: BTreeSet<_> = terms.iter().map(|term| term.name).collect();
            assert_eq!(names.len(), terms.len());
            for term in terms {
                let text = term.text.trim();
                assert!(text.ends_with('.') || text.ends_with('`'), "{}: {text}", term.name);
                assert!(!text.contains('|'), "{}: a cell of a table cannot contain it: {text}", term.name);
            }
        }
    }
}
