//! Secrets at rest: AES-256-GCM under one master key.
//!
//! A sealed secret is bound to a context, the place that it was sealed for, so that one file cannot stand in for another.
//! It carries a fingerprint of its key: a secret under another key is told from a damaged one. A fresh random nonce of 96
//! bits for each secret keeps one key good for 2^32 of them (NIST SP 800-38D section 8.3).

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::{digest, rand};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::files::{SECRET, read_bounded, write_new};

/// The environment variable that goes before the key's file; it holds the same text.
pub const MASTER_KEY_VARIABLE: &str = "VELOFLUX_MASTER_KEY";

/// Length of the key, in bytes.
const KEY_BYTES: usize = 32;

/// Longest file of a key, in bytes: the key in base64 with room for line ends.
const MAX_KEY_FILE_BYTES: u64 = 128;

/// First bytes of a sealed secret.
const MAGIC: [u8; 4] = *b"vfs1";

/// Length of a key's fingerprint, in bytes.
const FINGERPRINT_BYTES: usize = 8;

/// Everything before a sealed secret's ciphertext.
const HEADER_BYTES: usize = MAGIC.len() + FINGERPRINT_BYTES + NONCE_LEN;

/// The key that everything secret in the data directory is encrypted under.
pub struct MasterKey {
    key: RandomizedNonceKey,
    fingerprint: [u8; FINGERPRINT_BYTES],
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey")
    }
}

/// Why there is no master key.
#[derive(Debug)]
pub enum KeyError {
    /// The file is missing although secrets were sealed before.
    Missing(PathBuf),
    /// The file cannot be read or written.
    File(PathBuf, io::Error),
    /// What is named here does not hold 32 bytes in base64.
    Malformed(String),
    /// The system gives no random numbers.
    Random,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(path) => {
                let path = path.display();
                write!(f, "{path}: the master key is missing, and what it encrypts is there: bring it back")
            }
            Self::File(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Malformed(place) => write!(f, "{place}: a master key is 32 bytes in base64"),
            Self::Random => f.write_str("the system gives no random numbers"),
        }
    }
}

impl std::error::Error for KeyError {}

/// Why a sealed secret cannot be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenError {
    /// It was sealed under another key.
    OtherKey,
    /// It is damaged, or was sealed for another place.
    Damaged,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OtherKey => "it is encrypted under another master key",
            Self::Damaged => "it is damaged",
        })
    }
}

impl std::error::Error for OpenError {}

impl MasterKey {
    /// The key of the environment's `variable`, or else of `file`. Where there is no file one is made, for its owner alone,
    /// unless `sealed` says that there are secrets already.
    pub fn load(variable: Option<&str>, file: &Path, sealed: bool) -> Result<Self, KeyError> {
        if let Some(text) = variable {
            return Self::parse(text.as_bytes())
                .ok_or_else(|| KeyError::Malformed(MASTER_KEY_VARIABLE.to_owned()));
        }
        match read_bounded(file, MAX_KEY_FILE_BYTES) {
            Ok(text) => Self::parse(&text).ok_or_else(|| KeyError::Malformed(file.display().to_string())),
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(KeyError::File(file.to_owned(), error))
            }
            Err(_) if sealed => Err(KeyError::Missing(file.to_owned())),
            Err(_) => Self::create(file),
        }
    }

    fn create(file: &Path) -> Result<Self, KeyError> {
        let mut key = [0; KEY_BYTES];
        rand::fill(&mut key).map_err(|_| KeyError::Random)?;
        let text = format!("{}\n", BASE64_STANDARD.encode(key));
        let folder = file.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder)
            .and_then(|()| write_new(file, text.as_bytes(), SECRET))
            .and_then(|()| crate::files::sync_folder(folder))
            .map_err(|error| KeyError::File(file.to_owned(), error))?;
        Self::new(&key).ok_or(KeyError::Random)
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let key: [u8; KEY_BYTES] = BASE64_STANDARD.decode(text.trim_ascii()).ok()?.try_into().ok()?;
        Self::new(&key)
    }

    fn new(key: &[u8; KEY_BYTES]) -> Option<Self> {
        let mut labelled = b"veloflux master key".to_vec();
        labelled.extend_from_slice(key);
        let hash = digest::digest(&digest::SHA256, &labelled);
        let fingerprint = hash.as_ref()[..FINGERPRINT_BYTES].try_into().ok()?;
        Some(Self { key: RandomizedNonceKey::new(&AES_256_GCM, key).ok()?, fingerprint })
    }

    /// Encrypts `secret` for the place `context`. `None`: the system gives no random numbers.
    pub fn seal(&self, context: &str, secret: &[u8]) -> Option<Vec<u8>> {
        let mut body = secret.to_vec();
        let aad = Aad::from(self.bound(context));
        let nonce = self.key.seal_in_place_append_tag(aad, &mut body).ok()?;
        let mut sealed = Vec::with_capacity(HEADER_BYTES + body.len());
        sealed.extend_from_slice(&MAGIC);
        sealed.extend_from_slice(&self.fingerprint);
        sealed.extend_from_slice(nonce.as_ref());
        sealed.append(&mut body);
        Some(sealed)
    }

    /// Decrypts what was sealed for the place `context`.
    pub fn open(&self, context: &str, sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        let (header, body) = sealed.split_at_checked(HEADER_BYTES).ok_or(OpenError::Damaged)?;
        let rest = header.strip_prefix(&MAGIC).ok_or(OpenError::Damaged)?;
        let (fingerprint, nonce) = rest.split_at(FINGERPRINT_BYTES);
        if fingerprint != self.fingerprint {
            return Err(OpenError::OtherKey);
        }
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| OpenError::Damaged)?;
        let mut body = body.to_vec();
        let aad = Aad::from(self.bound(context));
        let length = self.key.open_in_place(nonce, aad, &mut body).map_err(|_| OpenError::Damaged)?.len();
        body.truncate(length);
        Ok(body)
    }

    /// What is authenticated beside the secret itself.
    fn bound(&self, context: &str) -> Vec<u8> {
        [&MAGIC[..], &self.fingerprint, context.as_bytes()].concat()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn key(byte: u8) -> MasterKey {
        MasterKey::new(&[byte; KEY_BYTES]).unwrap()
    }

    #[test]
    fn a_secret_opens_under_its_key_and_in_its_place_only() {
        let sealed = key(1).seal("here", b"secret").unwrap();
        assert_eq!(key(1).open("here", &sealed).unwrap(), b"secret");
        assert_eq!(key(1).open("there", &sealed), Err(OpenError::Damaged));
        assert_eq!(key(2).open("here", &sealed), Err(OpenError::OtherKey));
        assert_ne!(key(1).seal("here", b"secret").unwrap(), sealed, "a nonce is used once");
        assert!(!sealed.windows(6).any(|window| window == b"secret"));
    }

    #[test]
    fn any_changed_or_missing_byte_is_noticed() {
        let sealed = key(1).seal("here", b"secret").unwrap();
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(key(1).open("here", &changed).is_err(), "byte {at}");
            assert!(key(1).open("here", &sealed[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn a_key_is_made_once_for_its_owner_and_never_in_place_of_a_lost_one() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys/master.key");
        assert!(matches!(MasterKey::load(None, &file, true), Err(KeyError::Missing(_))));
        let first = MasterKey::load(None, &file, false).unwrap();
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, SECRET);
        let sealed = first.seal("here", b"secret").unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        for again in [MasterKey::load(None, &file, true), MasterKey::load(Some(&text), Path::new("/"), true)]
        {
            assert_eq!(again.unwrap().open("here", &sealed).unwrap(), b"secret");
        }
        std::fs::write(&file, "short").unwrap();
        assert!(matches!(MasterKey::load(None, &file, true), Err(KeyError::Malformed(_))));
        assert!(matches!(MasterKey::load(Some("short"), &file, true), Err(KeyError::Malformed(_))));
    }
}
