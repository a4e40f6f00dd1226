//! Texts by where they stand: most are looked at or passed by, and only what someone reads is written out.

use std::borrow::Cow;

use super::bag::Value;
use super::data::{Data, ValueId};
use super::forms::{FormId, Forms};
use super::made::Made;
use crate::variable::Variable;

/// A text of a transaction over a rule set that lives for `'p`.
#[derive(Debug, Clone)]
pub(super) enum Text<'p> {
    /// A value of request or response.
    Kept(ValueId),
    /// A form of one.
    Form(FormId),
    /// A text of the rule set.
    Fixed(&'p [u8]),
    /// One that rules made.
    Made(Made),
    /// A number, in decimal digits.
    Number(i64),
    Own(Vec<u8>),
}

impl Text<'_> {
    pub(super) fn bytes<'a>(&'a self, data: &'a Data, forms: &'a Forms) -> Cow<'a, [u8]> {
        match self {
            Self::Kept(value) => Cow::Borrowed(data.get(*value)),
            Self::Form(form) => Cow::Borrowed(forms.bytes(data, *form)),
            Self::Fixed(text) => Cow::Borrowed(text),
            Self::Made(text) => Cow::Borrowed(forms.made.get(*text)),
            Self::Number(number) => Cow::Owned(number.to_string().into_bytes()),
            Self::Own(text) => Cow::Borrowed(text),
        }
    }
}

impl Text<'_> {
    /// How many bytes it has.
    pub(super) fn len(&self, data: &Data, forms: &Forms) -> usize {
        match self {
            Self::Kept(value) => data.get(*value).len(),
            Self::Form(form) => forms.bytes(data, *form).len(),
            Self::Fixed(text) => text.len(),
            Self::Made(text) => text.len(),
            Self::Number(number) => {
                number.unsigned_abs().checked_ilog10().unwrap_or(0) as usize + 1 + usize::from(*number < 0)
            }
            Self::Own(text) => text.len(),
        }
    }
}

impl<'p> From<Value<'p>> for Text<'p> {
    fn from(value: Value<'p>) -> Self {
        match value {
            Value::Number(number) => Self::Number(number),
            Value::Made(text) => Self::Made(text),
            Value::Fixed(text) => Self::Fixed(text),
        }
    }
}

/// A value under its name: one to be judged, or one that matched, in the form that did.
#[derive(Debug, Clone)]
pub(super) struct Named<'p> {
    pub(super) variable: Variable,
    /// The member's name; `None` for scalars and counts of whole collections.
    pub(super) key: Option<Text<'p>>,
    pub(super) count: bool,
    pub(super) value: Text<'p>,
}

impl Named<'_> {
    /// The full name, such as `ARGS:q`.
    pub(super) fn name(&self, data: &Data, forms: &Forms) -> Vec<u8> {
        let mut name = Vec::new();
        if self.count {
            name.push(b'&');
        }
        name.extend_from_slice(self.variable.name().as_bytes());
        if let Some(key) = &self.key {
            name.push(b':');
            name.extend_from_slice(&key.bytes(data, forms));
        }
        name
    }
}
