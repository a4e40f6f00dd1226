//! Values after transformation, each computed once per transaction.

use std::borrow::Cow;

use super::Failure;
use super::data::{Data, ValueId};
use crate::limits;
use crate::program::{ChainId, Chains};

/// The forms that the transaction's values have taken.
#[derive(Debug, Default)]
pub(super) struct Forms {
    /// Per value, per chain: what is known.
    rows: Vec<Option<Box<[Form]>>>,
    changed: Vec<Box<[u8]>>,
    changed_bytes: usize,
}

/// What a value looks like after a chain of transformations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Form {
    #[default]
    Unknown,
    /// As it came.
    Raw,
    /// Index into the changed forms.
    Changed(u32),
}

impl Forms {
    /// The form of `value` after `chain`.
    pub(super) fn form(
        &mut self,
        chains: &Chains,
        data: &Data,
        value: ValueId,
        chain: ChainId,
    ) -> Result<Form, Failure> {
        let Some((parent, transformation)) = chains.step(chain) else { return Ok(Form::Raw) };
        if let Some(Some(row)) = self.rows.get(value.index()) {
            match row[chain.0 as usize] {
                Form::Unknown => {}
                known => return Ok(known),
            }
        }
        let before = self.form(chains, data, value, parent)?;
        let after = match transformation.apply(self.bytes(data, value, before)) {
            Cow::Borrowed(_) => before,
            Cow::Owned(bytes) => {
                self.changed_bytes += bytes.len();
                if self.changed_bytes > limits::TRANSFORMED_BYTES {
                    return Err(Failure::Limit("bytes of transformed values"));
                }
                self.changed.push(bytes.into());
                Form::Changed(self.changed.len() as u32 - 1)
            }
        };
        if self.rows.len() <= value.index() {
            self.rows.resize(data.len(), None);
        }
        let row = self.rows[value.index()].get_or_insert_with(|| vec![Form::Unknown; chains.len()].into());
        row[chain.0 as usize] = after;
        Ok(after)
    }

    /// The bytes of a form of `value`.
    pub(super) fn bytes<'a>(&'a self, data: &'a Data, value: ValueId, form: Form) -> &'a [u8] {
        match form {
            Form::Changed(index) => &self.changed[index as usize],
            Form::Raw | Form::Unknown => data.get(value),
        }
    }
}

/// `bytes` after `chain`, for values that are not kept.
pub(super) fn transform<'a>(chains: &Chains, bytes: &'a [u8], chain: ChainId) -> Cow<'a, [u8]> {
    let Some((parent, transformation)) = chains.step(chain) else { return Cow::Borrowed(bytes) };
    match transform(chains, bytes, parent) {
        Cow::Borrowed(bytes) => transformation.apply(bytes),
        Cow::Owned(bytes) => Cow::Owned(transformation.apply(&bytes).into_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transform::Transformation::{Lowercase, UrlDecode};

    #[test]
    fn a_form_is_computed_once_and_shared_while_unchanged() {
        let mut chains = Chains::default();
        let lower = chains.intern(&[Lowercase]);
        let both = chains.intern(&[Lowercase, UrlDecode]);
        assert_eq!(chains.intern(&[Lowercase]), lower);
        let mut data = Data::new();
        let value = data.keep(b"A%41").unwrap();
        let plain = data.keep(b"plain").unwrap();
        let mut forms = Forms::default();
        let form = forms.form(&chains, &data, value, both).unwrap();
        assert_eq!(forms.bytes(&data, value, form), b"aA");
        assert_eq!(forms.form(&chains, &data, value, both).unwrap(), form);
        assert_eq!(forms.changed.len(), 2);
        assert_eq!(forms.form(&chains, &data, plain, both).unwrap(), Form::Raw);
        assert_eq!(*transform(&chains, b"A%41", both), *b"aA");
    }
}
