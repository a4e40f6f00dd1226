//! Chains of transformations.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::alphabet::Alphabet;
use crate::transform::{self, Transformation, UnicodeMap};

/// A chain of transformations: a node of [`Chains`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ChainId(pub(crate) u32);

impl ChainId {
    /// The chain without transformations.
    pub(crate) const RAW: Self = Self(0);
}

/// All distinct chains of a rule set as a tree: each node is its parent's form, transformed once more.
#[derive(Debug)]
pub(crate) struct Chains {
    nodes: Vec<Chain>,
    children: HashMap<(ChainId, Transformation), ChainId>,
    /// `SecUnicodeMapFile`.
    unicode: Option<UnicodeMap>,
}

/// A node of [`Chains`].
#[derive(Debug, Clone)]
struct Chain {
    parent: ChainId,
    steps: Vec<Transformation>,
    /// The bytes of which a value must have one for the chain to change it; `None` if any value may change. Nothing
    /// changes before the first step that changes something, and to that the value comes as it is.
    touches: Option<Alphabet>,
}

impl Default for Chains {
    fn default() -> Self {
        let root = Chain { parent: ChainId::RAW, steps: Vec::new(), touches: Some(Alphabet::EMPTY) };
        Self { nodes: vec![root], children: HashMap::new(), unicode: None }
    }
}

impl Chains {
    /// No chains yet; `urlDecodeUni` asks `unicode` first.
    pub(crate) fn with(unicode: Option<UnicodeMap>) -> Self {
        Self { unicode, ..Self::default() }
    }

    /// `input` after one step.
    pub(crate) fn apply<'a>(&self, step: Transformation, input: &'a [u8]) -> Cow<'a, [u8]> {
        match &self.unicode {
            Some(map) if step == Transformation::UrlDecodeUni => transform::url_decode_mapped(input, map),
            _ => step.apply(input),
        }
    }

    /// The node of `transformations`, in order.
    pub(crate) fn intern(&mut self, transformations: &[Transformation]) -> ChainId {
        transformations.iter().fold(ChainId::RAW, |parent, transformation| {
            let next = ChainId(self.nodes.len() as u32);
            let node = *self.children.entry((parent, *transformation)).or_insert(next);
            if node == next {
                let Chain { mut steps, touches, .. } = self.nodes[parent.0 as usize].clone();
                steps.push(*transformation);
                let touches = touches.zip(transformation.touches()).map(|(before, last)| before.with(last));
                self.nodes.push(Chain { parent, steps, touches });
            }
            node
        })
    }

    /// The chain's transformations, in order.
    pub(crate) fn steps(&self, chain: ChainId) -> &[Transformation] {
        &self.nodes[chain.0 as usize].steps
    }

    /// Whether a value of this alphabet may change in the chain.
    pub(crate) fn may_change(&self, chain: ChainId, alphabet: Alphabet) -> bool {
        self.nodes[chain.0 as usize].touches.is_none_or(|touches| touches.meets(alphabet))
    }

    /// The node and all that lead to it, from the root.
    pub(crate) fn path(&self, chain: ChainId) -> Vec<ChainId> {
        let mut path = vec![chain];
        let mut last = chain;
        while last != ChainId::RAW {
            last = self.nodes[last.0 as usize].parent;
            path.push(last);
        }
        path.reverse();
        path
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transform::Transformation::{Lowercase, RemoveWhitespace, UrlDecode};

    #[test]
    fn chains_share_their_beginnings() {
        let mut chains = Chains::default();
        let both = chains.intern(&[Lowercase, RemoveWhitespace]);
        let first = chains.intern(&[Lowercase]);
        let other = chains.intern(&[Lowercase, UrlDecode]);
        assert_eq!((chains.intern(&[Lowercase, RemoveWhitespace]), chains.intern(&[])), (both, ChainId::RAW));
        assert_eq!(chains.path(both), [ChainId::RAW, first, both]);
        assert_eq!(chains.steps(other), [Lowercase, UrlDecode]);
    }

    #[test]
    fn only_values_with_certain_bytes_change() {
        let mut chains = Chains::default();
        let chain = chains.intern(&[Lowercase, UrlDecode]);
        let changes = |value: &[u8]| chains.may_change(chain, Alphabet::of(value));
        assert!(changes(b"A") && changes(b"%41") && !changes(b"a-b 1"));
        assert!(!chains.may_change(ChainId::RAW, Alphabet::range(0, 0xff)));
        let digest = chains.intern(&[Lowercase, Transformation::Sha1]);
        assert!(chains.may_change(digest, Alphabet::EMPTY));
    }
}
