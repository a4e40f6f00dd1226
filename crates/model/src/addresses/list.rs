//! Files that list addresses: one network in CIDR notation or one address to a line; what follows a `#` is a comment.
//!
//! A file is taken whole or not at all. One without a single byte that is not white space is refused: that is what a
//! copy that failed half-way leaves behind, and a deny list that holds nobody would let everybody in. A list that is
//! meant to be empty says so in a comment.

use std::fmt;
use std::sync::Arc;

use super::AddressSet;
use crate::value::Cidr;

/// Longest list, in bytes.
pub const MAX_LIST_BYTES: usize = 64 << 20;

/// Most networks in a list.
pub const MAX_LIST_ENTRIES: usize = 1_000_000;

/// A file's addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressList {
    /// How the file is named where it is used.
    pub name: Arc<str>,
    /// The addresses in it.
    pub addresses: AddressSet,
}

/// Why a file is no list of addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListError {
    /// The line, from 1; 0: the file as a whole.
    pub line: usize,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl fmt::Display for ListError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.message),
            line => write!(f, "line {line}: {}", self.message),
        }
    }
}

impl std::error::Error for ListError {}

impl AddressSet {
    /// Reads the content of a list.
    pub fn from_list(content: &[u8]) -> Result<Self, ListError> {
        let whole = |message: String| ListError { line: 0, message };
        if content.len() > MAX_LIST_BYTES {
            return Err(whole(format!("the list has more than {MAX_LIST_BYTES} bytes")));
        }
        if content.trim_ascii().is_empty() {
            return Err(whole(
                "the file is empty; a list that is meant to hold nobody says so in a comment".to_owned(),
            ));
        }
        let mut networks = Vec::new();
        for (line, text) in (1..).zip(content.split(|&byte| byte == b'\n')) {
            let entry = text.split(|&byte| byte == b'#').next().unwrap_or_default().trim_ascii();
            if entry.is_empty() {
                continue;
            }
            if networks.len() == MAX_LIST_ENTRIES {
                return Err(ListError { line, message: format!("more than {MAX_LIST_ENTRIES} networks") });
            }
            networks.push(network(entry).map_err(|message| ListError { line, message })?);
        }
        Ok(networks.into_iter().collect())
    }
}

fn network(entry: &[u8]) -> Result<Cidr, String> {
    let text = std::str::from_utf8(entry).map_err(|_| "this is not UTF-8".to_owned())?;
    text.parse().map_err(|error: crate::value::Invalid| format!("{}; {}", error.message, error.hint))
}
