//! What ordering certificates and serving them share: certificates that were issued, answers to the challenges by which
//! an authority has domains proved, and counters.
//!
//! Whoever orders writes, the serving cores read without a lock. Answers live for as long as an order runs; nothing here
//! is made on the word of a client, so an unknown name or token finds nothing and starts nothing.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use arc_swap::ArcSwap;

use crate::{Certificate, TlsCertificate};

/// The protocol by which an authority asks for a challenge's certificate (RFC 8737 section 6.2).
pub const ACME_TLS_ALPN: &[u8] = b"acme-tls/1";

/// A certificate that was issued for one domain of one tenant.
#[derive(Debug, Clone)]
pub struct IssuedCertificate {
    /// The tenant that it was ordered for; no other is served with it.
    pub tenant: Arc<str>,
    /// The certificate; its name is the domain, as the tenant wrote it.
    pub certificate: Certificate,
}

/// Issued certificates by tenant and domain.
#[derive(Debug, Clone, Default)]
pub struct IssuedCertificates(HashMap<(Arc<str>, Arc<str>), IssuedCertificate>);

impl IssuedCertificates {
    /// The certificate of a tenant's domain.
    pub fn get(&self, tenant: &Arc<str>, host: &Arc<str>) -> Option<&IssuedCertificate> {
        self.0.get(&(tenant.clone(), host.clone()))
    }

    /// Adds a certificate, in place of the domain's last one.
    pub fn insert(&mut self, certificate: IssuedCertificate) {
        self.0.insert((certificate.tenant.clone(), certificate.certificate.name.clone()), certificate);
    }
}

/// A domain whose certificate is ordered and renewed by itself.
#[derive(Debug, Clone)]
pub struct ManagedDomain {
    /// Whose it is.
    pub tenant: Arc<str>,
    /// The domain.
    pub host: Arc<str>,
    /// What is served; `None`: nothing was issued yet, and TLS clients are refused.
    pub certificate: Option<IssuedCertificate>,
}

/// The answer to a challenge over HTTP.
#[derive(Debug)]
struct HttpAnswer {
    host: Box<str>,
    body: Arc<str>,
}

/// The place where both sides meet.
#[derive(Debug, Default)]
pub struct Managed {
    issued: ArcSwap<IssuedCertificates>,
    http: ArcSwap<HashMap<Box<str>, Arc<HttpAnswer>>>,
    handshakes: ArcSwap<HashMap<Box<str>, ChallengeCertificate>>,
    /// What became of orders.
    pub counters: ManagedCounters,
}

/// Counters of orders and certificates.
#[derive(Debug, Default)]
pub struct ManagedCounters {
    /// Orders sent to an authority.
    pub orders_placed: AtomicU64,
    /// Orders that ended with a certificate in use.
    pub orders_issued: AtomicU64,
    /// Orders that ended otherwise, and attempts that failed before or during one.
    pub orders_failed: AtomicU64,
    /// Unfinished orders that were gone on with, after a failure or by another process.
    pub orders_resumed: AtomicU64,
    /// Attempts put off because the configured number of orders was reached.
    pub orders_limited: AtomicU64,
    /// Stored certificates that could not be read.
    pub unreadable: AtomicU64,
    /// Whether nothing is ordered at all: what is stored cannot be opened, or ordering has ended.
    pub suspended: AtomicBool,
}

#[derive(Clone)]
struct ChallengeCertificate(TlsCertificate);

impl fmt::Debug for ChallengeCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChallengeCertificate")
    }
}

impl Managed {
    /// The certificates issued so far.
    pub fn issued(&self) -> Arc<IssuedCertificates> {
        self.issued.load_full()
    }

    /// Begins with what an earlier process was issued.
    pub fn restore(&self, issued: IssuedCertificates) {
        self.issued.store(Arc::new(issued));
    }

    /// Adds a certificate; it is served once a snapshot with it is published.
    pub fn issue(&self, certificate: &IssuedCertificate) {
        self.issued.rcu(|issued| {
            let mut issued = IssuedCertificates::clone(issued);
            issued.insert(certificate.clone());
            issued
        });
    }

    /// What to answer `host` for the token of an HTTP challenge (RFC 8555 section 8.3).
    pub fn http_answer(&self, host: &str, token: &str) -> Option<Arc<str>> {
        let answers = self.http.load();
        let answer = answers.get(token)?;
        (*answer.host == *host).then(|| answer.body.clone())
    }

    /// Answers a token of `host` from now on, until the result is dropped.
    pub fn answer_http(self: &Arc<Self>, host: &str, token: &str, body: &str) -> Answering {
        let answer = Arc::new(HttpAnswer { host: host.into(), body: body.into() });
        self.http.rcu(|answers| {
            let mut answers = HashMap::clone(answers);
            answers.insert(token.into(), answer.clone());
            answers
        });
        Answering { managed: self.clone(), key: token.into(), own: Own::Http(answer) }
    }

    /// The certificate to show `host`'s authority in a challenge's handshake (RFC 8737 section 3).
    pub fn handshake(&self, host: &str) -> Option<TlsCertificate> {
        self.handshakes.load().get(host).map(|certificate| certificate.0.clone())
    }

    /// Shows `certificate` in challenges' handshakes for `host` from now on, until the result is dropped.
    pub fn answer_handshake(self: &Arc<Self>, host: &str, certificate: TlsCertificate) -> Answering {
        let certificate = ChallengeCertificate(certificate);
        self.handshakes.rcu(|answers| {
            let mut answers = HashMap::clone(answers);
            answers.insert(host.into(), certificate.clone());
            answers
        });
        Answering { managed: self.clone(), key: host.into(), own: Own::Handshake(certificate) }
    }
}

/// Takes an answer back when it is dropped, unless another one has taken its place.
#[derive(Debug)]
#[must_use = "dropped, the answer is taken back"]
pub struct Answering {
    managed: Arc<Managed>,
    key: Box<str>,
    own: Own,
}

#[derive(Debug)]
enum Own {
    Http(Arc<HttpAnswer>),
    Handshake(ChallengeCertificate),
}

impl Drop for Answering {
    fn drop(&mut self) {
        match &self.own {
            Own::Http(own) => without(&self.managed.http, &self.key, |answer| Arc::ptr_eq(answer, own)),
            Own::Handshake(own) => {
                without(&self.managed.handshakes, &self.key, |shown| Arc::ptr_eq(&shown.0, &own.0));
            }
        }
    }
}

fn without<T: Clone>(answers: &ArcSwap<HashMap<Box<str>, T>>, key: &str, is_own: impl Fn(&T) -> bool) {
    answers.rcu(|answers| {
        let mut answers = HashMap::clone(answers);
        if answers.get(key).is_some_and(&is_own) {
            answers.remove(key);
        }
        answers
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_for_its_host_and_token_while_it_is_held() {
        let managed = Arc::new(Managed::default());
        let held = managed.answer_http("a.example", "token", "token.print");
        let other = managed.answer_http("b.example", "other", "other.print");
        assert_eq!(managed.http_answer("a.example", "token").as_deref(), Some("token.print"));
        assert_eq!(managed.http_answer("b.example", "token"), None);
        assert_eq!(managed.http_answer("a.example", "other"), None);
        assert_eq!(managed.http_answer("a.example", "unknown"), None);
        drop(held);
        assert_eq!(managed.http_answer("a.example", "token"), None);
        assert_eq!(managed.http_answer("b.example", "other").as_deref(), Some("other.print"));
        drop(other);
    }

    #[test]
    fn an_answer_that_was_given_anew_outlives_the_old_one() {
        let managed = Arc::new(Managed::default());
        let old = managed.answer_http("a.example", "token", "token.print");
        let new = managed.answer_http("a.example", "token", "token.print");
        drop(old);
        assert!(managed.http_answer("a.example", "token").is_some());
        drop(new);
        assert!(managed.http_answer("a.example", "token").is_none());
    }
}
