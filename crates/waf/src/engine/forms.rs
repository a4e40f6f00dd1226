//! Values after transformation, each made, looked through and kept once per transaction.
//!
//! Forms are a graph: a transformation leads from one to another, and forms with the same bytes are one, whatever
//! values and transformations they came from. Most values look the same after every chain, which their alphabet tells
//! without a look at them.

use std::borrow::Cow;

use super::Failure;
use super::data::{Data, ValueId};
use super::made::MadeTexts;
use super::work::pass;
use crate::alphabet::Alphabet;
use crate::filter::{Filter, unite};
use crate::hash::QuickHash;
use crate::limits;
use crate::program::{ChainId, Chains, Shown};
use crate::transform::Transformation;
use crate::walk::{Node, Walk, meets};

/// Places in which a form with the same bytes is looked for. Bytes made to share them with others cost a second form
/// of the same, and nothing else.
const PROBES: usize = 8;
/// Places of the index to begin with; a power of two.
const INDEX_PLACES: usize = 256;
/// Where there is nothing.
const NONE: u32 = u32::MAX;

/// A form of one or more values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FormId(u32);

/// The forms that the transaction's values have taken.
#[derive(Debug, Default)]
pub(super) struct Forms {
    all: Vec<Form>,
    /// Per value, its own form.
    raw: Vec<Option<FormId>>,
    /// Forms by the hash of their bytes, with open addressing; [`NONE`] where there is none.
    index: Vec<u32>,
    /// Who finds bytes that share a hash gains nothing: see [`PROBES`].
    hasher: QuickHash,
    /// Where transformations led, as a list for each form.
    edges: Vec<Edge>,
    /// Per form that was scanned, the checks that it may match.
    checks: Vec<u64>,
    /// What was found for a selection of values, as a list for each form.
    walks: Vec<Walked>,
    found: Vec<u64>,
    /// Room for the forms on the way to a node.
    path: Vec<FormId>,
    changed_bytes: usize,
    /// Texts that are no form of a value.
    pub(super) made: MadeTexts,
    /// Work done since someone asked: see [`work`](super::work).
    units: u64,
}

#[derive(Debug)]
struct Form {
    bytes: Bytes,
    hash: u64,
    alphabet: Alphabet,
    /// The first of its edges.
    edge: u32,
    /// The first of its walks.
    walk: u32,
    /// Where its checks are, once it was scanned.
    checks: u32,
}

#[derive(Debug)]
struct Edge {
    step: Transformation,
    to: FormId,
    next: u32,
}

#[derive(Debug)]
struct Walked {
    shown: u32,
    found: usize,
    next: u32,
}

#[derive(Debug)]
enum Bytes {
    /// A value as it came.
    Value(ValueId),
    Changed(Vec<u8>),
}

impl Bytes {
    fn get<'a>(&'a self, data: &'a Data) -> &'a [u8] {
        match self {
            Self::Value(value) => data.get(*value),
            Self::Changed(bytes) => bytes,
        }
    }
}

impl Forms {
    /// The form of `value` after `chain`.
    pub(super) fn form(
        &mut self,
        chains: &Chains,
        data: &Data,
        value: ValueId,
        chain: ChainId,
    ) -> Result<FormId, Failure> {
        let mut form = self.raw(data, value);
        if chains.may_change(chain, self.all[form.0 as usize].alphabet) {
            for step in chains.steps(chain) {
                form = self.step(chains, data, form, *step)?;
            }
        }
        Ok(form)
    }

    /// The bytes of a form.
    pub(super) fn bytes<'a>(&'a self, data: &'a Data, form: FormId) -> &'a [u8] {
        self.all[form.0 as usize].bytes.get(data)
    }

    /// The checks that a form may match.
    pub(super) fn checks(&mut self, data: &Data, filter: &Filter, form: FormId) -> &[u64] {
        let start = self.scan(data, filter, form);
        &self.checks[start..][..filter.words()]
    }

    /// Where the checks that a form may match are.
    fn scan(&mut self, data: &Data, filter: &Filter, form: FormId) -> usize {
        self.units += 1;
        let words = filter.words();
        let Form { bytes, alphabet, checks, .. } = &mut self.all[form.0 as usize];
        if *checks == NONE {
            *checks = self.checks.len() as u32;
            self.checks.resize(self.checks.len() + words, 0);
            self.units += pass(bytes.get(data).len());
            filter.scan(bytes.get(data), *alphabet, &mut self.checks[*checks as usize..]);
        }
        *checks as usize
    }

    /// Adds to `found` the checks of `links` that `value` may match in the forms in which those that look at `shown`, the
    /// program's `index`th, see it.
    pub(super) fn walk(
        &mut self,
        chains: &Chains,
        data: &Data,
        filter: &Filter,
        (index, shown, links): (u32, &Shown, &[u64]),
        value: ValueId,
        found: &mut [u64],
    ) -> Result<(), Failure> {
        self.units += 1;
        let form = self.raw(data, value);
        let mut known = self.all[form.0 as usize].walk;
        while let Some(walked) = self.walks.get(known as usize) {
            if walked.shown == index {
                unite(found, &self.found[walked.found..]);
                return Ok(());
            }
            known = walked.next;
        }
        let start = self.found.len();
        self.found.resize(start + found.len(), 0);
        self.walk_from(chains, data, filter, (&shown.walk, links), form, start)?;
        let next = std::mem::replace(&mut self.all[form.0 as usize].walk, self.walks.len() as u32);
        self.walks.push(Walked { shown: index, found: start, next });
        unite(found, &self.found[start..]);
        Ok(())
    }

    fn walk_from(
        &mut self,
        chains: &Chains,
        data: &Data,
        filter: &Filter,
        (walk, links): (&Walk, &[u64]),
        root: FormId,
        start: usize,
    ) -> Result<(), Failure> {
        self.path.clear();
        self.path.push(root);
        let mut node = 0;
        while let Some(Node { step, depth, touches, end }) = walk.nodes.get(node) {
            if !meets(walk.subtree(node), links) {
                node = *end;
                continue;
            }
            let above = self.path[depth.saturating_sub(1)];
            let changes = touches.is_none_or(|touches| touches.meets(self.all[above.0 as usize].alphabet));
            let (form, asked, next) = if changes {
                (self.step(chains, data, above, *step)?, walk.own(node), node + 1)
            } else {
                (above, walk.subtree(node), *end)
            };
            self.path.truncate(*depth);
            self.path.push(form);
            let may = self.scan(data, filter, form);
            let may = &self.checks[may..][..links.len()];
            let found = self.found[start..].iter_mut().zip(links);
            found
                .zip(asked.iter().zip(may))
                .for_each(|((found, link), (asked, may))| *found |= link & asked & may);
            node = next;
        }
        Ok(())
    }

    /// Takes note of the transformations of a value of `len` bytes that is not kept.
    pub(super) fn charge_steps(&mut self, chains: &Chains, len: usize, chain: ChainId) {
        self.units += pass(len) * chains.steps(chain).len() as u64;
    }

    /// Units of work done since this was last asked.
    pub(super) fn take_units(&mut self) -> u64 {
        std::mem::take(&mut self.units)
    }

    fn raw(&mut self, data: &Data, value: ValueId) -> FormId {
        if self.raw.len() <= value.index() {
            self.raw.resize(data.len(), None);
        }
        if let Some(form) = self.raw[value.index()] {
            return form;
        }
        let form = self.intern(data, Bytes::Value(value));
        self.raw[value.index()] = Some(form);
        form
    }

    /// The form that `step` leads to from `form`.
    fn step(
        &mut self,
        chains: &Chains,
        data: &Data,
        form: FormId,
        step: Transformation,
    ) -> Result<FormId, Failure> {
        let Form { bytes, alphabet, edge, .. } = &self.all[form.0 as usize];
        if step.touches().is_some_and(|touches| !touches.meets(*alphabet)) {
            return Ok(form);
        }
        let mut known = *edge;
        while let Some(edge) = self.edges.get(known as usize) {
            if edge.step == step {
                return Ok(edge.to);
            }
            known = edge.next;
        }
        self.units += pass(bytes.get(data).len());
        let to = match chains.apply(step, bytes.get(data)) {
            Cow::Borrowed(_) => form,
            Cow::Owned(bytes) => {
                self.changed_bytes += bytes.len();
                if self.changed_bytes > limits::TRANSFORMED_BYTES {
                    return Err(Failure::Limit("bytes of transformed values"));
                }
                self.intern(data, Bytes::Changed(bytes))
            }
        };
        let next = std::mem::replace(&mut self.all[form.0 as usize].edge, self.edges.len() as u32);
        self.edges.push(Edge { step, to, next });
        Ok(to)
    }

    /// The form with these bytes, which is made if there is none.
    fn intern(&mut self, data: &Data, bytes: Bytes) -> FormId {
        if self.index.len() < 2 * (self.all.len() + 1) {
            self.grow_index();
        }
        let text = bytes.get(data);
        // Hashed, and looked through for its alphabet.
        self.units += 2 * pass(text.len());
        let hash = self.hasher.of(text);
        let mut free = None;
        for place in places(hash, self.index.len()) {
            let Some(other) = self.all.get(self.index[place] as usize) else {
                free = Some(place);
                break;
            };
            if other.hash == hash && other.bytes.get(data) == text {
                return FormId(self.index[place]);
            }
        }
        let form = self.all.len() as u32;
        if let Some(place) = free {
            self.index[place] = form;
        }
        let alphabet = Alphabet::of(text);
        self.all.push(Form { bytes, hash, alphabet, edge: NONE, walk: NONE, checks: NONE });
        FormId(form)
    }

    fn grow_index(&mut self) {
        let size = (2 * self.index.len()).max(INDEX_PLACES);
        self.index.clear();
        self.index.resize(size, NONE);
        for (form, number) in self.all.iter().zip(0..) {
            if let Some(place) = places(form.hash, size).find(|place| self.index[*place] == NONE) {
                self.index[place] = number;
            }
        }
    }

    /// Forgets all forms, and keeps the room that they took.
    pub(super) fn clear(&mut self) {
        self.all.clear();
        self.raw.clear();
        self.index.fill(NONE);
        self.edges.clear();
        self.checks.clear();
        self.walks.clear();
        self.found.clear();
        self.made.clear();
        self.changed_bytes = 0;
        self.units = 0;
    }

    /// Bytes of room that is kept.
    pub(super) fn room(&self) -> usize {
        self.all.capacity() * size_of::<Form>()
            + self.made.room()
            + (self.checks.capacity() + self.found.capacity()) * size_of::<u64>()
    }
}

fn places(hash: u64, size: usize) -> impl Iterator<Item = usize> {
    (hash as usize..).take(PROBES).map(move |place| place & (size - 1))
}

/// `bytes` after `chain`, for values that are not kept.
pub(super) fn transform<'a>(chains: &Chains, bytes: &'a [u8], chain: ChainId) -> Cow<'a, [u8]> {
    chains.steps(chain).iter().fold(Cow::Borrowed(bytes), |bytes, step| match bytes {
        Cow::Borrowed(bytes) => chains.apply(*step, bytes),
        Cow::Owned(bytes) => Cow::Owned(chains.apply(*step, &bytes).into_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transform::Transformation::{Lowercase, UrlDecode};

    #[test]
    fn forms_with_the_same_bytes_are_one() {
        let mut chains = Chains::default();
        let lower = chains.intern(&[Lowercase]);
        let both = chains.intern(&[Lowercase, UrlDecode]);
        let mut data = Data::new();
        let value = data.keep(b"A%41").unwrap();
        let plain = data.keep(b"plain").unwrap();
        let again = data.keep(b"a%41").unwrap();
        let mut forms = Forms::default();
        let mut form = |value, chain| forms.form(&chains, &data, value, chain).unwrap();
        let (raw, last) = (form(value, ChainId::RAW), form(value, both));
        assert_eq!(form(value, both), last);
        assert_eq!(form(plain, both), form(plain, ChainId::RAW));
        assert_eq!(form(again, ChainId::RAW), form(value, lower));
        assert_eq!((forms.bytes(&data, raw), forms.bytes(&data, last)), (&b"A%41"[..], &b"aA"[..]));
        assert_eq!(forms.all.len(), 4);
        assert_eq!(*transform(&chains, b"A%41", both), *b"aA");
    }

    #[test]
    fn thousands_of_forms_are_found_again() {
        let mut data = Data::new();
        let mut forms = Forms::default();
        for _ in 0..2 {
            for number in 0..5_000 {
                let value = data.keep(format!("value {number}").as_bytes()).unwrap();
                forms.raw(&data, value);
            }
        }
        // Few, if any, were not found because all their places were taken.
        assert!((5_000..5_100).contains(&forms.all.len()), "{}", forms.all.len());
        forms.clear();
        let value = data.keep(b"value 1").unwrap();
        assert_eq!(forms.raw(&data, value), FormId(0));
    }
}
