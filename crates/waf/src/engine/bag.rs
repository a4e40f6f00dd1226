//! Variables that rules set: TX and the named collections.

use std::collections::HashMap;

use super::Failure;
use crate::limits;

/// The value of a variable. Scores stay numbers: most are added up and compared, and never shown.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Value {
    Number(i64),
    Text(Vec<u8>),
}

impl Value {
    /// The value that `text` stands for: a number where it reads back as the same text.
    pub(super) fn new(text: Vec<u8>) -> Self {
        let number = std::str::from_utf8(&text).ok().and_then(|text| text.parse::<i64>().ok());
        match number.filter(|number| number.to_string().as_bytes() == text) {
            Some(number) => Self::Number(number),
            None => Self::Text(text),
        }
    }

    pub(super) fn number(&self) -> i64 {
        match self {
            Self::Number(number) => *number,
            Self::Text(text) => number(text),
        }
    }
}

/// The number at the start of `text`, as C's `atoi` reads it; 0 if there is none.
pub(super) fn number(text: &[u8]) -> i64 {
    let text = text.trim_ascii_start();
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let magnitude = digits
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .fold(0_i64, |sum, byte| sum.saturating_mul(10).saturating_add(i64::from(byte - b'0')));
    if negative { -magnitude } else { magnitude }
}

/// Variables by name, in the order in which they were first set.
#[derive(Debug, Default)]
pub(super) struct Bag {
    index: HashMap<Box<[u8]>, usize>,
    members: Vec<(Box<[u8]>, Option<Value>)>,
}

impl Bag {
    /// The value of `name`, in lower case.
    pub(super) fn get(&self, name: &[u8]) -> Option<&Value> {
        self.members[*self.index.get(name)?].1.as_ref()
    }

    /// Sets or, with `None`, deletes `name`, in lower case.
    pub(super) fn set(&mut self, name: &[u8], value: Option<Value>) -> Result<(), Failure> {
        if let Some(&index) = self.index.get(name) {
            self.members[index].1 = value;
        } else if value.is_some() {
            if self.members.len() >= limits::DYNAMIC_VARIABLES {
                return Err(Failure::Limit("variables set by rules"));
            }
            self.index.insert(name.into(), self.members.len());
            self.members.push((name.into(), value));
        }
        Ok(())
    }

    /// All that are set.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &Value)> {
        self.members.iter().filter_map(|(name, value)| Some((&**name, value.as_ref()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_c_reads_them() {
        for (text, value) in
            [("12abc", 12), (" -5", -5), ("+3", 3), ("", 0), ("x", 0), ("99999999999999999999", i64::MAX)]
        {
            assert_eq!(number(text.as_bytes()), value, "{text}");
        }
    }

    #[test]
    fn only_a_number_that_reads_back_is_one() {
        assert_eq!(Value::new(b"-12".to_vec()), Value::Number(-12));
        for text in ["012", "+1", "-0", "", "1 ", "99999999999999999999"] {
            assert_eq!(Value::new(text.into()), Value::Text(text.into()), "{text}");
        }
    }

    #[test]
    fn a_deleted_variable_is_gone_and_may_come_back() {
        let mut bag = Bag::default();
        bag.set(b"a", Some(Value::Number(1))).unwrap();
        bag.set(b"a", None).unwrap();
        assert_eq!((bag.get(b"a"), bag.iter().count()), (None, 0));
        bag.set(b"a", Some(Value::Text(b"x".to_vec()))).unwrap();
        assert_eq!(bag.get(b"a"), Some(&Value::Text(b"x".to_vec())));
    }

    #[test]
    fn variables_are_bounded() {
        let mut bag = Bag::default();
        for number in 0..limits::DYNAMIC_VARIABLES {
            bag.set(number.to_string().as_bytes(), Some(Value::Number(1))).unwrap();
        }
        assert!(bag.set(b"x", Some(Value::Number(1))).is_err());
    }
}
