//! What is learnt of a request on its way through the stages, and where it goes in the end: the tenant's counters,
//! the access log and the event log.
//!
//! An [`Observation`] writes when it is dropped, so that no way out of the stages, not even a task that is cut,
//! leaves a request unrecorded.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::Instant;
use veloflux_model::value::Country;
use veloflux_snapshot::compile::stable_hash;
use veloflux_snapshot::headers::Headers;
use veloflux_snapshot::limit::RateRule;
use veloflux_snapshot::mode::Mode;
use veloflux_snapshot::runtime::TenantState;
use veloflux_snapshot::tls::TlsPolicy;
use veloflux_snapshot::{Backend, FirewallPolicy, Origin, Route, Snapshot, Tenant};
use veloflux_waf::{Cause, Levels, Match, Record};

use crate::accept::ConnectionInfo;
use crate::access::Denied;
use crate::answer::Rejection;
use crate::core::Core;
use crate::firewall::Outcome;
use crate::head::{Fields, Known, RequestHead};
use crate::headers::{self, Recipient, Report, Transport};
use crate::limit::{Limited, Quota};
use crate::metrics::NO_TENANT;
use crate::record::{
    AccessEntry, CspEvent, EventAction, FirewallEvent, LimitEvent, LimitSummary, ModeOutcome, ModeSummary,
    OriginEvent, OriginSummary, RequestId, RuleMatch, Termination, Timestamp, TlsSession, WafCause,
    WafSummary, WafVerdict,
};
use crate::template::Values;

/// Longest parts of a log line, in bytes.
const MAX_HOST: usize = 255;
const MAX_PATH: usize = 1024;
const MAX_QUERY: usize = 1024;
const MAX_USER_AGENT: usize = 256;
const MAX_METHOD: usize = 32;
const MAX_MESSAGE: usize = 256;
const MAX_VARIABLE: usize = 128;
const MAX_URL: usize = 1024;
const MAX_DIRECTIVE: usize = 128;

/// Most rules in an access entry or an event; the engine bounds what it gathers, this bounds the line.
const MAX_RULES: usize = 64;

/// One request, observed.
pub(crate) struct Observation<'a> {
    core: &'a Core,
    info: &'a ConnectionInfo,
    head: Option<&'a RequestHead>,
    pub(crate) begun: Instant,
    /// Wall clock at the request's head, in microseconds since 1970.
    pub(crate) unix_us: u64,
    id: RequestId,
    client: IpAddr,
    origin: Origin,
    denied: Option<Denied>,
    mode: Option<ModeSummary>,
    tenant: Option<Arc<Tenant>>,
    route: Option<Arc<str>>,
    levels: Option<Levels>,
    /// Status sent; 0: none.
    pub(crate) status: u16,
    /// Body bytes received.
    pub(crate) bytes_in: u64,
    /// Body bytes sent.
    pub(crate) bytes_out: u64,
    pub(crate) retries: u32,
    upstream: Option<Arc<str>>,
    asked: Instant,
    upstream_time_us: Option<u64>,
    termination: Termination,
    outcome: Option<Outcome>,
    /// What the domain's answers say of strict transport security.
    hsts: Option<&'a str>,
    /// The limits that the request was over.
    limited: Vec<Limited<'a>>,
    quota: Option<Quota<'a>>,
    /// What is done to the response's header: nobody's, the tenant's, the route's, as far as the request has come.
    header_policy: &'a Headers,
}

impl<'a> Observation<'a> {
    /// A request begins. `head` is what could be read of it.
    pub(crate) fn begin(
        core: &'a Core,
        info: &'a ConnectionInfo,
        head: Option<&'a RequestHead>,
        snapshot: &'a Snapshot,
    ) -> Self {
        core.shared.requests.fetch_add(1, Relaxed);
        let begun = core.now();
        Self {
            core,
            info,
            head,
            begun,
            unix_us: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_micros() as u64),
            id: RequestId::new(),
            client: info.peer.ip().to_canonical(),
            origin: Origin::default(),
            denied: None,
            mode: None,
            tenant: None,
            route: None,
            levels: None,
            status: 0,
            bytes_in: 0,
            bytes_out: 0,
            retries: 0,
            upstream: None,
            asked: begun,
            upstream_time_us: None,
            // What stands here if the task is cut before it says otherwise.
            termination: Termination::Drained,
            outcome: None,
            hsts: None,
            limited: Vec::new(),
            quota: None,
            header_policy: &snapshot.header_policy,
        }
    }

    pub(crate) fn request_id(&self) -> &str {
        self.id.as_str()
    }

    pub(crate) fn is_tls(&self) -> bool {
        self.info.is_tls()
    }

    pub(crate) fn client_ip(&self) -> IpAddr {
        self.client
    }

    /// The client's address as a number for consistent hashing; the same on every node.
    pub(crate) fn client_hash(&self) -> u64 {
        match self.client {
            IpAddr::V4(client) => stable_hash(&client.octets(), 0),
            IpAddr::V6(client) => stable_hash(&client.octets(), 0),
        }
    }

    pub(crate) fn tenant(&mut self, tenant: &'a Arc<Tenant>) {
        self.header_policy = &tenant.header_policy;
        tenant.state.active.fetch_add(1, Relaxed);
        self.tenant = Some(tenant.clone());
    }

    /// The host's domain has a TLS policy.
    pub(crate) fn tls_policy(&mut self, policy: &'a TlsPolicy) {
        self.hsts = policy.hsts.as_deref();
    }

    pub(crate) fn route(&mut self, route: &'a Route) {
        self.header_policy = &route.header_policy;
        self.route = Some(route.name.clone());
    }

    /// What the tenant's mode, which is not the usual one, has done so far.
    pub(crate) fn mode(&mut self, mode: &Mode, outcome: ModeOutcome) {
        self.mode = Some(ModeSummary { name: mode.name(), outcome });
    }

    /// The firewall looks at the request.
    pub(crate) fn inspected(&mut self, policy: &FirewallPolicy) {
        self.levels = Some(policy.overlay.levels());
    }

    pub(crate) fn client(&mut self, client: IpAddr) {
        self.client = client.to_canonical();
    }

    /// What is known of where the client is.
    pub(crate) fn origin(&mut self, origin: Origin) {
        self.origin = origin;
    }

    pub(crate) fn known_origin(&self) -> Origin {
        self.origin
    }

    /// IP and country rules have something against the request.
    pub(crate) fn denied(&mut self, denied: Denied) {
        let counters = self.counters();
        let counts = if denied.blocked { &counters.access_blocked } else { &counters.access_logged };
        counts[denied.rule.index()].fetch_add(1, Relaxed);
        self.denied = Some(denied);
    }

    /// The request is over a limit.
    pub(crate) fn limited(&mut self, limited: Limited<'a>) {
        limited.state.count(limited.outcome);
        self.limited.push(limited);
    }

    /// Keeps what a rule has left for the client, if the client is told of it and no other rule leaves it less.
    pub(crate) fn quota(&mut self, rule: &'a RateRule, left: u32, reset_ns: u64) {
        if let Some(policy) = &rule.policy
            && self.quota.as_ref().is_none_or(|quota| left <= quota.left)
        {
            self.quota = Some(Quota { policy, name: &rule.name, left, reset_ns });
        }
    }

    /// Makes the header of a response ready to go out: `own` are the backend's fields, or those of the answer that the
    /// edge makes itself; `added` is what goes out beside them.
    pub(crate) fn finish_header(&self, head: &RequestHead, own: &mut Fields, added: &mut Fields) {
        added.push_known(Known::XRequestId, b"X-Request-Id", self.request_id().as_bytes());
        if let Some(quota) = &self.quota {
            quota.write(added);
        }
        let to = Recipient {
            request: self.values(head),
            transport: if self.is_tls() { Transport::Tls { hsts: self.hsts } } else { Transport::Plain },
            is_refused: self.termination == Termination::Rejected,
        };
        headers::finish(self.header_policy, &to, own, added);
    }

    /// What placeholders stand for.
    pub(crate) fn values<'v>(&'v self, head: &'v RequestHead) -> Values<'v> {
        Values { head, client: self.client, request_id: self.request_id() }
    }

    /// The request brings a report.
    pub(crate) fn csp_report(&self, report: &Report<'_>) {
        self.counters().csp_reports.fetch_add(1, Relaxed);
        let Some(head) = self.head.filter(|_| self.core.event_log.is_on()) else { return };
        let masker = &self.core.config.masker;
        self.core.event_log.write(&CspEvent {
            time: Timestamp::from_unix_us(self.unix_us),
            request_id: self.id,
            tenant: self.tenant_id(),
            client: self.client,
            host: masker.text(head.authority(), MAX_HOST),
            document: masker.path(&*report.document, MAX_URL),
            blocked: masker.path(&*report.blocked, MAX_URL),
            directive: masker.text(&*report.directive, MAX_DIRECTIVE),
            source: masker.path(&*report.source, MAX_URL),
            line: report.line,
            enforced: report.enforced,
        });
    }

    /// A backend is asked.
    pub(crate) fn asked(&mut self, backend: &Backend, now: Instant) {
        self.upstream = Some(backend.authority.clone());
        self.asked = now;
    }

    /// The backend's response head is there.
    pub(crate) fn answered(&mut self, now: Instant) {
        self.upstream_time_us = Some((now - self.asked).as_micros() as u64);
    }

    pub(crate) fn retried(&mut self) {
        self.retries += 1;
        self.core.counters.retries.fetch_add(1, Relaxed);
    }

    /// The request ended in a rejection; `begun`: after its answer had begun.
    pub(crate) fn rejected(&mut self, rejection: &Rejection, begun: bool) {
        self.termination = match rejection {
            Rejection::ClientGone => Termination::ClientClosed,
            Rejection::RequestTimeout if begun => Termination::ClientTimeout,
            Rejection::BackendTimeout if begun => Termination::BackendTimeout,
            Rejection::BackendFailed if begun => Termination::BackendClosed,
            _ => Termination::Rejected,
        };
        if *rejection == Rejection::ClientGone && self.status == 0 {
            self.status = rejection.status();
        }
        // A client that hangs up was not refused, and those of the firewall, of IP and country rules and of the tenant's mode
        // have counters of their own.
        if !matches!(
            rejection,
            Rejection::ClientGone
                | Rejection::Blocked { .. }
                | Rejection::Undecodable
                | Rejection::Denied
                | Rejection::Maintenance { .. }
                | Rejection::ProofRequired
        ) {
            self.counters().rejected.fetch_add(1, Relaxed);
        }
    }

    /// The stages are over.
    pub(crate) fn finish(mut self, outcome: Option<Outcome>) {
        if self.termination == Termination::Drained {
            self.termination = Termination::Complete;
        }
        self.outcome = outcome;
    }

    fn counters(&self) -> &TenantState {
        self.tenant.as_ref().map_or(&self.core.counters.nobody, |tenant| &tenant.state)
    }

    fn tenant_id(&self) -> &str {
        self.tenant.as_ref().map_or(NO_TENANT, |tenant| &tenant.id)
    }

    fn count(&self, duration_us: u64) {
        let counters = self.counters();
        if let Some(class) =
            (self.status as usize / 100).checked_sub(1).and_then(|i| counters.requests.get(i))
        {
            class.fetch_add(1, Relaxed);
        }
        counters.duration.observe(duration_us);
        if self.tenant.is_some() {
            counters.active.fetch_sub(1, Relaxed);
        }
        if let Some(outcome) = &self.outcome {
            counters.waf_duration.observe(outcome.spent.as_micros() as u64);
            counters.waf_units.fetch_add(outcome.record.work.units, Relaxed);
            counters.waf_undecodable.fetch_add(u64::from(outcome.undecodable.is_some()), Relaxed);
            counters.waf_over_budget.fetch_add(u64::from(outcome.record.work.over_budget), Relaxed);
            match verdict(outcome) {
                WafVerdict::Blocked => counters.waf_blocked.fetch_add(1, Relaxed),
                WafVerdict::Detected => counters.waf_detected.fetch_add(1, Relaxed),
                WafVerdict::Passed => 0,
            };
        }
        self.core.shared.requests.fetch_sub(1, Relaxed);
    }

    fn log_access(&self, duration_us: u64) {
        let masker = &self.core.config.masker;
        let empty = RequestHead::default();
        let head = self.head.unwrap_or(&empty);
        let rules: Vec<u64> = self.matches().iter().map(|m| u64::from(m.rule_id)).take(MAX_RULES).collect();
        let limits: Vec<LimitSummary<'_>> = self.limited.iter().map(Limited::summary).collect();
        self.core.access_log.write(&AccessEntry {
            time: Timestamp::from_unix_us(self.unix_us),
            request_id: self.id,
            tenant: self.tenant_id(),
            route: self.route.as_deref(),
            client: self.client,
            country: self.origin.country.map(Country::code),
            asn: self.origin.asn.map(NonZeroU32::get),
            host: masker.text(head.authority(), MAX_HOST),
            method: masker.text(head.method(), MAX_METHOD),
            path: masker.path(head.path(), MAX_PATH),
            query: head.has_query.then(|| masker.query(head.query(), MAX_QUERY)),
            protocol: head.version.as_str(),
            status: self.status,
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            duration_us,
            upstream: self.upstream.as_deref(),
            upstream_time_us: self.upstream_time_us,
            retries: self.retries,
            tls: self.info.tls_version.map(|version| TlsSession {
                version,
                sni: self.info.sni.as_deref().map(|sni| masker.text(sni, MAX_HOST)),
                alpn: self.info.alpn,
                client_sha256: self.info.client_cert.as_ref().map(|shown| &*shown.sha256),
            }),
            user_agent: head.fields.first(Known::UserAgent).map(|agent| masker.text(agent, MAX_USER_AGENT)),
            mode: self.mode,
            origin: self
                .denied
                .as_ref()
                .map(|denied| OriginSummary { action: denied.action(), rule: denied.rule.name() }),
            waf: self.outcome.as_ref().map(|outcome| WafSummary {
                verdict: verdict(outcome),
                score: score(outcome.record.inbound_score),
                cause: cause(outcome),
                units: outcome.record.work.units,
                rules: &rules,
            }),
            limits: &limits,
            termination: self.termination,
        });
    }

    fn log_origin(&self, denied: &Denied) {
        let Some(head) = self.head else { return };
        let masker = &self.core.config.masker;
        self.core.event_log.write(&OriginEvent {
            time: Timestamp::from_unix_us(self.unix_us),
            request_id: self.id,
            tenant: self.tenant_id(),
            route: self.route.as_deref().unwrap_or_default(),
            action: denied.action(),
            rule: denied.rule.name(),
            list: denied.list.as_deref(),
            client: self.client,
            country: self.origin.country.map(Country::code),
            asn: self.origin.asn.map(NonZeroU32::get),
            method: masker.text(head.method(), MAX_METHOD),
            host: masker.text(head.authority(), MAX_HOST),
            path: masker.path(head.path(), MAX_PATH),
        });
    }

    fn log_event(&self, outcome: &Outcome) {
        for error in &outcome.record.internal_errors {
            tracing::error!(
                tenant = self.tenant_id(),
                request_id = self.request_id(),
                error,
                "the firewall failed"
            );
        }
        let (Some(head), Some(levels)) = (self.head, self.levels) else { return };
        if outcome.record.matches.is_empty() && verdict(outcome) == WafVerdict::Passed {
            return;
        }
        let masker = &self.core.config.masker;
        let rules: Vec<RuleMatch<'_>> = self
            .matches()
            .iter()
            .take(MAX_RULES)
            .map(|m| RuleMatch {
                id: u64::from(m.rule_id),
                message: masker.text(&m.message, MAX_MESSAGE),
                tags: &m.tags,
                severity: m.severity.map(veloflux_waf::Severity::level),
                phase: m.phase,
                variable: masker.text(&m.variable, MAX_VARIABLE),
                value: masker.matched(&m.variable, &m.value),
            })
            .collect();
        self.core.event_log.write(&FirewallEvent {
            time: Timestamp::from_unix_us(self.unix_us),
            request_id: self.id,
            tenant: self.tenant_id(),
            route: self.route.as_deref().unwrap_or_default(),
            action: match verdict(outcome) {
                WafVerdict::Blocked => EventAction::Blocked,
                WafVerdict::Detected => EventAction::Detected,
                WafVerdict::Passed => EventAction::Logged,
            },
            cause: cause(outcome),
            client: self.client,
            method: masker.text(head.method(), MAX_METHOD),
            host: masker.text(head.authority(), MAX_HOST),
            path: masker.path(head.path(), MAX_PATH),
            inbound_score: score(outcome.record.inbound_score),
            outbound_score: score(outcome.record.outbound_score),
            inbound_threshold: levels.inbound_threshold,
            outbound_threshold: levels.outbound_threshold,
            rules: &rules,
        });
    }

    fn log_limits(&self, head: &RequestHead) {
        let masker = &self.core.config.masker;
        for limited in &self.limited {
            let LimitSummary { set_by, name, outcome, time_ms } = limited.summary();
            self.core.event_log.write(&LimitEvent {
                time: Timestamp::from_unix_us(self.unix_us),
                request_id: self.id,
                tenant: self.tenant_id(),
                route: self.route.as_deref(),
                set_by,
                limit: name,
                outcome,
                time_ms,
                client: self.client,
                method: masker.text(head.method(), MAX_METHOD),
                host: masker.text(head.authority(), MAX_HOST),
                path: masker.path(head.path(), MAX_PATH),
            });
        }
    }

    fn matches(&self) -> &[Match] {
        self.outcome.as_ref().map_or(&[], |outcome| &outcome.record.matches)
    }
}

impl Drop for Observation<'_> {
    fn drop(&mut self) {
        let duration_us = (self.core.now() - self.begun).as_micros() as u64;
        self.count(duration_us);
        if self.core.access_log.is_on() {
            self.log_access(duration_us);
        }
        if self.core.event_log.is_on() {
            if let Some(denied) = &self.denied {
                self.log_origin(denied);
            }
            if let Some(head) = self.head.filter(|_| !self.limited.is_empty()) {
                self.log_limits(head);
            }
            if let Some(outcome) = &self.outcome {
                self.log_event(outcome);
            }
        }
    }
}

fn verdict(outcome: &Outcome) -> WafVerdict {
    match &outcome.record {
        record if record.refused.is_some() => WafVerdict::Blocked,
        _ if outcome.undecodable == Some(WafVerdict::Blocked) => WafVerdict::Blocked,
        _ if outcome.undecodable.is_some() => WafVerdict::Detected,
        record if record.would_refuse.is_some() => WafVerdict::Detected,
        _ => WafVerdict::Passed,
    }
}

/// Who refused, or would have in block mode.
fn cause(outcome: &Outcome) -> Option<WafCause> {
    let Record { refused, would_refuse, .. } = &outcome.record;
    if refused.is_none() && outcome.undecodable.is_some() {
        return Some(WafCause::Undecodable);
    }
    Some(match refused.as_ref().or(would_refuse.as_ref())?.cause {
        Cause::Rule(_) => WafCause::Rule,
        Cause::Budget => WafCause::WorkBudget,
        Cause::BodyLimit => WafCause::BodyLimit,
        Cause::Internal(_) => WafCause::Failure,
    })
}

fn score(score: i64) -> u32 {
    u32::try_from(score.max(0)).unwrap_or(u32::MAX)
}
