//! The rows of the measurement.

/// One row: the same work for every contender.
#[derive(Debug, Clone)]
pub(crate) struct Scenario {
    /// As in `h1-plain-256`.
    pub name: String,
    /// Whether clients speak TLS 1.3.
    pub tls: bool,
    /// Whether every request is written to an access log.
    pub log: bool,
    /// Whether the CRS at paranoia level 1 sees every request and refuses attacks.
    pub firewall: bool,
    /// Whether VeloFlux is measured beside itself with protections on.
    pub protections: bool,
    /// What clients send.
    pub request: Request,
    /// The length of every answer's body, in bytes.
    pub answer_bytes: usize,
}

/// What clients send, over and over.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// The target, as in `/256?q=1`.
    pub target: String,
    /// Header fields beside `Host`.
    pub headers: &'static [(&'static str, &'static str)],
    /// The body of a POST; `None`: a GET.
    pub form: Option<&'static str>,
}

/// Target (without query) and length of the upstream's two answers.
pub(crate) const ANSWERS: [(&str, usize); 2] = [("/256", 256), ("/16k", 16 * 1024)];

/// What a browser sends with every request.
const BROWSER: &[(&str, &str)] = &[
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
    ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    ("Accept-Language", "en-GB,en;q=0.7,de;q=0.3"),
    ("Accept-Encoding", "identity"),
    ("Cookie", "session=4f1c9a7be2d04c55; theme=dark; consent=1"),
];

const QUERY: &str = "?page=2&sort=name&lang=en&term=garden+chair";
const FORM: &str =
    "name=Ada+Lovelace&email=ada%40example.org&street=12+St+James+Square&city=London&note=Please+ring";

/// The row in which VeloFlux is measured beside itself.
pub(crate) const PROTECTIONS_ROW: &str = "protections";

/// Every row, in the order of the table.
pub(crate) fn scenarios() -> Vec<Scenario> {
    let mut rows = Vec::new();
    for log in [false, true] {
        for tls in [false, true] {
            for (target, answer_bytes) in ANSWERS {
                let name = format!(
                    "h1-{}-{}{}",
                    if tls { "tls" } else { "plain" },
                    &target[1..],
                    if log { "-log" } else { "" }
                );
                let request = Request { target: target.into(), headers: &[], form: None };
                rows.push(Scenario {
                    name,
                    tls,
                    log,
                    firewall: false,
                    protections: false,
                    request,
                    answer_bytes,
                });
            }
        }
    }
    for (name, target, form) in
        [("waf-pl1-get", format!("/256{QUERY}"), None), ("waf-pl1-post", "/256".into(), Some(FORM))]
    {
        let request = Request { target, headers: BROWSER, form };
        let name = name.to_owned();
        rows.push(Scenario {
            name,
            tls: false,
            log: false,
            firewall: true,
            protections: false,
            request,
            answer_bytes: 256,
        });
    }
    let request = Request { target: "/256".into(), headers: &[], form: None };
    rows.push(Scenario {
        name: PROTECTIONS_ROW.to_owned(),
        tls: false,
        log: false,
        firewall: false,
        protections: true,
        request,
        answer_bytes: 256,
    });
    rows
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_row_has_its_own_name() {
        let rows = scenarios();
        let names: BTreeSet<_> = rows.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(names.len(), rows.len());
        for name in ["h1-plain-256", "h1-tls-16k", "h1-plain-256-log", "waf-pl1-get", PROTECTIONS_ROW] {
            assert!(names.contains(name), "{names:?}");
        }
    }
}
