//! Metrics of IP and country rules, and of the lists and databases that they are judged by.

use std::fmt;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{SystemTime, UNIX_EPOCH};

use veloflux_snapshot::runtime::TenantState;
use veloflux_snapshot::{AccessRule, DataFile, DataKind, GeoDatabase, Snapshot};

use super::MAX_LISTS;
use super::collect::Families;

/// Requests of one tenant, or of several, that rules had something against, by kind.
#[derive(Debug, Default)]
pub(super) struct OriginTotals {
    blocked: [u64; AccessRule::ALL.len()],
    logged: [u64; AccessRule::ALL.len()],
}

impl OriginTotals {
    pub(super) fn add(&mut self, state: &TenantState) {
        for (total, count) in self.blocked.iter_mut().zip(&state.access_blocked) {
            *total += count.load(Relaxed);
        }
        for (total, count) in self.logged.iter_mut().zip(&state.access_logged) {
            *total += count.load(Relaxed);
        }
    }
}

/// By tenant and kind of rule; kinds that had nothing against anybody are left out.
pub(super) fn tenants<'a>(
    families: &mut Families<'_>,
    rows: &(impl Iterator<Item = (&'a str, &'a OriginTotals)> + Clone),
) -> fmt::Result {
    let by_rule = |counts: fn(&OriginTotals) -> &[u64; AccessRule::ALL.len()]| {
        rows.clone().flat_map(move |(tenant, totals)| {
            let kinds = AccessRule::ALL.iter().zip(counts(totals)).filter(|(_, count)| **count > 0);
            kinds.map(move |(rule, count)| ([("tenant", tenant), ("rule", rule.name())], *count))
        })
    };
    families.counters(
        "veloflux_origin_blocked",
        "Requests refused by IP and country rules",
        by_rule(|totals| &totals.blocked),
    )?;
    families.counters(
        "veloflux_origin_logged",
        "Requests that IP and country rules with `action: log` would refuse",
        by_rule(|totals| &totals.logged),
    )
}

/// Lists and databases: whether what they hold now is in force, and how large and old they are.
pub(super) fn files(families: &mut Families<'_>, snapshot: &Snapshot) -> fmt::Result {
    let now_unix_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let lists = || {
        let lists = snapshot.data_files.iter().filter_map(|file| match &file.kind {
            DataKind::List(list) => Some(([("list", &*file.path)], file, list)),
            DataKind::Database(_) => None,
        });
        lists.take(MAX_LISTS)
    };
    let databases = || {
        snapshot.data_files.iter().filter_map(|file| match &file.kind {
            DataKind::Database(database) => Some(([("database", &*file.path)], file, &**database)),
            DataKind::List(_) => None,
        })
    };
    let refused = |file: &DataFile| i64::from(file.refused.is_some());
    families.gauges(
        "veloflux_address_list_refused",
        "1: what the list holds now is refused, what it held before is in force",
        lists().map(|(labels, file, _)| (labels, refused(file))),
    )?;
    families.gauges(
        "veloflux_address_list_ranges",
        "Ranges of addresses in the list, once what touches is joined",
        lists().map(|(labels, _, list)| (labels, list.addresses.ranges() as i64)),
    )?;
    families.gauges(
        "veloflux_geo_database_refused",
        "1: what the file holds now is refused, what it held before is in force",
        databases().map(|(labels, file, _)| (labels, refused(file))),
    )?;
    let mut of_database = |name: &str, help: &str, value: &dyn Fn(&GeoDatabase) -> i64| {
        let samples = databases().map(|(labels, _, database)| (labels, value(database)));
        families.gauges(name, help, samples)
    };
    of_database(
        "veloflux_geo_database_built_seconds",
        "When the database was built, in seconds since 1970",
        &|d| d.built_unix_s as i64,
    )?;
    of_database("veloflux_geo_database_age_seconds", "Time since the database was built", &|database| {
        database.age_s(now_unix_s) as i64
    })?;
    let most = snapshot.geo.as_ref().map_or(u64::MAX, |geo| geo.max_age.as_secs());
    of_database(
        "veloflux_geo_database_outdated",
        "1: the database is older than `geo.max_age`",
        &|database| i64::from(database.age_s(now_unix_s) > most),
    )
}
