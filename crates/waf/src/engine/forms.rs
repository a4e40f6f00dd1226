//! Values after transformation, each made, looked through and kept once per transaction.
//!
//! Forms are a graph: a transformation leads from one to another, and forms with the same bytes are one, whatever
//! values and transformations they came from. Most values look the same after every chain, which their alphabet tells
//! without a look at them.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use super::Failure;
use super::data::{Data, ValueId};
use super::work::pass;
use crate::alphabet::Alphabet;
use crate::filter::Filter;
use crate::limits;
use crate::program::{ChainId, Chains};
use crate::transform::Transformation;

/// A form of one or more values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FormId(u32);

/// The forms that the transaction's values have taken.
#[derive(Debug, Default)]
pub(super) struct Forms {
    all: Vec<Form>,
    /// Per value, its own form.
    raw: Vec<Option<FormId>>,
    /// Per hash of its bytes, a form. Two forms of one hash are kept apart: that costs time and nothing else.
    by_hash: HashMap<u64, FormId>,
    hasher: RandomState,
    /// Per form that was scanned, the checks that it may match.
    checks: Vec<u64>,
    changed_bytes: usize,
    /// Work done since someone asked: see [`work`](super::work).
    units: u64,
}

#[derive(Debug)]
struct Form {
    bytes: Bytes,
    alphabet: Alphabet,
    /// Where the transformations seen so far lead.
    next: Vec<(Transformation, FormId)>,
    /// Where its checks are, once it was scanned.
    checks: Option<usize>,
}

#[derive(Debug)]
enum Bytes {
    /// A value as it came.
    Value(ValueId),
    Changed(Box<[u8]>),
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
                form = self.step(data, form, *step)?;
            }
        }
        Ok(form)
    }

    /// The bytes that occur in `value`.
    pub(super) fn alphabet(&mut self, data: &Data, value: ValueId) -> Alphabet {
        let form = self.raw(data, value);
        self.all[form.0 as usize].alphabet
    }

    /// The bytes of a form.
    pub(super) fn bytes<'a>(&'a self, data: &'a Data, form: FormId) -> &'a [u8] {
        self.all[form.0 as usize].bytes.get(data)
    }

    /// The checks that a form may match.
    pub(super) fn checks(&mut self, data: &Data, filter: &Filter, form: FormId) -> &[u64] {
        self.units += 1;
        let Form { bytes, alphabet, checks, .. } = &mut self.all[form.0 as usize];
        let words = filter.words();
        let start = *checks.get_or_insert_with(|| {
            let start = self.checks.len();
            self.checks.resize(start + words, 0);
            self.units += pass(bytes.get(data).len());
            filter.scan(bytes.get(data), *alphabet, &mut self.checks[start..]);
            start
        });
        &self.checks[start..start + words]
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

    /// The form that `transformation` leads to from `form`.
    fn step(&mut self, data: &Data, form: FormId, transformation: Transformation) -> Result<FormId, Failure> {
        let Form { bytes, alphabet, next, .. } = &self.all[form.0 as usize];
        if transformation.touches().is_some_and(|touches| !touches.meets(*alphabet)) {
            return Ok(form);
        }
        if let Some((_, known)) = next.iter().find(|(known, _)| *known == transformation) {
            return Ok(*known);
        }
        self.units += pass(bytes.get(data).len());
        let after = match transformation.apply(bytes.get(data)) {
            Cow::Borrowed(_) => form,
            Cow::Owned(bytes) => {
                self.changed_bytes += bytes.len();
                if self.changed_bytes > limits::TRANSFORMED_BYTES {
                    return Err(Failure::Limit("bytes of transformed values"));
                }
                self.intern(data, Bytes::Changed(bytes.into()))
            }
        };
        self.all[form.0 as usize].next.push((transformation, after));
        Ok(after)
    }

    /// The form with these bytes, which is made if there is none.
    fn intern(&mut self, data: &Data, bytes: Bytes) -> FormId {
        let text = bytes.get(data);
        // Hashed, and looked through for its alphabet.
        self.units += 2 * pass(text.len());
        let next = FormId(self.all.len() as u32);
        let same = *self.by_hash.entry(self.hasher.hash_one(text)).or_insert(next);
        if same != next && self.bytes(data, same) == text {
            return same;
        }
        let alphabet = Alphabet::of(text);
        self.all.push(Form { bytes, alphabet, next: Vec::new(), checks: None });
        next
    }
}

/// `bytes` after `chain`, for values that are not kept.
pub(super) fn transform<'a>(chains: &Chains, bytes: &'a [u8], chain: ChainId) -> Cow<'a, [u8]> {
    chains.steps(chain).iter().fold(Cow::Borrowed(bytes), |bytes, step| match bytes {
        Cow::Borrowed(bytes) => step.apply(bytes),
        Cow::Owned(bytes) => Cow::Owned(step.apply(&bytes).into_owned()),
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
}
