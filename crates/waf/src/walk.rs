//! What the filter says of a value in all the forms that rules look at, found in one walk.
//!
//! Many links look at the same values, such as all arguments, each after a chain of transformations of its own. The
//! chains make a tree. A value walks it once: at each node it is in the form that the links of this node see, and where
//! none of the transformations below can change that form, which its alphabet tells, the walk takes what the whole
//! subtree asks and goes on behind it. Most values walk over a handful of nodes for hundreds of links.

use std::collections::BTreeMap;

use crate::alphabet::Alphabet;
use crate::filter::CheckId;
use crate::program::{ChainId, Chains};
use crate::transform::Transformation;

/// The tree of chains after which links look at certain values.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    /// In depth-first order; the first is the root, the value as it is.
    pub(crate) nodes: Box<[Node]>,
    words: usize,
    /// Per node two sets: the checks that see its form, and those that see it or a form below.
    checks: Box<[u64]>,
}

/// A chain: the form of the node above, transformed once more.
#[derive(Debug)]
pub(crate) struct Node {
    /// The root has none.
    pub(crate) step: Transformation,
    /// How many nodes lead to it.
    pub(crate) depth: usize,
    /// The bytes of which the form above must have one for this node or one below to differ from it; `None` if they may
    /// differ whatever it is.
    pub(crate) touches: Option<Alphabet>,
    /// The node behind all that are below.
    pub(crate) end: usize,
}

impl Walk {
    /// The tree of `uses`: which check sees which chain. Sets have `words` words.
    pub(crate) fn new(chains: &Chains, uses: &[(ChainId, CheckId)], words: usize) -> Self {
        let mut by_path: BTreeMap<Vec<ChainId>, Vec<CheckId>> = BTreeMap::new();
        for (chain, check) in uses {
            let path = chains.path(*chain);
            for length in 1..path.len() {
                by_path.entry(path[..length].to_vec()).or_default();
            }
            by_path.entry(path).or_default().push(*check);
        }
        // A path stands before all that it begins: this is the depth-first order.
        let paths: Vec<_> = by_path.into_iter().collect();
        let mut checks = vec![0; paths.len() * 2 * words];
        let mut nodes = Vec::with_capacity(paths.len());
        for (index, (path, _)) in paths.iter().enumerate() {
            let below = paths[index..].iter().take_while(|(other, _)| other.starts_with(path));
            let mut touches = Some(Alphabet::EMPTY);
            let mut end = index;
            for (other, seen_by) in below {
                touches = touches.zip(last_step(chains, other).touches()).map(|(all, more)| all.with(more));
                let (own, subtree) = checks[index * 2 * words..][..2 * words].split_at_mut(words);
                for check in seen_by {
                    check.put_into(subtree);
                }
                if end == index {
                    for check in seen_by {
                        check.put_into(own);
                    }
                }
                end += 1;
            }
            nodes.push(Node { step: last_step(chains, path), depth: path.len() - 1, touches, end });
        }
        Self { nodes: nodes.into(), words, checks: checks.into() }
    }

    /// Whether any of `checks` sees a form.
    pub(crate) fn meets(&self, checks: &[u64]) -> bool {
        !self.nodes.is_empty() && meets(self.subtree(0), checks)
    }

    /// The checks that see the form of `node`.
    pub(crate) fn own(&self, node: usize) -> &[u64] {
        &self.checks[node * 2 * self.words..][..self.words]
    }

    /// The checks that see the form of `node` or one below.
    pub(crate) fn subtree(&self, node: usize) -> &[u64] {
        &self.checks[(node * 2 + 1) * self.words..][..self.words]
    }
}

/// Whether two sets have something in common.
pub(crate) fn meets(one: &[u64], other: &[u64]) -> bool {
    one.iter().zip(other).any(|(one, other)| one & other != 0)
}

fn last_step(chains: &Chains, path: &[ChainId]) -> Transformation {
    let steps = path.last().map_or(&[][..], |chain| chains.steps(*chain));
    steps.last().copied().unwrap_or(Transformation::None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::{FilterBuilder, Need};
    use crate::transform::Transformation::{Lowercase, Sha1, UrlDecode};

    #[test]
    fn nodes_know_what_is_below() {
        let mut chains = Chains::default();
        let mut filter = FilterBuilder::default();
        let mut a_use = |steps: &[_]| (chains.intern(steps), filter.add(Need::default()));
        let uses = [a_use(&[Lowercase, UrlDecode]), a_use(&[]), a_use(&[Lowercase]), a_use(&[Sha1])];
        let walk = Walk::new(&chains, &uses, 1);
        let shape: Vec<_> = walk.nodes.iter().map(|node| (node.step, node.depth, node.end)).collect();
        assert_eq!(shape, [(Transformation::None, 0, 4), (Lowercase, 1, 3), (UrlDecode, 2, 3), (Sha1, 1, 4)]);
        let sets: Vec<_> = (0..4).map(|node| (walk.own(node)[0], walk.subtree(node)[0])).collect();
        assert_eq!(sets, [(0b10, 0b1111), (0b100, 0b101), (0b1, 0b1), (0b1000, 0b1000)]);
        assert_eq!(walk.nodes[0].touches, None);
        let touches = walk.nodes[1].touches.unwrap();
        assert!(touches.meets(Alphabet::of(b"A")) && touches.meets(Alphabet::of(b"%")));
        assert!(!touches.meets(Alphabet::of(b"a")));
    }
}
