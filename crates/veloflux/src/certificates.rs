//! `veloflux certificates`: what there is, from where, until when, and what went wrong.

use std::collections::HashMap;
use std::fmt;

use serde::Serialize;
use veloflux_control::acme;
use veloflux_proxy::record::Timestamp;
use veloflux_snapshot::Lapsed;

use crate::cli::Certificates;
use crate::failure::{Failure, Outcome};
use crate::load::ProcessFile;

pub(crate) fn run(args: &Certificates) -> Outcome {
    let process = ProcessFile::read(&args.files.process)?;
    let snapshot = process.loader(args.files.state.as_deref()).load(1, Lapsed::Serve)?;
    let (stored, statuses, unreadable) = acme::list(&process.data_directory());
    for file in unreadable {
        eprintln!("{file}");
    }
    let uploaded = snapshot.tenants.iter().flat_map(|tenant| {
        tenant.certificates.iter().map(|certificate| Row {
            tenant: tenant.id.to_string(),
            name: certificate.name.to_string(),
            source: certificate.file.to_string(),
            not_after: u64::try_from(certificate.not_after_unix_s).ok().map(timestamp),
            next_renewal: None,
            last_error: certificate.lapsed.as_ref().map(ToString::to_string),
        })
    });
    let mut statuses: HashMap<_, _> =
        statuses.into_iter().map(|status| ((status.tenant.clone(), status.host.clone()), status)).collect();
    let ordered = snapshot.managed.iter().map(|domain| {
        let key = (domain.tenant.to_string(), domain.host.to_string());
        let of_domain = stored.iter().filter(|stored| (&stored.tenant, &stored.host) == (&key.0, &key.1));
        let newest = of_domain.max_by_key(|stored| stored.not_after_unix_s());
        let status = statuses.remove(&key);
        Row {
            source: newest.map_or_else(|| "none yet".to_owned(), |stored| stored.directory.clone()),
            not_after: newest.and_then(acme::StoredCertificate::not_after_unix_s).map(timestamp),
            next_renewal: status.as_ref().and_then(|status| status.renew_unix_s).map(timestamp),
            last_error: status.and_then(|status| status.last_error),
            tenant: key.0,
            name: key.1,
        }
    });
    let mut rows: Vec<Row> = uploaded.chain(ordered).collect();
    rows.sort_by(|a, b| (&a.tenant, &a.name).cmp(&(&b.tenant, &b.name)));
    if args.json {
        println!("{}", serde_json::to_string(&rows).map_err(|error| Failure::new(error.to_string()))?);
    } else {
        println!(
            "{:<20} {:<32} {:<20} {:<20} {:<40} last error",
            "tenant", "certificate", "not after", "next renewal", "source"
        );
        for row in &rows {
            println!("{row}");
        }
    }
    Ok(())
}

/// One certificate.
#[derive(Serialize)]
struct Row {
    tenant: String,
    /// The name of one that was uploaded, the domain of one that is ordered.
    name: String,
    /// The file, or the authority's directory.
    source: String,
    not_after: Option<String>,
    next_renewal: Option<String>,
    last_error: Option<String>,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tenant, name, source, not_after, next_renewal, last_error } = self;
        let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        let (not_after, next_renewal) = (or_dash(not_after), or_dash(next_renewal));
        write!(
            f,
            "{tenant:<20} {name:<32} {not_after:<20} {next_renewal:<20} {source:<40} {}",
            or_dash(last_error)
        )
    }
}

/// A time to the second: `2026-11-24T03:42:41Z`.
fn timestamp(unix_s: u64) -> String {
    format!("{:.19}Z", Timestamp::from_unix_us(unix_s.saturating_mul(1_000_000)))
}
