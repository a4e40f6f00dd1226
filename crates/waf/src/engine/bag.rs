//! Variables that rules set: TX and the named collections.

use std::collections::HashMap;

use super::Failure;
use super::made::{Made, MadeTexts};
use crate::hash::QuickHash;
use crate::limits;

/// The value of a variable. Scores stay numbers: most are added up and compared, and never shown.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value<'p> {
    Number(i64),
    Made(Made),
    /// A text of the rule set.
    Fixed(&'p [u8]),
}

impl Value<'_> {
    /// Its text, as far as it is not a number.
    pub(super) fn text<'a>(&'a self, made: &'a MadeTexts) -> Option<&'a [u8]> {
        match self {
            Self::Number(_) => None,
            Self::Made(text) => Some(made.get(*text)),
            Self::Fixed(text) => Some(text),
        }
    }

    pub(super) fn number(&self, made: &MadeTexts) -> i64 {
        match self {
            Self::Number(number) => *number,
            Self::Made(text) => number(made.get(*text)),
            Self::Fixed(text) => number(text),
        }
    }
}

/// The number that `text` is, where it reads back as the same text.
pub(super) fn exact_number(text: &[u8]) -> Option<i64> {
    // Most texts are told from numbers by their first byte.
    let (b'-' | b'0'..=b'9') = text.first()? else { return None };
    let number = std::str::from_utf8(text).ok()?.parse::<i64>().ok()?;
    (number.to_string().as_bytes() == text).then_some(number)
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
pub(super) struct Bag<'p> {
    hash: QuickHash,
    /// By the hash of a name, the last variable with it.
    index: HashMap<u64, u32, QuickHash>,
    members: Vec<Member<'p>>,
}

#[derive(Debug)]
struct Member<'p> {
    name: Made,
    value: Option<Value<'p>>,
    /// Another one whose name has the same hash.
    next: Option<u32>,
}

impl<'p> Bag<'p> {
    /// The value of `name`, in lower case.
    pub(super) fn get(&self, name: &[u8], made: &MadeTexts) -> Option<Value<'p>> {
        self.members[self.find(self.hash.of(name), name, made)?].value
    }

    /// Sets or, with `None`, deletes `name`, in lower case.
    pub(super) fn set(
        &mut self,
        name: &[u8],
        value: Option<Value<'p>>,
        made: &mut MadeTexts,
    ) -> Result<(), Failure> {
        let hash = self.hash.of(name);
        if let Some(known) = self.find(hash, name, made) {
            self.members[known].value = value;
        } else if value.is_some() {
            if self.members.len() >= limits::DYNAMIC_VARIABLES {
                return Err(Failure::Limit("variables set by rules"));
            }
            let next = self.index.insert(hash, self.members.len() as u32);
            self.members.push(Member { name: made.keep(name)?, value, next });
        }
        Ok(())
    }

    /// All that are set.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Made, Value<'p>)> {
        self.members.iter().filter_map(|member| Some((member.name, member.value?)))
    }

    /// Forgets all, and keeps the room that they took.
    pub(super) fn recycle<'q>(mut self) -> Bag<'q> {
        self.index.clear();
        Bag { hash: self.hash, index: self.index, members: recycle(self.members) }
    }

    /// Bytes of room that is kept.
    pub(super) fn room(&self) -> usize {
        self.members.capacity() * size_of::<Member<'_>>() + self.index.capacity() * size_of::<(u64, u32)>()
    }

    fn find(&self, hash: u64, name: &[u8], made: &MadeTexts) -> Option<usize> {
        let mut place = self.index.get(&hash).copied();
        while let Some(known) = place {
            let member = &self.members[known as usize];
            if made.get(member.name) == name {
                return Some(known as usize);
            }
            place = member.next;
        }
        None
    }
}

/// An empty list in the memory of `list`, for items of the same size: the standard library collects what it takes out of
/// a list in place.
pub(super) fn recycle<A, B>(mut list: Vec<A>) -> Vec<B> {
    list.clear();
    list.into_iter().map_while(|_| None).collect()
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
        assert_eq!(exact_number(b"-12"), Some(-12));
        for text in ["012", "+1", "-0", "", "1 ", "-", "99999999999999999999"] {
            assert_eq!(exact_number(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_deleted_variable_is_gone_and_may_come_back() {
        let (mut bag, mut made) = (Bag::default(), MadeTexts::default());
        bag.set(b"a", Some(Value::Number(1)), &mut made).unwrap();
        bag.set(b"a", None, &mut made).unwrap();
        assert!(bag.get(b"a", &made).is_none() && bag.iter().next().is_none());
        bag.set(b"a", Some(Value::Fixed(b"x")), &mut made).unwrap();
        assert!(matches!(bag.get(b"a", &made), Some(Value::Fixed(b"x"))));
        let bag = bag.recycle();
        assert!(bag.get(b"a", &made).is_none());
    }

    #[test]
    fn variables_are_bounded() {
        let (mut bag, mut made) = (Bag::default(), MadeTexts::default());
        for number in 0..limits::DYNAMIC_VARIABLES {
            bag.set(number.to_string().as_bytes(), Some(Value::Number(1)), &mut made).unwrap();
        }
        assert!(bag.set(b"x", Some(Value::Number(1)), &mut made).is_err());
        assert!(matches!(bag.get(b"7", &made), Some(Value::Number(1))));
    }
}
