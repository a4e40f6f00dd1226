//! What is known of the request and the response: bytes kept once, values as ranges of them.

use std::ops::Range;

use super::Failure;
use crate::body::Arguments;
use crate::limits;
use crate::variable::Variable;

/// Values and their bytes that an ordinary transaction has: room made at once, not limits.
const COMMON_VALUES: usize = 128;
const COMMON_BYTES: usize = 8 << 10;

/// A value of the transaction. Values are never changed or removed, so an id stands for the same bytes for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ValueId(u32);

impl ValueId {
    /// The empty value, which every transaction has.
    pub(super) const EMPTY: Self = Self(0);

    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

/// A member of a collection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Member {
    pub(super) key: ValueId,
    pub(super) value: ValueId,
}

/// Where members come from. Several variables may look at one group: values, names, or both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Group {
    ArgsGet,
    ArgsPost,
    RequestHeaders,
    RequestCookies,
    ResponseHeaders,
    Files,
    FileSizes,
    FileContents,
    PartHeaders,
    PartNames,
    PartFilenames,
    Xml,
}

impl Group {
    pub(super) const COUNT: usize = Self::Xml as usize + 1;
}

/// All values of one transaction.
#[derive(Debug)]
pub(super) struct Data {
    bytes: Vec<u8>,
    values: Vec<Range<usize>>,
    groups: [Vec<Member>; Group::COUNT],
    scalars: [Option<ValueId>; Variable::COUNT],
    /// Where values of a multipart body lie in it.
    placed: Vec<(ValueId, Range<usize>)>,
}

impl Data {
    pub(super) fn new() -> Self {
        let mut values = Vec::with_capacity(COMMON_VALUES);
        values.push(0..0);
        Self {
            bytes: Vec::with_capacity(COMMON_BYTES),
            values,
            groups: [const { Vec::new() }; Group::COUNT],
            scalars: [None; Variable::COUNT],
            placed: Vec::new(),
        }
    }

    /// Forgets everything, and keeps the room that it took.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.values.truncate(1);
        self.groups.iter_mut().for_each(Vec::clear);
        self.placed.clear();
        self.scalars = [None; Variable::COUNT];
    }

    /// Bytes of room that is kept.
    pub(super) fn room(&self) -> usize {
        self.bytes.capacity() + self.values.capacity() * size_of::<Range<usize>>()
    }

    /// Keeps a value.
    pub(super) fn keep(&mut self, value: &[u8]) -> Result<ValueId, Failure> {
        if value.is_empty() {
            return Ok(ValueId::EMPTY);
        }
        if self.values.len() >= limits::VALUES {
            return Err(Failure::Limit("values of a transaction"));
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(value);
        self.values.push(start..self.bytes.len());
        Ok(ValueId(self.values.len() as u32 - 1))
    }

    /// Keeps a member of a collection.
    pub(super) fn add(&mut self, group: Group, key: &[u8], value: &[u8]) -> Result<(), Failure> {
        let member = Member { key: self.keep(key)?, value: self.keep(value)? };
        self.groups[group as usize].push(member);
        Ok(())
    }

    /// Keeps a member of a multipart body, whose name and value lie in these places of it.
    pub(super) fn add_placed(
        &mut self,
        group: Group,
        (key, key_place): (&[u8], Option<Range<usize>>),
        (value, value_place): (&[u8], Option<Range<usize>>),
    ) -> Result<(), Failure> {
        let member = Member { key: self.keep(key)?, value: self.keep(value)? };
        self.groups[group as usize].push(member);
        let places = [(member.key, key_place), (member.value, value_place)];
        self.placed.extend(places.into_iter().filter_map(|(id, place)| Some((id, place?))));
        Ok(())
    }

    /// Where a value lies in the multipart body that it was read from.
    pub(super) fn place_in_body(&self, value: ValueId) -> Option<&Range<usize>> {
        self.placed.iter().find(|(placed, _)| *placed == value).map(|(_, place)| place)
    }

    /// Keeps all of `arguments`.
    pub(super) fn add_all(&mut self, group: Group, arguments: &Arguments<'_>) -> Result<(), Failure> {
        arguments.list.iter().try_for_each(|argument| self.add(group, &argument.name, &argument.value))
    }

    /// Sets `ARGS_COMBINED_SIZE` to what the arguments known by now amount to.
    pub(super) fn count_arguments(&mut self) -> Result<(), Failure> {
        let arguments = [Group::ArgsGet, Group::ArgsPost].into_iter().flat_map(|group| self.members(group));
        let bytes: usize =
            arguments.map(|member| self.get(member.key).len() + self.get(member.value).len()).sum();
        self.set_number(Variable::ArgsCombinedSize, bytes as u64)
    }

    /// Sets a scalar variable.
    pub(super) fn set(&mut self, variable: Variable, value: &[u8]) -> Result<(), Failure> {
        let id = self.keep(value)?;
        self.scalars[variable as usize] = Some(id);
        Ok(())
    }

    /// Sets a scalar variable to a number.
    pub(super) fn set_number(&mut self, variable: Variable, value: u64) -> Result<(), Failure> {
        self.set(variable, value.to_string().as_bytes())
    }

    /// Sets a scalar variable to 1 or 0.
    pub(super) fn set_flag(&mut self, variable: Variable, on: bool) -> Result<(), Failure> {
        self.set(variable, if on { b"1" } else { b"0" })
    }

    /// Makes `variable` stand for the same value as `other`.
    pub(super) fn alias(&mut self, variable: Variable, other: Variable) {
        self.scalars[variable as usize] = self.scalars[other as usize];
    }

    pub(super) fn get(&self, value: ValueId) -> &[u8] {
        &self.bytes[self.values[value.index()].clone()]
    }

    pub(super) fn members(&self, group: Group) -> &[Member] {
        &self.groups[group as usize]
    }

    /// A scalar variable; one that was never set is empty.
    pub(super) fn scalar(&self, variable: Variable) -> ValueId {
        self.scalars[variable as usize].unwrap_or(ValueId::EMPTY)
    }

    /// Bytes of all values.
    pub(super) fn bytes_len(&self) -> usize {
        self.bytes.len()
    }

    /// How many values there are: ids are below it.
    pub(super) fn len(&self) -> usize {
        self.values.len()
    }
}
