//! Reads the counters and encodes them.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, EncodeLabelSet, NoLabelSet};
use prometheus_client::metrics::MetricType;
use veloflux_snapshot::managed::ManagedCounters;
use veloflux_snapshot::mode::Mode;
use veloflux_snapshot::runtime::{
    ClientRefusal, DURATION_BOUNDS_US, Histogram, LimitOutcome, LimitState, TenantState,
};
use veloflux_snapshot::{Backend, Certificate, Pool, Snapshot};
use veloflux_waf::RuleCost;

use super::origins::{self, OriginTotals};
use super::{
    MAX_BACKENDS, MAX_CERTIFICATES, MAX_LIMITS, MAX_RULES, MAX_TENANTS, NO_TENANT, OTHER_TENANT, Sources,
};
use crate::eject;

/// Encodes what `Sources` lead to, anew for each scrape.
#[derive(Debug)]
pub(super) struct Reading(pub(super) Sources);

impl Collector for Reading {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let sources = &self.0;
        let snapshot = (sources.snapshot)();
        let mut families = Families(encoder);
        tenants(&mut families, &by_tenant(&snapshot, &sources.process.nobody))?;
        modes(&mut families, &snapshot)?;
        rules(&mut families, &snapshot)?;
        backends(&mut families, &snapshot, (sources.now_ms)())?;
        certificates(&mut families, &snapshot)?;
        origins::files(&mut families, &snapshot)?;
        limits(&mut families, &snapshot)?;
        managed(&mut families, &snapshot, &sources.managed.counters)?;
        process(&mut families, sources, snapshot.revision)
    }
}

fn tenants(families: &mut Families<'_>, rows: &[(&str, Totals)]) -> fmt::Result {
    const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
    let requests = rows.iter().flat_map(|(tenant, totals)| {
        let by_class = CLASSES.iter().zip(totals.requests);
        by_class.map(move |(class, count)| ([("tenant", *tenant), ("class", class)], count))
    });
    families.counters("veloflux_requests", "Requests answered", requests)?;
    families.gauges(
        "veloflux_active_connections",
        "Client connections and HTTP/2 streams being served",
        rows.iter().map(|(tenant, totals)| ([("tenant", *tenant)], totals.active)),
    )?;
    families.histograms(
        "veloflux_request_duration_seconds",
        "Time from request head to the response's last byte",
        rows.iter().map(|(tenant, totals)| ([("tenant", *tenant)], &totals.duration)),
    )?;
    families.histograms(
        "veloflux_waf_transaction_seconds",
        "Time that the firewall took for one request",
        rows.iter().map(|(tenant, totals)| ([("tenant", *tenant)], &totals.waf_duration)),
    )?;
    let mut count = |name: &str, help: &str, count: fn(&Totals) -> u64| {
        families.counters(
            name,
            help,
            rows.iter().map(|(tenant, totals)| ([("tenant", *tenant)], count(totals))),
        )
    };
    count("veloflux_waf_blocked", "Requests refused by the firewall", |totals| totals.waf_blocked)?;
    count("veloflux_waf_detected", "Requests that the firewall would refuse in block mode", |totals| {
        totals.waf_detected
    })?;
    count(
        "veloflux_waf_collections_evicted",
        "Entries of collections dropped before their time",
        |totals| totals.collections_evicted,
    )?;
    count("veloflux_waf_units", "Work of the firewall, in units of the work budget", |totals| {
        totals.waf_units
    })?;
    count("veloflux_waf_over_budget", "Requests whose judging took more than their work budget", |totals| {
        totals.waf_over_budget
    })?;
    count("veloflux_waf_undecodable", "Responses that could not be decoded to be looked at", |totals| {
        totals.waf_undecodable
    })?;
    count("veloflux_rejected", "Requests refused for other reasons", |totals| totals.rejected)?;
    count("veloflux_maintenance_refused", "Requests refused for maintenance", |totals| {
        totals.maintenance_refused
    })?;
    count("veloflux_challenged", "Requests that were told to prove work first", |totals| totals.challenged)?;
    count("veloflux_csp_reports", "Reports of what a Content-Security-Policy stopped", |totals| {
        totals.csp_reports
    })?;
    origins::tenants(families, &rows.iter().map(|(tenant, totals)| (*tenant, &totals.origins)))?;
    let refused = rows.iter().flat_map(|(tenant, totals)| {
        let by_reason = ClientRefusal::ALL.iter().zip(totals.clients_refused);
        let some = by_reason.filter(|(_, count)| *count > 0);
        some.map(move |(reason, count)| ([("tenant", *tenant), ("reason", reason.name())], count))
    });
    families.counters(
        "veloflux_client_certificates_refused",
        "TLS handshakes refused for the client's certificate",
        refused,
    )?;
    let mut gauge = |name: &str, help: &str, value: fn(&Totals) -> u64| {
        families.gauges(
            name,
            help,
            rows.iter().map(|(tenant, totals)| ([("tenant", *tenant)], value(totals) as i64)),
        )
    };
    gauge("veloflux_waf_collections_entries", "Entries that firewall rules keep in collections", |totals| {
        totals.collections_entries
    })?;
    gauge("veloflux_waf_collections_bytes", "Memory of these entries", |totals| totals.collections_bytes)
}

/// Tenants that are not served as usual.
fn modes(families: &mut Families<'_>, snapshot: &Snapshot) -> fmt::Result {
    let switched = snapshot.tenants.iter().filter(|tenant| !matches!(tenant.mode, Mode::Normal));
    families.gauges(
        "veloflux_tenant_mode",
        "1: the tenant is closed for maintenance, or under attack",
        switched.take(MAX_TENANTS).map(|tenant| ([("tenant", &*tenant.id), ("mode", tenant.mode.name())], 1)),
    )
}

/// The rules that cost most. One that is in several rule sets counts as one.
fn rules(families: &mut Families<'_>, snapshot: &Snapshot) -> fmt::Result {
    let mut costs: HashMap<u32, RuleCost> = HashMap::new();
    for (rule, cost) in snapshot.rulesets().iter().flat_map(|ruleset| ruleset.costs()) {
        let sum = costs.entry(rule.id).or_default();
        sum.units += cost.units;
        sum.runs += cost.runs;
    }
    let mut costs: Vec<_> = costs.into_iter().filter(|(_, cost)| cost.runs > 0).collect();
    costs.sort_unstable_by_key(|(id, cost)| (Reverse(cost.units), *id));
    costs.truncate(MAX_RULES);
    let mut count = |name: &str, help: &str, count: fn(&RuleCost) -> u64| {
        let samples = costs.iter().map(|(id, cost)| ([("rule", id.to_string())], count(cost)));
        families.counters(name, help, samples)
    };
    count(
        "veloflux_waf_rule_units",
        "Work of the rules that cost most, in units of the work budget",
        |cost| cost.units,
    )?;
    count("veloflux_waf_rule_runs", "How often these rules were looked at one by one", |cost| cost.runs)
}

fn backends(families: &mut Families<'_>, snapshot: &Snapshot, now_ms: u64) -> fmt::Result {
    let mut seen = HashSet::new();
    let pools: Vec<_> = snapshot.pools().filter(|pool| seen.insert(&pool.id)).collect();
    let all = || pools.iter().flat_map(|pool| pool.backends.iter().map(move |backend| (&***pool, backend)));
    let health = all().take(MAX_BACKENDS).map(|(pool, backend)| {
        let (tenant, name) = pool.id.split_once('/').unwrap_or(("", &pool.id));
        let labels = [("tenant", tenant), ("pool", name), ("backend", &*backend.authority)];
        (labels, i64::from(condition(pool, backend, now_ms) == "up"))
    });
    families.gauges("veloflux_backend_health", "1: the backend is given requests; 0: it is not", health)?;
    let counts = ["up", "down", "draining", "ejected"].map(|state| {
        let count = all().filter(|(pool, backend)| condition(pool, backend, now_ms) == state).count();
        ([("state", state)], count as i64)
    });
    families.gauges("veloflux_backends", "Backends by state", counts.into_iter())
}

fn certificates(families: &mut Families<'_>, snapshot: &Snapshot) -> fmt::Result {
    let ends = snapshot.certificates().map(|(tenant, one)| (one.not_after_unix_s, (tenant, one)));
    families.gauges(
        "veloflux_certificate_not_after_seconds",
        "When a certificate, or its intermediate that ends first, expires, in seconds since 1970",
        first_to_end(ends).into_iter().map(|(end, (tenant, one))| (labels(tenant, one), end)),
    )?;
    let responses = snapshot
        .certificates()
        .filter_map(|(tenant, one)| Some((one.ocsp_next_update_unix_s?, (tenant, one))));
    families.gauges(
        "veloflux_ocsp_next_update_seconds",
        "Until when a certificate's OCSP response is shown, in seconds since 1970",
        first_to_end(responses).into_iter().map(|(end, (tenant, one))| (labels(tenant, one), end)),
    )?;
    let lists = snapshot.tenants.iter().flat_map(|tenant| {
        let ends =
            tenant.revocation_lists.iter().filter_map(|list| Some((list.next_update_unix_s?, &*list.file)));
        ends.map(|(end, file)| (end, [("tenant", &*tenant.id), ("file", file)]))
    });
    families.gauges(
        "veloflux_revocation_list_next_update_seconds",
        "When a revocation list of client certificates ends, in seconds since 1970",
        first_to_end(lists).into_iter().map(|(end, labels)| (labels, end)),
    )
}

/// Domains whose certificates are ordered, and what became of the orders.
fn managed(families: &mut Families<'_>, snapshot: &Snapshot, counters: &ManagedCounters) -> fmt::Result {
    let served = snapshot.managed.iter().filter(|domain| domain.certificate.is_some()).count();
    let states = [("served", served), ("missing", snapshot.managed.len() - served)];
    families.gauges(
        "veloflux_acme_domains",
        "Domains whose certificates are ordered, by whether there is one",
        states.into_iter().map(|(state, count)| ([("state", state)], count as i64)),
    )?;
    let read = |counter: &AtomicU64| counter.load(Relaxed);
    let results = [
        ("placed", &counters.orders_placed),
        ("issued", &counters.orders_issued),
        ("failed", &counters.orders_failed),
        ("resumed", &counters.orders_resumed),
        ("limited", &counters.orders_limited),
    ];
    families.counters(
        "veloflux_acme_orders",
        "Orders for certificates by what became of them",
        results.into_iter().map(|(result, counter)| ([("result", result)], read(counter))),
    )?;
    families.counter(
        "veloflux_acme_unreadable",
        "Stored certificates that could not be read",
        read(&counters.unreadable),
    )?;
    families.gauge(
        "veloflux_acme_suspended",
        "1: nothing is ordered, because what is stored cannot be opened, or ordering has ended",
        i64::from(counters.suspended.load(Relaxed)),
    )
}

fn labels<'l>(tenant: &'l str, certificate: &'l Certificate) -> [(&'static str, &'l str); 2] {
    [("tenant", tenant), ("certificate", &certificate.name)]
}

/// The [`MAX_CERTIFICATES`] that end first.
fn first_to_end<T>(ends: impl Iterator<Item = (i64, T)>) -> Vec<(i64, T)> {
    let mut ends: Vec<_> = ends.collect();
    if ends.len() > MAX_CERTIFICATES {
        ends.select_nth_unstable_by_key(MAX_CERTIFICATES, |(end, _)| *end);
        ends.truncate(MAX_CERTIFICATES);
    }
    ends
}

/// The limits of the first tenants, each once, whichever routes it is in force on.
fn limits(families: &mut Families<'_>, snapshot: &Snapshot) -> fmt::Result {
    let mut seen = HashSet::new();
    let states = snapshot.tenants.iter().take(MAX_TENANTS).flat_map(|tenant| {
        let everywhere = tenant.routes.iter().map(|route| &route.limits).chain([&tenant.limits]);
        everywhere.flatten().flat_map(|limits| limits.states()).map(|state| (&*tenant.id, state))
    });
    let states: Vec<_> = states.filter(|(_, state)| seen.insert(&state.id)).take(MAX_LIMITS).collect();
    // `tenant/origin/name`: what is behind the tenant tells the limits of one tenant apart.
    let limit = |tenant: &str, state: &LimitState| state.id[tenant.len() + 1..].to_owned();
    let outcomes = states.iter().flat_map(|(tenant, state)| {
        LimitOutcome::ALL.iter().zip(&state.outcomes).map(move |(outcome, count)| {
            let labels = [
                ("tenant", (*tenant).to_owned()),
                ("limit", limit(tenant, state)),
                ("outcome", outcome.name().to_owned()),
            ];
            (labels, count.load(Relaxed))
        })
    });
    families.counters("veloflux_limited", "Requests over a limit, by what became of them", outcomes)?;
    families.counters(
        "veloflux_limit_unplaced",
        "Requests counted together with others because there was no room for their key",
        states.iter().map(|(tenant, state)| {
            (
                [("tenant", (*tenant).to_owned()), ("limit", limit(tenant, state))],
                state.unplaced.load(Relaxed),
            )
        }),
    )
}

fn condition(pool: &Pool, backend: &Backend, now_ms: u64) -> &'static str {
    let state = &backend.state;
    let is_ejected = |policy| eject::phase(policy, state, now_ms) == eject::Phase::Out;
    if state.draining.load(Relaxed) {
        "draining"
    } else if !state.healthy.load(Relaxed) {
        "down"
    } else if pool.ejection.as_ref().is_some_and(is_ejected) {
        "ejected"
    } else {
        "up"
    }
}

fn process(families: &mut Families<'_>, sources: &Sources, revision: u64) -> fmt::Result {
    let process = &sources.process;
    let read = |counter: &AtomicU64| counter.load(Relaxed);
    families.counters(
        "veloflux_reloads",
        "Desired states by what became of them",
        [
            ([("result", "accepted")], read(&process.reloads_accepted)),
            ([("result", "refused")], read(&process.reloads_refused)),
        ]
        .into_iter(),
    )?;
    families.gauge(
        "veloflux_config_last_reload_successful",
        "1 unless the last reload was refused",
        i64::from(!process.last_reload_refused.load(Relaxed)),
    )?;
    families.gauge(
        "veloflux_limit_bytes",
        "Memory of what limits remember",
        (sources.limit_bytes)() as i64,
    )?;
    families.gauge("veloflux_revision", "Number of the revision in force", revision as i64)?;
    for (name, help, counter) in [
        ("veloflux_retries", "Attempts after the first", &process.retries),
        (
            "veloflux_connections_refused",
            "Connections closed at accept: too many",
            &process.connections_refused,
        ),
        ("veloflux_connections_broken", "Connections with a bad PROXY header", &process.connections_broken),
        (
            "veloflux_metrics_refused",
            "Connections to the metrics listener that its rules refused",
            &process.metrics_refused,
        ),
        ("veloflux_handshakes_failed", "TLS handshakes that failed", &process.handshakes_failed),
    ] {
        families.counter(name, help, read(counter))?;
    }
    families.counters(
        "veloflux_log_dropped",
        "Log lines dropped because the queue was full or the target could not be written",
        sources.logs.iter().map(|(name, sink)| ([("log", *name)], sink.dropped())),
    )?;
    families.gauges(
        "veloflux_build_info",
        "The program's version",
        [([("version", sources.version)], 1)].into_iter(),
    )
}

/// The tenants' rows: the first ones by themselves, the rest together, and requests that are nobody's.
fn by_tenant<'a>(snapshot: &'a Snapshot, nobody: &TenantState) -> Vec<(&'a str, Totals)> {
    let of = |state: &TenantState| {
        let mut totals = Totals::default();
        totals.add(state);
        totals
    };
    let (own, rest) = snapshot.tenants.split_at(snapshot.tenants.len().min(MAX_TENANTS));
    let mut rows: Vec<_> = own.iter().map(|tenant| (&*tenant.id, of(&tenant.state))).collect();
    if !rest.is_empty() {
        let mut others = Totals::default();
        for tenant in rest {
            others.add(&tenant.state);
        }
        rows.push((OTHER_TENANT, others));
    }
    rows.push((NO_TENANT, of(nobody)));
    rows
}

/// Counts of one tenant, or of several together.
#[derive(Debug, Default)]
struct Totals {
    requests: [u64; 5],
    active: i64,
    duration: HistogramTotals,
    waf_duration: HistogramTotals,
    waf_blocked: u64,
    waf_detected: u64,
    waf_units: u64,
    waf_over_budget: u64,
    waf_undecodable: u64,
    origins: OriginTotals,
    clients_refused: [u64; ClientRefusal::ALL.len()],
    rejected: u64,
    maintenance_refused: u64,
    challenged: u64,
    csp_reports: u64,
    collections_entries: u64,
    collections_bytes: u64,
    collections_evicted: u64,
}

impl Totals {
    fn add(&mut self, state: &TenantState) {
        for (total, count) in self.requests.iter_mut().zip(&state.requests) {
            *total += count.load(Relaxed);
        }
        self.active += state.active.load(Relaxed);
        self.duration.add(&state.duration);
        self.waf_duration.add(&state.waf_duration);
        self.waf_blocked += state.waf_blocked.load(Relaxed);
        self.waf_units += state.waf_units.load(Relaxed);
        self.waf_undecodable += state.waf_undecodable.load(Relaxed);
        self.waf_over_budget += state.waf_over_budget.load(Relaxed);
        self.waf_detected += state.waf_detected.load(Relaxed);
        self.origins.add(state);
        for (total, count) in self.clients_refused.iter_mut().zip(&state.clients_refused) {
            *total += count.load(Relaxed);
        }
        self.rejected += state.rejected.load(Relaxed);
        self.maintenance_refused += state.maintenance_refused.load(Relaxed);
        self.challenged += state.challenged.load(Relaxed);
        self.csp_reports += state.csp_reports.load(Relaxed);
        let usage = state.collections.usage();
        self.collections_entries += usage.entries();
        self.collections_bytes += usage.bytes();
        self.collections_evicted += usage.evicted();
    }
}

#[derive(Debug, Default)]
struct HistogramTotals {
    buckets: [u64; DURATION_BOUNDS_US.len() + 1],
    sum_us: u64,
}

impl HistogramTotals {
    fn add(&mut self, histogram: &Histogram) {
        for (total, count) in self.buckets.iter_mut().zip(&histogram.buckets) {
            *total += count.load(Relaxed);
        }
        self.sum_us += histogram.sum_us.load(Relaxed);
    }
}

/// Writes families of metrics.
pub(super) struct Families<'a>(DescriptorEncoder<'a>);

impl Families<'_> {
    /// `_total` is added to the name.
    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        metric.encode_counter::<NoLabelSet, _, u64>(&value, None)
    }

    fn gauge(&mut self, name: &str, help: &str, value: i64) -> fmt::Result {
        self.0.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)
    }

    /// `_total` is added to the name.
    pub(super) fn counters<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl Iterator<Item = (L, u64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in samples {
            family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&value, None)?;
        }
        Ok(())
    }

    pub(super) fn gauges<L: EncodeLabelSet, V: EncodeGaugeValue>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl Iterator<Item = (L, V)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in samples {
            family.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    fn histograms<'h, L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl Iterator<Item = (L, &'h HistogramTotals)>,
    ) -> fmt::Result {
        let seconds = |us: u64| us as f64 / 1e6;
        let bounds = || DURATION_BOUNDS_US.iter().map(|&us| seconds(us)).chain([f64::INFINITY]);
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for (labels, totals) in samples {
            // The encoder makes the counts cumulative.
            let buckets: Vec<(f64, u64)> = bounds().zip(totals.buckets).collect();
            family.encode_family(&labels)?.encode_histogram::<NoLabelSet>(
                seconds(totals.sum_us),
                totals.buckets.iter().sum(),
                &buckets,
                None,
            )?;
        }
        Ok(())
    }
}
