//! Sets of rules, one bit each.

/// A set of rules of one rule set, by index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RuleBits(Box<[u64]>);

impl RuleBits {
    /// The empty set over `rules` rules.
    pub(crate) fn empty(rules: usize) -> Self {
        Self(vec![0; rules.div_ceil(64)].into_boxed_slice())
    }

    pub(crate) fn insert(&mut self, rule: usize) {
        self.0[rule / 64] |= 1 << (rule % 64);
    }

    pub(crate) fn contains(&self, rule: usize) -> bool {
        self.0[rule / 64] & (1 << (rule % 64)) != 0
    }

    /// Adds all of `other`, a set over the same rules.
    pub(crate) fn extend(&mut self, other: &Self) {
        for (word, more) in self.0.iter_mut().zip(&other.0) {
            *word |= more;
        }
    }

    /// Takes away all of `other`, a set over the same rules.
    pub(crate) fn subtract(&mut self, other: &Self) {
        for (word, less) in self.0.iter_mut().zip(&other.0) {
            *word &= !less;
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_what_was_put_in() {
        let mut some = RuleBits::empty(130);
        assert!(some.is_empty());
        some.insert(129);
        let mut more = RuleBits::empty(130);
        more.insert(0);
        more.extend(&some);
        assert!(more.contains(0) && more.contains(129) && !more.contains(64));
        more.subtract(&some);
        assert!(more.contains(0) && !more.contains(129));
    }
}
