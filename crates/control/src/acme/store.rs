//! What must survive a crash: accounts, unfinished orders and certificates, in the data directory.
//!
//! `acme/AUTHORITY/accounts/OWNER`, `acme/AUTHORITY/orders/TENANT/HOST` and `acme/AUTHORITY/certificates/TENANT/HOST`,
//! where `AUTHORITY` stands for a directory's URL. Each is one JSON file, put in place in one step, so that a certificate
//! and its key are never of two minds. Private keys in them are sealed under the master key; all else can be read.
//!
//! What cannot be read is never overwritten nor taken for missing: [`Unreadable`] keeps the domain from being ordered
//! again until somebody has looked.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use veloflux_model::value::{Hostname, ServiceUrl};
use veloflux_snapshot::compile::check_issued;
use veloflux_snapshot::managed::IssuedCertificate;

use super::answer::Answer;
use super::renewal::Life;
use crate::files::{SECRET, read_bounded, replace, sync_folder};
use crate::seal::MasterKey;

/// Folder in the data directory.
const FOLDER: &str = "acme";

/// Longest stored file, in bytes: a chain of ten certificates takes a fifth of that.
const MAX_FILE_BYTES: u64 = 256 << 10;

/// What stands for `*.` in the names of files; no host name begins with it. It is no longer, so that every name fits.
const WILDCARD: &str = "_.";

/// Most certificates, or orders, that are read at start.
const MAX_FILES: usize = 100_000;

/// A file that is there and cannot be used, or could not be written.
#[derive(Debug)]
pub struct Unreadable {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub why: String,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.why)
    }
}

impl std::error::Error for Unreadable {}

impl Unreadable {
    /// Tenant and domain of a certificate's file.
    pub(super) fn domain(&self) -> Option<(String, String)> {
        domain(&self.path)
    }
}

/// An order that an authority has taken and that is not finished.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct OrderRecord {
    /// The order's URL.
    pub(super) url: String,
    /// Whose account it belongs to.
    pub(super) owner: String,
    /// When it was placed, in seconds since 1970.
    pub(super) placed_unix_s: u64,
    /// What its challenges are answered with.
    pub(super) answers: Vec<Answer>,
    /// The certificate's key in PEM.
    #[serde(skip)]
    pub(super) key_pem: String,
}

/// An issued certificate.
#[derive(Clone, Serialize, Deserialize)]
pub struct StoredCertificate {
    /// The tenant that it was issued for.
    pub tenant: String,
    /// The domain.
    pub host: String,
    /// URL of the authority's directory.
    pub directory: String,
    /// The chain in PEM.
    pub chain_pem: String,
    /// When it was stored, in seconds since 1970.
    pub issued_unix_s: u64,
    /// The key in PEM.
    #[serde(skip)]
    pub(super) key_pem: String,
}

impl fmt::Debug for StoredCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tenant, host, directory, .. } = self;
        write!(f, "StoredCertificate({tenant} {host} {directory})")
    }
}

impl StoredCertificate {
    /// When it expires, in seconds since 1970; `None`: it cannot be parsed.
    pub fn not_after_unix_s(&self) -> Option<u64> {
        let leaf = CertificateDer::from_pem_slice(self.chain_pem.as_bytes()).ok()?;
        Some(Life::of(&leaf)?.not_after_unix_s)
    }

    /// The certificate ready to be served, if it is whole, its key its own, and its domain covered.
    pub(super) fn check(&self) -> Result<IssuedCertificate, String> {
        let host: Hostname = self.host.parse().map_err(|_| "its domain is not a host name".to_owned())?;
        let tenant: Arc<str> = self.tenant.as_str().into();
        check_issued(&tenant, &host, &self.directory, self.chain_pem.as_bytes(), self.key_pem.as_bytes())
    }
}

/// A file: what can be read, and what cannot without the master key.
#[derive(Serialize, Deserialize)]
struct Stored<T> {
    #[serde(flatten)]
    plain: T,
    /// Base64 of what [`MasterKey::seal`] gave.
    sealed: String,
}

#[derive(Serialize, Deserialize)]
struct AccountRecord {
    /// URL of the authority's directory.
    directory: String,
}

/// The stored files.
#[derive(Debug)]
pub(super) struct Store {
    root: PathBuf,
    key: MasterKey,
}

/// Folder of everything that ACME keeps.
pub(super) fn folder(data_directory: &Path) -> PathBuf {
    data_directory.join(FOLDER)
}

impl Store {
    /// The files under `data_directory`, secrets under `key`.
    pub(super) fn new(data_directory: &Path, key: MasterKey) -> Self {
        Self { root: folder(data_directory), key }
    }

    /// The credentials of an account.
    pub(super) fn account(&self, directory: &ServiceUrl, owner: &str) -> Result<Option<Vec<u8>>, Unreadable> {
        let path = self.path(directory, "accounts", &[owner]);
        Ok(self.read::<AccountRecord>(&path)?.map(|(_, credentials)| credentials))
    }

    pub(super) fn save_account(
        &self,
        directory: &ServiceUrl,
        owner: &str,
        credentials: &[u8],
    ) -> Result<(), Unreadable> {
        let path = self.path(directory, "accounts", &[owner]);
        self.write(&path, AccountRecord { directory: directory.to_string() }, credentials)
    }

    /// Forgets an account that its authority does not know any more.
    pub(super) fn remove_account(&self, directory: &ServiceUrl, owner: &str) -> Result<(), Unreadable> {
        remove(&self.path(directory, "accounts", &[owner]))
    }

    /// The unfinished order for a domain.
    pub(super) fn order(
        &self,
        directory: &ServiceUrl,
        tenant: &str,
        host: &str,
    ) -> Result<Option<OrderRecord>, Unreadable> {
        let path = self.path(directory, "orders", &[tenant, host]);
        let Some((record, key)) = self.read::<OrderRecord>(&path)? else { return Ok(None) };
        Ok(Some(OrderRecord { key_pem: text(&path, key)?, ..record }))
    }

    pub(super) fn save_order(
        &self,
        directory: &ServiceUrl,
        tenant: &str,
        host: &str,
        order: &OrderRecord,
    ) -> Result<(), Unreadable> {
        let path = self.path(directory, "orders", &[tenant, host]);
        self.write(&path, order.clone(), order.key_pem.as_bytes())
    }

    pub(super) fn remove_order(
        &self,
        directory: &ServiceUrl,
        tenant: &str,
        host: &str,
    ) -> Result<(), Unreadable> {
        remove(&self.path(directory, "orders", &[tenant, host]))
    }

    /// What unfinished orders answer, by tenant and domain; those that cannot be read are told of when they are gone on
    /// with.
    pub(super) fn answers(&self) -> Vec<((String, String), Vec<Answer>)> {
        let files = domain_files(&self.root, "orders").into_iter();
        let read = files.filter_map(|path| {
            let stored = read_stored::<OrderRecord>(&path).ok()??;
            Some((domain(&path)?, stored.plain.answers))
        });
        read.collect()
    }

    pub(super) fn save_certificate(
        &self,
        directory: &ServiceUrl,
        certificate: &StoredCertificate,
    ) -> Result<(), Unreadable> {
        let path = self.path(directory, "certificates", &[&certificate.tenant, &certificate.host]);
        self.write(&path, certificate.clone(), certificate.key_pem.as_bytes())
    }

    /// All certificates, of whatever directory, with what is served of each; and the files that cannot be used.
    pub(super) fn certificates(&self) -> (Vec<(StoredCertificate, IssuedCertificate)>, Vec<Unreadable>) {
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        for path in domain_files(&self.root, "certificates") {
            match self.certificate_at(&path) {
                Ok(found) => good.extend(found),
                Err(unreadable) => bad.push(unreadable),
            }
        }
        (good, bad)
    }

    /// The certificate in a file; `None`: the file is gone.
    pub(super) fn certificate_at(
        &self,
        path: &Path,
    ) -> Result<Option<(StoredCertificate, IssuedCertificate)>, Unreadable> {
        let Some((stored, key)) = self.read::<StoredCertificate>(path)? else { return Ok(None) };
        let stored = StoredCertificate { key_pem: text(path, key)?, ..stored };
        let issued = stored.check().map_err(|why| Unreadable { path: path.to_owned(), why })?;
        Ok(Some((stored, issued)))
    }

    fn path(&self, directory: &ServiceUrl, kind: &str, names: &[&str]) -> PathBuf {
        let mut path = self.root.join(folder_name(directory)).join(kind);
        path.extend(names.iter().map(|name| name.replacen("*.", WILDCARD, 1)));
        path
    }

    /// Where a file belongs, for its seal.
    fn context(&self, path: &Path) -> String {
        path.strip_prefix(&self.root).unwrap_or(path).display().to_string()
    }

    fn read<T: DeserializeOwned>(&self, path: &Path) -> Result<Option<(T, Vec<u8>)>, Unreadable> {
        let Some(stored) = read_stored::<T>(path)? else { return Ok(None) };
        let unreadable = |why: String| Unreadable { path: path.to_owned(), why };
        let sealed =
            BASE64_STANDARD.decode(stored.sealed).map_err(|_| unreadable("it is damaged".to_owned()))?;
        let secret =
            self.key.open(&self.context(path), &sealed).map_err(|error| unreadable(error.to_string()))?;
        Ok(Some((stored.plain, secret)))
    }

    fn write<T: Serialize>(&self, path: &Path, plain: T, secret: &[u8]) -> Result<(), Unreadable> {
        let written = || -> io::Result<()> {
            let sealed = self
                .key
                .seal(&self.context(path), secret)
                .ok_or_else(|| io::Error::other("the system gives no random numbers"))?;
            let stored = Stored { plain, sealed: BASE64_STANDARD.encode(sealed) };
            let content = serde_json::to_vec_pretty(&stored)?;
            create_folders(path.parent().unwrap_or(Path::new(".")))?;
            replace(path, &content, SECRET)
        };
        written().map_err(|error| Unreadable {
            path: path.to_owned(),
            why: format!("it cannot be written: {error}"),
        })
    }
}

/// The certificates as far as they can be read without the master key, for whoever lists them.
pub(super) fn listed(data_directory: &Path) -> (Vec<StoredCertificate>, Vec<Unreadable>) {
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for path in domain_files(&folder(data_directory), "certificates") {
        match read_stored::<StoredCertificate>(&path) {
            Ok(stored) => good.extend(stored.map(|stored| stored.plain)),
            Err(unreadable) => bad.push(unreadable),
        }
    }
    (good, bad)
}

fn read_stored<T: DeserializeOwned>(path: &Path) -> Result<Option<Stored<T>>, Unreadable> {
    let unreadable = |why: String| Unreadable { path: path.to_owned(), why };
    let content = match read_bounded(path, MAX_FILE_BYTES) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        content => content.map_err(|error| unreadable(error.to_string()))?,
    };
    serde_json::from_slice(&content).map(Some).map_err(|_| unreadable("it is damaged".to_owned()))
}

/// The folder of a directory: its host, for people, and a hash of its URL.
fn folder_name(directory: &ServiceUrl) -> String {
    let hash = digest::digest(&digest::SHA256, directory.as_str().as_bytes());
    let hash = BASE64_URL_SAFE_NO_PAD.encode(&hash.as_ref()[..9]);
    format!("{}-{hash}", directory.host_and_port().0.replace(':', "_"))
}

/// Tenant and domain of a certificate's or order's file.
fn domain(path: &Path) -> Option<(String, String)> {
    let mut names = path.iter().rev();
    let host = names.next()?.to_str()?.replacen(WILDCARD, "*.", 1);
    Some((names.next()?.to_str()?.to_owned(), host))
}

/// Files of one kind, those of temporary names left out.
fn domain_files(root: &Path, kind: &str) -> Vec<PathBuf> {
    let folders = entries(root).into_iter().map(|authority| authority.join(kind));
    let tenants = folders.flat_map(|folder| entries(&folder));
    tenants.flat_map(|tenant| entries(&tenant)).take(MAX_FILES).collect()
}

/// What a folder holds, sorted; nothing where there is none.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries
        .flatten()
        .filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'))
        .map(|entry| entry.path())
        .collect();
    paths.sort();
    paths
}

fn text(path: &Path, secret: Vec<u8>) -> Result<String, Unreadable> {
    String::from_utf8(secret)
        .map_err(|_| Unreadable { path: path.to_owned(), why: "its key is not PEM".to_owned() })
}

fn remove(path: &Path) -> Result<(), Unreadable> {
    let removed = match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(()) => sync_folder(path.parent().unwrap_or(Path::new("."))),
    };
    removed
        .map_err(|error| Unreadable { path: path.to_owned(), why: format!("it cannot be removed: {error}") })
}

/// Makes `folder` and those above it, so that a crash does not lose their names.
fn create_folders(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(above) = folder.parent() {
        create_folders(above)?;
        match fs::create_dir(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => sync_folder(above)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(folder: &Path, key: u8) -> Store {
        let text = BASE64_STANDARD.encode([key; 32]);
        Store::new(folder, MasterKey::load(Some(&text), Path::new("/"), true).unwrap())
    }

    fn certificate(tenant: &str, host: &str) -> StoredCertificate {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec![host.to_owned()]).unwrap();
        StoredCertificate {
            tenant: tenant.to_owned(),
            host: host.to_owned(),
            directory: "https://ca.example/dir".to_owned(),
            chain_pem: params.self_signed(&key).unwrap().pem(),
            issued_unix_s: 7,
            key_pem: key.serialize_pem(),
        }
    }

    #[test]
    fn what_is_stored_is_found_again_and_keys_are_not_readable() {
        let folder = tempfile::tempdir().unwrap();
        let directory: ServiceUrl = "https://ca.example/dir".parse().unwrap();
        let other: ServiceUrl = "https://ca.example/other".parse().unwrap();
        let written = store(folder.path(), 1);
        written.save_account(&directory, "_shared", b"credentials").unwrap();
        let order = OrderRecord {
            url: "https://ca.example/order/1".to_owned(),
            owner: "_shared".to_owned(),
            placed_unix_s: 5,
            answers: vec![Answer::Http { token: "t".to_owned(), body: "t.print".to_owned() }],
            key_pem: "very private".to_owned(),
        };
        written.save_order(&directory, "acme", "*.acme.example", &order).unwrap();
        let answers = written.answers();
        assert_eq!(answers[0].0, ("acme".to_owned(), "*.acme.example".to_owned()));
        assert!(matches!(&answers[0].1[..], [Answer::Http { token, .. }] if token == "t"));
        let stored = certificate("acme", "acme.example");
        written.save_certificate(&directory, &stored).unwrap();

        let read = store(folder.path(), 1);
        assert_eq!(read.account(&directory, "_shared").unwrap().unwrap(), b"credentials");
        assert!(read.account(&other, "_shared").unwrap().is_none());
        let found = read.order(&directory, "acme", "*.acme.example").unwrap().unwrap();
        assert_eq!((found.url, found.key_pem), (order.url, "very private".to_owned()));
        assert!(read.order(&directory, "acme", "acme.example").unwrap().is_none());
        let (certificates, bad) = read.certificates();
        assert_eq!((certificates.len(), bad.len()), (1, 0));
        assert_eq!(certificates[0].0.key_pem, stored.key_pem);
        assert_eq!(&*certificates[0].1.certificate.name, "acme.example");
        read.remove_order(&directory, "acme", "*.acme.example").unwrap();
        read.remove_order(&directory, "acme", "*.acme.example").unwrap();
        assert!(read.order(&directory, "acme", "*.acme.example").unwrap().is_none());

        let (certificates, bad) = listed(folder.path());
        assert_eq!((certificates[0].host.as_str(), bad.len()), ("acme.example", 0));
        assert_eq!(certificates[0].key_pem, "");
        for path in domain_files(&read.root, "certificates") {
            assert!(!fs::read_to_string(path).unwrap().contains("PRIVATE"));
        }
    }

    #[test]
    fn the_longest_names_have_files() {
        let folder = tempfile::tempdir().unwrap();
        let directory: ServiceUrl = "https://ca.example/dir".parse().unwrap();
        let store = store(folder.path(), 1);
        let label = "a".repeat(63);
        let longest = [&label, &label, &label, &label[..61]].join(".");
        for host in [longest.clone(), format!("*.{}", &longest[2..])] {
            store.save_certificate(&directory, &certificate("a", &host)).unwrap();
        }
        let (good, bad) = store.certificates();
        assert_eq!((good.len(), bad.len()), (2, 0), "{bad:?}");
    }

    #[test]
    fn another_key_a_damaged_file_and_one_in_anothers_place_are_unreadable_not_missing() {
        let folder = tempfile::tempdir().unwrap();
        let directory: ServiceUrl = "https://ca.example/dir".parse().unwrap();
        store(folder.path(), 1).save_certificate(&directory, &certificate("a", "a.example")).unwrap();
        let (good, bad) = store(folder.path(), 2).certificates();
        assert!(good.is_empty());
        assert!(bad[0].to_string().contains("another master key"), "{}", bad[0]);

        let mine = store(folder.path(), 1);
        let path = mine.path(&directory, "certificates", &["a", "a.example"]);
        let stolen = mine.path(&directory, "certificates", &["b", "a.example"]);
        create_folders(stolen.parent().unwrap()).unwrap();
        fs::copy(&path, &stolen).unwrap();
        fs::write(&path, "{").unwrap();
        let (good, bad) = mine.certificates();
        assert_eq!((good.len(), bad.len()), (0, 2));
        assert_eq!(bad[0].domain().unwrap(), ("a".to_owned(), "a.example".to_owned()));
        assert!(bad.iter().all(|unreadable| unreadable.why.contains("damaged")));
    }
}
