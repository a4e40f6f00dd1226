//! Protections that a tenant may have on: what each adds to the files of VeloFlux, so that it is measured with them beside
//! itself without. None of them may refuse what the load generator sends, and each has to refuse its probes.

use crate::world::{DENIED, IN_REFUSED_ASN, IN_REFUSED_COUNTRY, SERVED};

/// One protection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Protection {
    /// As in `figure protections/limits_us`.
    pub name: &'static str,
    /// Keys of the process, each on a line.
    pub process: &'static [&'static str],
    /// Keys of the tenant but for `access`, each on a line.
    pub tenant: &'static [&'static str],
    /// What it adds to lists of the tenant's `access`: the list and keys of it.
    pub access: &'static [(&'static str, &'static str)],
    /// Requests that show whether it is on.
    pub probes: &'static [Probe],
}

/// Requests that a protection answers in its own way, and nobody else does.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Probe {
    /// The client's address.
    pub client: &'static str,
    /// How many of them are sent, one right after the other.
    pub requests: usize,
    /// What shows that the protection is on.
    pub sign: Sign,
}

/// What shows that a protection is on. Where it is off, every answer has status 200 and the header field is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sign {
    /// The last answer has this status.
    Status(u16),
    /// The last answer has [`SIGN_FIELD`].
    Header,
}

/// A header field of each preset that the upstream does not send.
pub(crate) const SIGN_FIELD: &str = "x-content-type-options";

/// Every protection that is measured, by itself and all together.
pub(crate) const PROTECTIONS: &[Protection] = &[
    Protection {
        name: "addresses",
        process: &[],
        tenant: &[],
        access: &[
            ("deny", "files: [denied.txt]"),
            // Whoever is not denied has a unicast address.
            ("allow_only", "addresses: [0.0.0.0/1, 128.0.0.0/2, 192.0.0.0/3, '2000::/3']"),
        ],
        probes: &[Probe { client: DENIED, requests: 1, sign: Sign::Status(403) }],
    },
    Protection {
        name: "countries",
        process: &["geo: {databases: [country.mmdb, asn.mmdb]}"],
        tenant: &[],
        access: &[("deny", "countries: [KP], asns: [64500, 64501, 64502]")],
        probes: &[
            Probe { client: IN_REFUSED_COUNTRY, requests: 1, sign: Sign::Status(403) },
            Probe { client: IN_REFUSED_ASN, requests: 1, sign: Sign::Status(403) },
        ],
    },
    Protection {
        name: "limits",
        process: &[],
        // In no run of the load generator does any client come that often.
        tenant: &["limits: {rates: [{name: client, key: [client], rate: 60/m}]}"],
        access: &[],
        probes: &[Probe { client: SERVED[0], requests: 100, sign: Sign::Status(429) }],
    },
    Protection {
        name: "headers",
        process: &[],
        tenant: &["security_headers: {preset: balanced}"],
        access: &[],
        probes: &[Probe { client: SERVED[1], requests: 1, sign: Sign::Header }],
    },
];

/// The tenant's `access` with these protections on, on a line of its own.
pub(crate) fn access(protections: &[Protection]) -> Option<String> {
    let lists = ["deny", "allow_only"].into_iter().filter_map(|list| {
        let of_list = protections.iter().flat_map(|protection| protection.access);
        let keys: Vec<_> = of_list.filter(|(name, _)| *name == list).map(|(_, keys)| *keys).collect();
        (!keys.is_empty()).then(|| format!("{list}: {{{}}}", keys.join(", ")))
    });
    let lists: Vec<_> = lists.collect();
    (!lists.is_empty()).then(|| format!("access: {{{}}}", lists.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_several_protections_are_one() {
        assert_eq!(access(&[]), None);
        let both = access(PROTECTIONS).unwrap();
        assert!(both.starts_with("access: {deny: {files: [denied.txt], countries: [KP], asns: ["), "{both}");
        assert!(both.contains("]}, allow_only: {addresses: ["), "{both}");
    }
}
