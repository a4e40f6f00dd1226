//! Protections that a tenant may have on: what each adds to a state file, so that VeloFlux with it is measured beside
//! VeloFlux without. None of them may refuse what the load generator sends.

/// One protection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Protection {
    /// As in `figure protections/limits_us`.
    pub name: &'static str,
    /// Keys of the tenant, each on a line.
    pub tenant: &'static [&'static str],
    /// A file beside the state file.
    pub file: Option<File>,
}

/// A file that a protection reads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct File {
    /// Its name.
    pub name: &'static str,
    /// Makes what it holds.
    pub content: fn() -> String,
}

/// Every protection that is measured, by itself and all together.
pub(crate) const PROTECTIONS: &[Protection] = &[
    Protection {
        name: "addresses",
        tenant: &[
            "access: {deny: {files: [denied.txt]}, allow_only: {addresses: [127.0.0.0/8, 10.0.0.0/8]}}",
        ],
        file: Some(File { name: "denied.txt", content: denied }),
    },
    Protection {
        name: "limits",
        tenant: &["limits: {rates: [{name: client, key: [client], rate: 1000000/s}]}"],
        file: None,
    },
    Protection { name: "headers", tenant: &["security_headers: {preset: balanced}"], file: None },
];

/// As many addresses as a list may have, below and above the load generator's, which is not among them.
fn denied() -> String {
    const NETWORKS: u32 = 1_000_000;
    // From 1.0.0.0 to 241.83.96.64.
    (0..NETWORKS)
        .map(|nth| std::net::Ipv4Addr::from_bits((1 << 24) + 4_032 * nth))
        .fold(String::new(), |list, address| list + &address.to_string() + "\n")
}
