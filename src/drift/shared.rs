//! Equal texts, kept once: fleets are alike.

use std::{collections::HashSet, sync::Arc};

/// The number of texts that are kept before the first unused ones are dropped.
const FEW: usize = 1024;

/// Texts of which each is kept once.
#[derive(Default)]
pub(super) struct SharedTexts {
    texts: HashSet<Arc<str>>,
    /// The number of texts at which unused ones are dropped next.
    tidied_at: usize,
}

impl SharedTexts {
    /// This text, shared with all who have an equal one.
    pub(super) fn share(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.texts.get(text) {
            return Arc::clone(known);
        }
        if self.texts.len() >= self.tidied_at.max(FEW) {
            self.texts.retain(|text| Arc::strong_count(text) > 1);
            self.tidied_at = self.texts.len().saturating_mul(2);
        }
        let text: Arc<str> = text.into();
        self.texts.insert(Arc::clone(&text));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_are_one_and_unused_ones_are_dropped() {
        let mut shared = SharedTexts::default();
        let used = shared.share("used");
        assert!(Arc::ptr_eq(&used, &shared.share("used")));
        for number in 0..10 * FEW {
            shared.share(&number.to_string());
        }
        assert!(shared.texts.len() <= 2 * FEW, "{}", shared.texts.len());
        assert!(Arc::ptr_eq(&used, &shared.share("used")));
    }
}
