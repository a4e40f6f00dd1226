//! Protections that a tenant may have on: what each adds to a state file, so that VeloFlux with it is measured beside
//! VeloFlux without. None of them may refuse what the load generator sends.

/// One protection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Protection {
    /// As in `figure protections/limits_us`.
    pub name: &'static str,
    /// Keys of the tenant, each on a line.
    pub tenant: &'static [&'static str],
}

/// Every protection that is measured, by itself and all together.
pub(crate) const PROTECTIONS: &[Protection] = &[Protection {
    name: "limits",
    tenant: &["limits: {rates: [{name: client, key: [client], rate: 1000000/s}]}"],
}];
