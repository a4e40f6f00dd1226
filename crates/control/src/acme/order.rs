//! One certificate: an order from its placing to the chain (RFC 8555 section 7.4).
//!
//! An order is written down, with the certificate's key, before anything else is done with it; whatever happens then, the
//! same order is gone on with. The moment between the authority's taking an order and its being written down is the
//! only one in which a crash loses it; [`Ledger`] counted it before.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime};

use instant_acme::{
    Account, AuthorizationStatus, CertificateIdentifier, ChallengeStatus, ChallengeType, Error, Identifier,
    NewOrder, Order, OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use veloflux_model::process::{Accounts, ChallengeKind, KeyType};
use veloflux_snapshot::managed::{Answering, IssuedCertificate, Managed};

use super::answer::Answer;
use super::authority::{Authority, SHARED, again};
use super::dns::Action;
use super::failure::{Failure, shown, unix_s};
use super::ledger::Ledger;
use super::settings::{Dns, Settings};
use super::store::{OrderRecord, Store, StoredCertificate};

/// How long an authority may take to look at a challenge, and again to issue; then the order is left and looked at
/// again later.
const DECISION_TIMEOUT: Duration = Duration::from_mins(2);

/// Most authorizations of an order. There is one for each name (RFC 8555 section 7.1.3), and one name.
const MAX_AUTHORIZATIONS: usize = 4;

/// First pause between two looks at an order, where the authority does not say how long.
const FIRST_LOOK: Duration = Duration::from_millis(250);

/// How long an unfinished order is waited for while its authority does not work, in seconds; then another one is asked.
const ORDER_PATIENCE_S: u64 = 600;

/// What ordering takes.
#[derive(Debug)]
pub(super) struct Orders {
    pub(super) settings: Settings,
    pub(super) store: Store,
    pub(super) ledger: RefCell<Ledger>,
    pub(super) authorities: Vec<Authority>,
    pub(super) managed: Arc<Managed>,
    /// What is answered for orders that nobody is busy with, by tenant and domain: of an earlier process, or not decided.
    pub(super) answering: RefCell<HashMap<(String, String), Vec<Answering>>>,
}

/// What a certificate is ordered for.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) tenant: Arc<str>,
    pub(super) host: Arc<str>,
    /// Attempts that failed in a row; the ways to prove a domain take turns.
    pub(super) failures: u32,
    /// The certificate that is renewed: its directory and identifier there (RFC 9773 section 4.1).
    pub(super) replaces: Option<(String, CertificateIdentifier<'static>)>,
}

/// A certificate that is on disk.
#[derive(Debug)]
pub(super) struct Obtained {
    pub(super) stored: StoredCertificate,
    pub(super) issued: IssuedCertificate,
}

impl Wanted {
    /// The name without `*.`.
    fn name(&self) -> &str {
        self.host.strip_prefix("*.").unwrap_or(&self.host)
    }

    fn is_wildcard(&self) -> bool {
        self.host.starts_with("*.")
    }
}

impl Orders {
    /// Goes on with the unfinished order, or places one with the first authority that takes it.
    pub(super) async fn obtain(&self, wanted: &Wanted) -> Result<Obtained, Failure> {
        for authority in &self.authorities {
            let url = &authority.directory.url;
            let Some(record) = self.store.order(url, &wanted.tenant, &wanted.host)? else { continue };
            let now = unix_s(SystemTime::now());
            let patient = now < record.placed_unix_s + ORDER_PATIENCE_S;
            let open = authority.open_unix_s(&wanted.host);
            if open > now && patient {
                let why = "its order is waited for".to_owned();
                return Err(Failure::Authority { why, until_unix_s: Some(open) });
            }
            match self.attempt(authority, wanted, Some(record)).await {
                Err(Failure::Authority { .. }) if !patient => {}
                done => return done,
            }
        }
        let mut refused = None;
        for authority in &self.authorities {
            if authority.open_unix_s(&wanted.host) > unix_s(SystemTime::now()) {
                continue;
            }
            match self.attempt(authority, wanted, None).await {
                Err(failure @ (Failure::Authority { .. } | Failure::RateLimited { .. })) => {
                    refused = Some(failure);
                }
                done => return done,
            }
        }
        Err(refused.unwrap_or_else(|| Failure::Authority {
            why: "every directory is left alone after its failures".to_owned(),
            until_unix_s: self.open_unix_s(&wanted.host),
        }))
    }

    /// From when on some authority may be asked for `host`.
    pub(super) fn open_unix_s(&self, host: &str) -> Option<u64> {
        self.authorities.iter().map(|authority| authority.open_unix_s(host)).min()
    }

    /// One try with one authority, whose state it keeps.
    async fn attempt(
        &self,
        authority: &Authority,
        wanted: &Wanted,
        open: Option<OrderRecord>,
    ) -> Result<Obtained, Failure> {
        let owner = match (&open, self.settings.accounts) {
            (Some(record), _) => record.owner.clone(),
            (None, Accounts::Shared) => SHARED.to_owned(),
            (None, Accounts::PerTenant) => wanted.tenant.to_string(),
        };
        let done = match open {
            Some(record) => self.resume(authority, wanted, record).await,
            None => self.place(authority, wanted, &owner).await,
        };
        let url = &authority.directory.url;
        if matches!(done, Ok(_) | Err(Failure::Domain(_))) {
            authority.works();
        }
        if let Err(failure) = &done {
            authority.failed(&wanted.host, failure, unix_s(SystemTime::now()));
            match failure {
                Failure::AccountGone(_) => {
                    authority.forget(&self.store, &owner).await?;
                    self.store.remove_order(url, &wanted.tenant, &wanted.host)?;
                }
                Failure::Domain(_) => self.store.remove_order(url, &wanted.tenant, &wanted.host)?,
                _ => {}
            }
        }
        done
    }

    async fn resume(
        &self,
        authority: &Authority,
        wanted: &Wanted,
        record: OrderRecord,
    ) -> Result<Obtained, Failure> {
        let account = authority.account(&self.store, &record.owner, &self.settings.contact).await?;
        let order = again(async || account.order(record.url.clone()).await)
            .await
            .map_err(|error| authority.failure(error))?;
        self.managed.counters.orders_resumed.fetch_add(1, Relaxed);
        tracing::info!(
            tenant = &*wanted.tenant,
            domain = &*wanted.host,
            order = record.url,
            "an unfinished order for a certificate is gone on with"
        );
        self.finish(authority, wanted, &record, order).await
    }

    async fn place(&self, authority: &Authority, wanted: &Wanted, owner: &str) -> Result<Obtained, Failure> {
        let url = &authority.directory.url;
        let account = authority.account(&self.store, owner, &self.settings.contact).await?;
        let key_pem = self.new_key()?.serialize_pem();
        let placed_unix_s = unix_s(SystemTime::now());
        self.ledger.borrow_mut().place(&wanted.host, placed_unix_s)?;
        self.managed.counters.orders_placed.fetch_add(1, Relaxed);
        let replaces = wanted.replaces.as_ref().filter(|(directory, _)| directory == url.as_str());
        let order = new_order(&account, &wanted.host, replaces.map(|(_, id)| id.clone()))
            .await
            .map_err(|error| authority.failure(error))?;
        let record = OrderRecord {
            url: order.url().to_owned(),
            owner: owner.to_owned(),
            placed_unix_s,
            answers: Vec::new(),
            key_pem,
        };
        self.store.save_order(url, &wanted.tenant, &wanted.host, &record)?;
        tracing::info!(
            tenant = &*wanted.tenant, domain = &*wanted.host, directory = %url, order = record.url,
            "a certificate was ordered"
        );
        self.finish(authority, wanted, &record, order).await
    }

    /// Takes an order from whatever state it is in to its certificate, and stores that.
    ///
    /// Challenges are answered until the order is decided: an authority may look several times, even after it is content.
    async fn finish(
        &self,
        authority: &Authority,
        wanted: &Wanted,
        record: &OrderRecord,
        order: Order,
    ) -> Result<Obtained, Failure> {
        let mut answers = Answers::default();
        let done = self.drive(authority, wanted, record, order, &mut answers).await;
        let key = (wanted.tenant.to_string(), wanted.host.to_string());
        if matches!(done, Ok(_) | Err(Failure::Domain(_))) {
            self.answering.borrow_mut().remove(&key);
            self.take_back(answers.records, wanted).await;
        } else if !answers.held.is_empty() {
            self.answering.borrow_mut().insert(key, answers.held);
        }
        done
    }

    async fn drive(
        &self,
        authority: &Authority,
        wanted: &Wanted,
        record: &OrderRecord,
        mut order: Order,
        answers: &mut Answers,
    ) -> Result<Obtained, Failure> {
        let asked_for = order.state().authorizations.len();
        if asked_for > MAX_AUTHORIZATIONS {
            let why = format!("one name is to be proved {asked_for} times over");
            return Err(Failure::Authority { why, until_unix_s: None });
        }
        let patience = RetryPolicy::new().initial_delay(FIRST_LOOK).backoff(1.5).timeout(DECISION_TIMEOUT);
        if order.state().status == OrderStatus::Pending {
            self.prove(authority, wanted, record, &mut order, &patience, answers).await?;
        }
        if order.state().status == OrderStatus::Ready {
            let csr = signing_request(&wanted.host, &record.key_pem)?;
            again(async || order.finalize_csr(&csr).await).await.map_err(|error| authority.failure(error))?;
        }
        let chain = match order.state().status {
            OrderStatus::Invalid => return Err(Failure::Domain(why_invalid(&mut order).await)),
            OrderStatus::Valid => again(async || order.certificate().await).await,
            _ => again(async || order.poll_certificate(&patience).await).await.map(Some),
        };
        let chain_pem = match chain {
            Ok(Some(chain)) => chain,
            Ok(None) => return Err(Failure::Unfinished("it is being issued".to_owned())),
            Err(_) if order.state().status == OrderStatus::Invalid => {
                return Err(Failure::Domain(why_invalid(&mut order).await));
            }
            Err(error) => return Err(authority.failure(error)),
        };
        let certificate = StoredCertificate {
            tenant: wanted.tenant.to_string(),
            host: wanted.host.to_string(),
            directory: authority.directory.url.to_string(),
            chain_pem,
            issued_unix_s: unix_s(SystemTime::now()),
            key_pem: record.key_pem.clone(),
        };
        let issued = certificate
            .check()
            .map_err(|why| Failure::Domain(format!("what was issued cannot be used: {why}")))?;
        let url = &authority.directory.url;
        self.store.save_certificate(url, &certificate)?;
        for authority in &self.authorities {
            self.store.remove_order(&authority.directory.url, &wanted.tenant, &wanted.host)?;
        }
        Ok(Obtained { stored: certificate, issued })
    }

    /// Answers the challenges and waits for the authority's decision.
    async fn prove(
        &self,
        authority: &Authority,
        wanted: &Wanted,
        record: &OrderRecord,
        order: &mut Order,
        patience: &RetryPolicy,
        answers: &mut Answers,
    ) -> Result<(), Failure> {
        self.answer(authority, wanted, record, order, answers).await?;
        match again(async || order.poll_ready(patience).await).await {
            Ok(_) => Ok(()),
            // Why is asked of its challenges.
            Err(_) if order.state().status == OrderStatus::Invalid => Ok(()),
            Err(error) => Err(authority.failure(error)),
        }
    }

    /// Answers the challenge of every authorization that waits for one.
    async fn answer(
        &self,
        authority: &Authority,
        wanted: &Wanted,
        record: &OrderRecord,
        order: &mut Order,
        answers: &mut Answers,
    ) -> Result<(), Failure> {
        // All are read first, where a call can be made again; the order keeps what it has read.
        let read = again(async || {
            let mut authorizations = order.authorizations();
            while let Some(authorization) = authorizations.next().await {
                authorization?;
            }
            Ok(())
        });
        read.await.map_err(|error| authority.failure(error))?;
        let mut record = record.clone();
        record.answers.clear();
        let mut authorizations = order.authorizations();
        while let Some(next) = authorizations.next().await {
            let mut authorization = next.map_err(|error| authority.failure(error))?;
            if authorization.status != AuthorizationStatus::Pending {
                continue;
            }
            let offered: Vec<ChallengeType> =
                authorization.challenges.iter().map(|challenge| challenge.r#type.clone()).collect();
            let kind = self.way(wanted, &offered)?;
            let Some(mut challenge) = authorization.challenge(challenge_type(kind)) else { continue };
            let print = challenge.key_authorization();
            match kind {
                ChallengeKind::Http01 => record
                    .answers
                    .push(Answer::Http { token: challenge.token.clone(), body: print.as_str().to_owned() }),
                ChallengeKind::TlsAlpn01 => {
                    let digest = print.digest().as_ref().try_into();
                    let digest =
                        digest.map_err(|_| Failure::Local("a digest has another length".to_owned()))?;
                    record.answers.push(Answer::Handshake { digest });
                }
                ChallengeKind::Dns01 => {
                    let name = format!("_acme-challenge.{}", wanted.name());
                    self.write_record(&name, print.dns_value(), answers).await?;
                }
            }
            if kind != ChallengeKind::Dns01 {
                self.store.save_order(&authority.directory.url, &wanted.tenant, &wanted.host, &record)?;
                for answer in &record.answers {
                    answers.held.push(answer.give(&self.managed, wanted.name()).map_err(Failure::Local)?);
                }
            }
            // After a crash the authority may have been told already.
            if challenge.status == ChallengeStatus::Pending {
                again(async || challenge.set_ready().await)
                    .await
                    .map_err(|error| authority.failure(error))?;
            }
        }
        Ok(())
    }

    async fn write_record(&self, name: &str, value: String, answers: &mut Answers) -> Result<(), Failure> {
        let Some(Dns { provider, propagation }) = &self.settings.dns else {
            return Err(Failure::Local("nobody writes DNS records".to_owned()));
        };
        // Taken back even if adding it fails: it may be there all the same.
        answers.records.push((name.to_owned(), value.clone()));
        provider.change(Action::Present, name, &value).await?;
        tokio::time::sleep(*propagation).await;
        Ok(())
    }

    async fn take_back(&self, records: Vec<(String, String)>, wanted: &Wanted) {
        let Some(Dns { provider, .. }) = &self.settings.dns else { return };
        for (name, value) in records {
            if let Err(error) = provider.change(Action::Cleanup, &name, &value).await {
                tracing::warn!(
                    tenant = &*wanted.tenant, domain = &*wanted.host, record = name, %error,
                    "a DNS record of a challenge was not taken away"
                );
            }
        }
    }

    /// The way by which a domain is proved: of those that are allowed and offered each in its turn, from the preferred
    /// one on; wildcards by DNS only (RFC 8555 section 7.1.3).
    fn way(&self, wanted: &Wanted, offered: &[ChallengeType]) -> Result<ChallengeKind, Failure> {
        let possible: Vec<ChallengeKind> = self
            .settings
            .challenges
            .iter()
            .copied()
            .filter(|kind| offered.contains(&challenge_type(*kind)))
            .filter(|kind| *kind == ChallengeKind::Dns01 || !wanted.is_wildcard())
            .collect();
        let turn = (wanted.failures as usize).checked_rem(possible.len());
        turn.map(|turn| possible[turn]).ok_or_else(|| {
            Failure::Domain("the authority offers no challenge that `challenges` allows".to_owned())
        })
    }

    fn new_key(&self) -> Result<KeyPair, Failure> {
        let algorithm = match self.settings.key_type {
            KeyType::EcdsaP256 => &rcgen::PKCS_ECDSA_P256_SHA256,
            KeyType::EcdsaP384 => &rcgen::PKCS_ECDSA_P384_SHA384,
        };
        KeyPair::generate_for(algorithm).map_err(|error| local("no key can be made", &error))
    }
}

/// What an order's challenges are answered with, until it is decided.
#[derive(Default)]
struct Answers {
    held: Vec<Answering>,
    /// Names and values of TXT records.
    records: Vec<(String, String)>,
}

fn challenge_type(kind: ChallengeKind) -> ChallengeType {
    match kind {
        ChallengeKind::Http01 => ChallengeType::Http01,
        ChallengeKind::TlsAlpn01 => ChallengeType::TlsAlpn01,
        ChallengeKind::Dns01 => ChallengeType::Dns01,
    }
}

/// Places an order; one that renews says so where the authority understands that (RFC 9773 section 5).
async fn new_order(
    account: &Account,
    host: &str,
    replaces: Option<CertificateIdentifier<'static>>,
) -> Result<Order, Error> {
    let identifiers = [Identifier::Dns(host.to_owned())];
    if let Some(replaces) = replaces {
        let order = NewOrder::new(&identifiers).replaces(replaces);
        match again(async || account.new_order(&order).await).await {
            // Nothing was sent.
            Err(Error::Unsupported(_)) => {}
            // Refused: somebody else has renewed it.
            Err(Error::Api(problem))
                if problem.r#type.as_deref().is_some_and(|kind| kind.ends_with(":alreadyReplaced")) => {}
            placed => return placed,
        }
    }
    again(async || account.new_order(&NewOrder::new(&identifiers)).await).await
}

/// What the authority says of the challenges of an order that it has refused.
async fn why_invalid(order: &mut Order) -> String {
    let mut why: Vec<String> = order.state().error.iter().map(ToString::to_string).collect();
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        if let Ok(state) = authorization.refresh().await {
            why.extend(
                state.challenges.iter().filter_map(|challenge| Some(challenge.error.as_ref()?.to_string())),
            );
        }
    }
    if why.is_empty() { "the authority does not say why".to_owned() } else { shown(&why.join("; ")) }
}

/// A certificate signing request for `host` alone, in DER.
fn signing_request(host: &str, key_pem: &str) -> Result<Vec<u8>, Failure> {
    let made = || {
        let key = KeyPair::from_pem(key_pem)?;
        let mut params = CertificateParams::new(vec![host.to_owned()])?;
        params.distinguished_name = DistinguishedName::new();
        Ok::<_, rcgen::Error>(params.serialize_request(&key)?.der().to_vec())
    };
    made().map_err(|error| local("no request can be made", &error))
}

fn local(what: &str, error: &rcgen::Error) -> Failure {
    Failure::Local(format!("{what}: {error}"))
}
