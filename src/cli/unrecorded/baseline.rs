//! A baseline: resources that are known and not shown, one per line. Lines that begin with `#` are comments. Pure.

use std::collections::BTreeSet;

use crate::{
    cli::{
        survey::{address, read_address},
        text::lines,
    },
    digitalocean::ResourceKey,
};

/// The lines of a baseline.
#[derive(Debug, Default)]
pub(super) struct Baseline {
    lines: Vec<BaselineLine>,
    keys: BTreeSet<ResourceKey>,
}

#[derive(Debug)]
enum BaselineLine {
    /// A comment or an empty line.
    Comment(String),
    Known(ResourceKey),
}

impl Baseline {
    /// Reads a baseline.
    ///
    /// # Errors
    /// If a line is neither KIND/ID nor a comment.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut baseline = Self::default();
        for (position, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                baseline.lines.push(BaselineLine::Comment(line.to_owned()));
                continue;
            }
            let key = read_address(line).map_err(|why| {
                format!("line {}: {line:?}: {why}; correct the line, or start it with #", position + 1)
            })?;
            if baseline.keys.insert(key.clone()) {
                baseline.lines.push(BaselineLine::Known(key));
            }
        }
        Ok(baseline)
    }

    pub(super) fn contains(&self, key: &ResourceKey) -> bool {
        self.keys.contains(key)
    }

    /// The text of the baseline with these unrecorded resources. Comments stay, and known resources that were not listed
    /// now; others are removed.
    pub(super) fn with(
        &self,
        unrecorded: &BTreeSet<&ResourceKey>,
        is_elsewhere: impl Fn(&ResourceKey) -> bool,
    ) -> String {
        let kept = self.lines.iter().filter_map(|line| match line {
            BaselineLine::Comment(text) => Some(text.clone()),
            BaselineLine::Known(key) => (unrecorded.contains(key) || is_elsewhere(key)).then(|| address(key)),
        });
        let new = unrecorded.iter().filter(|key| !self.contains(key)).map(|key| address(key));
        lines(kept.chain(new))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digitalocean::Kind;

    fn key(kind: &str, id: &str) -> ResourceKey {
        ResourceKey::new(Kind::named(kind).unwrap(), id)
    }

    #[test]
    fn a_baseline_may_have_comments() {
        let volume = "506f78a4-e098-11e5-ad9f-000f53306ae1";
        let known = Baseline::parse(&format!("# of May\r\nDroplet/1\n\n  volume/{volume} \n")).unwrap();
        assert_eq!(known.keys.len(), 2);
        assert!(known.contains(&key("Droplet", "1")) && known.contains(&key("Volume", volume)));
    }

    #[test]
    fn an_invalid_line_is_named() {
        for line in ["junk", "Dropplet/1", "Droplet/web-1"] {
            let error = Baseline::parse(&format!("Droplet/1\n{line}\n")).unwrap_err();
            assert!(error.contains("line 2") && error.contains(line), "{error}");
        }
    }

    #[test]
    fn writing_keeps_comments_and_resources_that_were_not_listed() {
        let known = Baseline::parse("# of May\nDroplet/1\nDroplet/2\nDomain/example.com\n").unwrap();
        let (old, new) = (key("Droplet", "2"), key("Droplet", "3"));
        let text = known.with(&[&old, &new].into(), |key| key.kind.name() != "Droplet");
        assert_eq!(text, "# of May\nDroplet/2\nDomain/example.com\nDroplet/3\n");
    }
}
