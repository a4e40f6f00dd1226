//! Persistent collections: what rules remember from one transaction to the next (`initcol`, `setsid`, `setuid`,
//! `setrsc`), and the seam to whatever remembers it.
//!
//! The engine keeps no state and does no IO: it asks a [`Collections`] that the caller hands to
//! [`Transaction::with_collections`](crate::Transaction::with_collections), and that belongs to one tenant.
//! [`ProcessCollections`] keeps them in memory. A store that nodes share fits the same seam.
//!
//! A transaction reads an entry once, when a rule binds the collection to a key, and sees from then on what it read and
//! its own changes. Each change goes to the store at once and as what it means ("one more"), never as its result, so
//! that transactions that race do not undo each other.

mod process;
mod shard;

use std::fmt;

use crate::limits;
use crate::operator::number;
use crate::variable::Variable;

pub use process::{Bounds, ProcessCollections, TenantCollections, Usage};

/// The collections of one tenant. What implements it is scoped to that tenant already: no argument names one, so that
/// no mistake of a caller can reach another's.
///
/// Both operations are on a request's path. They must not block on IO and not wait for longer than another such
/// operation takes. A store that is shared by nodes answers from a copy on its node and exchanges changes behind it.
///
/// What rules may rely on:
///
/// - Changes of one variable take effect one after another. Of `n` [`Change::Add`] in one process each gets another
///   sum, and none is lost, as long as the entry lives: limits, not races, end entries.
/// - A store that several nodes share loses no addition either, but a node sees the others' only after a lag that the
///   store names; until then its sums are too low by what it has not seen. Of two [`Change::Set`] that cross within the
///   lag, one wins, the same on all nodes.
/// - [`load`](Self::load) shows every change of this process that was made before it.
/// - Nothing survives the process unless the store says so.
pub trait Collections: fmt::Debug + Send + Sync {
    /// The entry `key` at `now_s` (seconds since 1970) without the variables that have expired; `None` if there is
    /// none. Reading makes no entry.
    fn load(&self, key: &EntryKey, now_s: u64) -> Option<Entry>;

    /// Changes the entry `key`, which [`Change::Set`], [`Change::Add`] and [`Change::Timeout`] make if there is none,
    /// and puts off its end. Gives the number that [`Change::Add`] and [`Change::Decay`] arrived at; `None` for other
    /// changes, and for a decay of what is not there.
    ///
    /// The change has passed [`Change::check`].
    fn change(&self, key: &EntryKey, change: &Change<'_>, at: &Update) -> Result<Option<i64>, Excess>;
}

/// Which collection an entry belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `GLOBAL`.
    Global,
    /// `IP`.
    Ip,
    /// `RESOURCE`.
    Resource,
    /// `SESSION`.
    Session,
    /// `USER`.
    User,
}

impl Kind {
    /// The collection behind a variable; `None` for variables that are no persistent collection.
    pub(crate) fn of(variable: Variable) -> Option<Self> {
        match variable {
            Variable::Global => Some(Self::Global),
            Variable::Ip => Some(Self::Ip),
            Variable::Resource => Some(Self::Resource),
            Variable::Session => Some(Self::Session),
            Variable::User => Some(Self::User),
            _ => None,
        }
    }
}

/// The name of an entry within its tenant: collection, application (`SecWebAppId`) and key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EntryKey {
    bytes: Box<[u8]>,
    key_at: usize,
}

impl EntryKey {
    /// The entry of `key` in the collection `kind` of the application `app`, which is empty for rule sets that name
    /// none.
    pub fn new(kind: Kind, app: &str, key: &[u8]) -> Result<Self, Excess> {
        if key.len() > limits::COLLECTION_KEY_BYTES {
            return Err(Excess::Key);
        }
        let mut bytes = vec![kind as u8];
        bytes.extend_from_slice(&(app.len() as u32).to_be_bytes());
        bytes.extend_from_slice(app.as_bytes());
        let key_at = bytes.len();
        bytes.extend_from_slice(key);
        Ok(Self { bytes: bytes.into(), key_at })
    }

    /// The whole name: different for different entries, the same in every process.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The key alone, as rules gave it.
    pub fn key(&self) -> &[u8] {
        &self.bytes[self.key_at..]
    }
}

/// The value of a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A number, written as numbers are.
    Number(i64),
    /// Any other text.
    Text(Box<[u8]>),
}

impl Value {
    /// The number that it begins with, as C's `atoll` reads it.
    fn number(&self) -> i64 {
        match self {
            Self::Number(value) => *value,
            Self::Text(text) => number::value(text),
        }
    }
}

/// An entry as it was when it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When it was made: seconds since 1970.
    pub created_s: u64,
    /// When it last changed: seconds since 1970.
    pub updated_s: u64,
    /// How many transactions changed it.
    pub updates: u64,
    /// How long it lives after a change, in seconds.
    pub timeout_s: u64,
    /// Variables by name (in lower case), in the order in which they were made.
    pub variables: Vec<(Box<[u8]>, Value)>,
}

/// What a rule does to an entry. Names of variables are in lower case.
#[derive(Debug, Clone, Copy)]
pub enum Change<'a> {
    /// Gives a variable a value. When it expires stays as it was.
    Set {
        /// The variable.
        name: &'a [u8],
        /// Its value.
        value: &'a Value,
    },
    /// Adds to a variable, which counts as 0 if it is not there. Sums stop at the ends of the type.
    Add {
        /// The variable.
        name: &'a [u8],
        /// What is added.
        amount: i64,
    },
    /// Takes a variable away.
    Remove {
        /// The variable.
        name: &'a [u8],
    },
    /// Has a variable that is there end so many seconds from now, whatever happens to its value until then.
    Expire {
        /// The variable.
        name: &'a [u8],
        /// Seconds from now; 0 ends it at once.
        after_s: u64,
    },
    /// Takes `amount` from a variable for each full period of `every_s` since the last one, or since it rose from 0 or
    /// was set; not below 0.
    Decay {
        /// The variable.
        name: &'a [u8],
        /// What a period takes away.
        amount: u64,
        /// The period, in seconds; 0 is taken for 1.
        every_s: u64,
    },
    /// Says how long the entry lives after its last change, this one included.
    Timeout {
        /// Seconds.
        seconds: u64,
    },
}

impl Change<'_> {
    /// Whether name and value are within the limits.
    pub fn check(&self) -> Result<(), Excess> {
        let name = match self {
            Self::Set { name, .. }
            | Self::Add { name, .. }
            | Self::Remove { name }
            | Self::Expire { name, .. }
            | Self::Decay { name, .. } => name,
            Self::Timeout { .. } => &[][..],
        };
        if name.len() > limits::COLLECTION_NAME_BYTES {
            return Err(Excess::Name);
        }
        match self {
            Self::Set { value: Value::Text(text), .. } if text.len() > limits::COLLECTION_VALUE_BYTES => {
                Err(Excess::Value)
            }
            _ => Ok(()),
        }
    }
}

/// When and how a change is made.
#[derive(Debug, Clone, Copy)]
pub struct Update {
    /// The transaction's time: seconds since 1970.
    pub now_s: u64,
    /// How long an entry lives that this change makes (`SecCollectionTimeout`), in seconds.
    pub timeout_s: u64,
    /// Whether it is the transaction's first change of the entry, which counts as an update.
    pub is_first: bool,
}

/// What there is too much of: one of the `COLLECTION_` limits in [`limits`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Excess {
    /// Bytes of a key.
    Key,
    /// Bytes of a variable's name.
    Name,
    /// Bytes of a value.
    Value,
    /// Variables of an entry.
    Variables,
}

impl Excess {
    /// It in words.
    pub(crate) fn what(self) -> &'static str {
        match self {
            Self::Key => "bytes of a collection's key",
            Self::Name => "bytes of a collection variable's name",
            Self::Value => "bytes of a collection variable",
            Self::Variables => "variables of a collection",
        }
    }
}

impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "too much: {}", self.what())
    }
}

impl std::error::Error for Excess {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_entries_have_different_names() {
        let name = |kind, app, key: &str| EntryKey::new(kind, app, key.as_bytes()).unwrap();
        let names = [
            name(Kind::Ip, "", "ab"),
            name(Kind::User, "", "ab"),
            name(Kind::Ip, "a", "b"),
            name(Kind::Ip, "ab", ""),
        ];
        for (index, one) in names.iter().enumerate() {
            assert!(names[..index].iter().all(|other| other.bytes() != one.bytes()), "{one:?}");
        }
        assert_eq!(names[2].key(), b"b");
    }

    #[test]
    fn what_is_too_long_is_refused() {
        let long = [b'x'; 8 << 10];
        let key = |length| EntryKey::new(Kind::Ip, "", &long[..length]).err();
        assert_eq!(
            (key(limits::COLLECTION_KEY_BYTES), key(limits::COLLECTION_KEY_BYTES + 1)),
            (None, Some(Excess::Key))
        );
        let name = |length| Change::Add { name: &long[..length], amount: 1 }.check().err();
        assert_eq!(
            (name(limits::COLLECTION_NAME_BYTES), name(limits::COLLECTION_NAME_BYTES + 1)),
            (None, Some(Excess::Name))
        );
        let value = |length: usize| {
            Change::Set { name: b"a", value: &Value::Text(long[..length].into()) }.check().err()
        };
        assert_eq!(
            (value(limits::COLLECTION_VALUE_BYTES), value(limits::COLLECTION_VALUE_BYTES + 1)),
            (None, Some(Excess::Value))
        );
    }
}
