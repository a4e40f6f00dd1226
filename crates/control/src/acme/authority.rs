//! One authority: whether it works, and the accounts there.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::time::SystemTime;

use instant_acme::{Account, AccountCredentials, Error, ExternalAccountKey, NewAccount};
use tokio::sync::Mutex;

use super::failure::{Failure, unix_s};
use super::settings::Directory;
use super::store::Store;

/// Owner of the account that all tenants share; no tenant can have this id.
pub(super) const SHARED: &str = "_shared";

/// First pause after a failure of the authority, in seconds; doubles with each in a row.
const FIRST_PAUSE_S: u64 = 15;

/// Longest such pause, in seconds.
const LONGEST_PAUSE_S: u64 = 3_600;

/// Least pause for a domain whose authority's limit is reached, in seconds.
const RATE_LIMIT_PAUSE_S: u64 = 3_600;

/// Longest pause that an authority may ask for, in seconds.
const LONGEST_ASKED_S: u64 = 7 * 86_400;

/// Most times that one call is made again because its nonce was refused; the client below makes three attempts each.
const NONCE_ROUNDS: u32 = 8;

/// An authority.
pub(super) struct Authority {
    pub(super) directory: Directory,
    accounts: Mutex<HashMap<String, Account>>,
    /// Failures in a row.
    failures: Cell<u32>,
    /// Not asked before then, in seconds since 1970.
    paused_until_unix_s: Cell<u64>,
    /// Domains that it gives nothing for the moment, and until when.
    turned_away: RefCell<HashMap<String, u64>>,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.directory.fmt(f)
    }
}

impl Authority {
    pub(super) fn new(directory: Directory) -> Self {
        Self {
            directory,
            accounts: Mutex::default(),
            failures: Cell::default(),
            paused_until_unix_s: Cell::default(),
            turned_away: RefCell::default(),
        }
    }

    /// From when on `host` may be ordered here, in seconds since 1970; a past time: now.
    pub(super) fn open_unix_s(&self, host: &str) -> u64 {
        let turned_away = self.turned_away.borrow().get(host).copied().unwrap_or(0);
        self.paused_until_unix_s.get().max(turned_away)
    }

    /// It has answered as it should.
    pub(super) fn works(&self) {
        self.failures.set(0);
        self.paused_until_unix_s.set(0);
    }

    /// Pauses the authority, for all domains or for `host`, as `failure` demands.
    pub(super) fn failed(&self, host: &str, failure: &Failure, now_unix_s: u64) {
        let asked = |until: Option<u64>| until.unwrap_or(0).min(now_unix_s + LONGEST_ASKED_S);
        match failure {
            // Those that were under way when it was paused say nothing new.
            Failure::Authority { .. } if self.paused_until_unix_s.get() > now_unix_s => {}
            Failure::Authority { why, until_unix_s } => {
                let failures = self.failures.get().saturating_add(1);
                self.failures.set(failures);
                let pause_s = with_jitter(doubled(FIRST_PAUSE_S, failures, LONGEST_PAUSE_S));
                let until = asked(*until_unix_s).max(now_unix_s + pause_s);
                self.paused_until_unix_s.set(until);
                tracing::warn!(
                    directory = %self.directory.url, %why, pause_s = until - now_unix_s,
                    "an authority for certificates does not work; the next one is asked"
                );
            }
            Failure::RateLimited { why, until_unix_s } => {
                let until = asked(*until_unix_s).max(now_unix_s + with_jitter(RATE_LIMIT_PAUSE_S));
                self.turned_away.borrow_mut().insert(host.to_owned(), until);
                tracing::warn!(
                    directory = %self.directory.url, domain = host, %why, pause_s = until - now_unix_s,
                    "an authority's limit for certificates is reached; it is left alone"
                );
            }
            _ => {}
        }
    }

    /// The account of `owner`; one is made where there is none.
    pub(super) async fn account(
        &self,
        store: &Store,
        owner: &str,
        contact: &[String],
    ) -> Result<Account, Failure> {
        // Held while an account is made, so that it is made once.
        let mut accounts = self.accounts.lock().await;
        let paused_until = self.paused_until_unix_s.get();
        if paused_until > unix_s(SystemTime::now()) {
            // It was found not to work while this waited.
            let why = "it is left alone after its failures".to_owned();
            return Err(Failure::Authority { why, until_unix_s: Some(paused_until) });
        }
        if let Some(account) = accounts.get(owner) {
            return Ok(account.clone());
        }
        let account = match store.account(&self.directory.url, owner)? {
            Some(credentials) => self.known(&credentials).await?,
            None => self.registered(store, owner, contact).await?,
        };
        accounts.insert(owner.to_owned(), account.clone());
        Ok(account)
    }

    async fn known(&self, credentials: &[u8]) -> Result<Account, Failure> {
        let credentials: AccountCredentials = serde_json::from_slice(credentials)
            .map_err(|_| Failure::Local("a stored account cannot be read".to_owned()))?;
        let builder = Account::builder_with_http(Box::new(self.directory.http.clone()));
        builder.from_credentials(credentials).await.map_err(|error| self.failure(error))
    }

    async fn registered(&self, store: &Store, owner: &str, contact: &[String]) -> Result<Account, Failure> {
        let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
        let new =
            NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
        let external =
            self.directory.external.as_ref().map(|(kid, key)| ExternalAccountKey::new(kid.clone(), key));
        let url = self.directory.url.to_string();
        let made = again(async || {
            let builder = Account::builder_with_http(Box::new(self.directory.http.clone()));
            builder.create(&new, url.clone(), external.as_ref()).await
        });
        let (account, credentials) = made.await.map_err(|error| match self.failure(error) {
            // What is refused here is refused to every domain.
            Failure::Domain(why) => Failure::Authority { why, until_unix_s: None },
            failure => failure,
        })?;
        let credentials = serde_json::to_vec(&credentials)
            .map_err(|error| Failure::Local(format!("an account cannot be written: {error}")))?;
        store.save_account(&self.directory.url, owner, &credentials)?;
        tracing::info!(directory = %self.directory.url, owner, account = account.id(), "an account was made");
        Ok(account)
    }

    /// Forgets an account that the authority has forgotten.
    pub(super) async fn forget(&self, store: &Store, owner: &str) -> Result<(), Failure> {
        self.accounts.lock().await.remove(owner);
        Ok(store.remove_account(&self.directory.url, owner)?)
    }

    /// What an error of a call means.
    pub(super) fn failure(&self, error: Error) -> Failure {
        Failure::of_call(error, &self.directory.http)
    }
}

/// Makes a call again while its nonce is refused: such a call has done nothing (RFC 8555 section 6.5).
pub(super) async fn again<T>(mut call: impl AsyncFnMut() -> Result<T, Error>) -> Result<T, Error> {
    let mut left = NONCE_ROUNDS;
    loop {
        match call().await {
            Err(Error::Api(problem))
                if left > 0 && problem.r#type.as_deref().is_some_and(|kind| kind.ends_with(":badNonce")) =>
            {
                left -= 1;
            }
            done => return done,
        }
    }
}

/// `first` doubled with each failure in a row after the first, up to `longest`; all in seconds.
pub(super) fn doubled(first_s: u64, failures: u32, longest_s: u64) -> u64 {
    let times = failures.saturating_sub(1).min(32);
    first_s.saturating_mul(1 << times).min(longest_s)
}

/// Up to a tenth more, at random, so that nodes and domains do not come back all at once.
pub(super) fn with_jitter(seconds: u64) -> u64 {
    seconds + fastrand::u64(0..=seconds / 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authority() -> Authority {
        let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        let http = super::super::http::Http::new(tls.into());
        Authority::new(Directory { url: "https://ca.example/dir".parse().unwrap(), http, external: None })
    }

    #[test]
    fn an_outage_counts_once_and_a_limit_for_its_domain_alone() {
        let authority = authority();
        let broken = |until_unix_s| Failure::Authority { why: "no".to_owned(), until_unix_s };
        for _ in 0..10 {
            authority.failed("a.example", &broken(None), 1_000);
        }
        let first = authority.open_unix_s("b.example");
        assert!((1_015..=1_016).contains(&first), "{first}");
        authority.failed("a.example", &broken(Some(5_000)), first);
        assert_eq!(authority.open_unix_s("b.example"), 5_000);
        authority.works();
        let limited = Failure::RateLimited { why: "no".to_owned(), until_unix_s: Some(u64::MAX) };
        authority.failed("a.example", &limited, 6_000);
        assert_eq!(authority.open_unix_s("b.example"), 0);
        assert_eq!(authority.open_unix_s("a.example"), 6_000 + LONGEST_ASKED_S);
    }

    #[test]
    fn pauses_double_up_to_their_bound() {
        let pauses: Vec<u64> = (1..8).map(|failures| doubled(60, failures, 1_000)).collect();
        assert_eq!(pauses, [60, 120, 240, 480, 960, 1_000, 1_000]);
        assert_eq!(doubled(60, u32::MAX, 1_000), 1_000);
    }
}
