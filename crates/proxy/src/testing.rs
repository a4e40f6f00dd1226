//! Pools and rings for tests.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use veloflux_snapshot::runtime::Registry;
use veloflux_snapshot::{
    Action, Algorithm, Backend, BackendAddress, BackendProtocol, Ejection, HostTable, PathMatch, Pool, Retry,
    Route, Snapshot, Tenant, Timeouts,
};

/// Two failures eject for a second; at most half of the pool.
pub(crate) const EJECTION: Ejection =
    Ejection { consecutive_failures: 2, base: Duration::from_secs(1), max_ejected_percent: 50 };

/// A pool `t/p` with one backend `10.0.0.N:80` per weight.
pub(crate) fn pool_of(algorithm: Algorithm, weights: &[u32]) -> Pool {
    let registry = Registry::default();
    let backends = weights.iter().zip(1_u8..).map(|(&weight, number)| {
        let address = std::net::SocketAddr::from(([10, 0, 0, number], 80));
        let id: Arc<str> = format!("t/p/{address}").into();
        Backend {
            state: registry.backend(&id),
            id,
            authority: address.to_string().into(),
            address: BackendAddress::Ip(address),
            weight,
            drain: false,
        }
    });
    let id: Arc<str> = "t/p".into();
    Pool {
        algorithm,
        backends: backends.collect(),
        ring: Vec::new(),
        distances: Vec::new(),
        protocol: BackendProtocol::Http1,
        tls: None,
        sticky: None,
        health_check: None,
        ejection: None,
        retry: Retry { attempts: 2, budget_percent: 20 },
        max_idle_connections: 8,
        state: registry.pool(&id),
        id,
    }
}

/// A ring with 100 points for each of `backends`, spread by a fixed generator.
pub(crate) fn ring_of(backends: usize) -> Vec<(u64, u16)> {
    let mut rng = fastrand::Rng::with_seed(99);
    let mut ring: Vec<_> = (0..backends * 100).map(|n| (rng.u64(..), (n % backends) as u16)).collect();
    ring.sort_unstable();
    ring
}

/// Says what the active checks of a backend found.
pub(crate) fn set_healthy(pool: &Pool, index: usize, healthy: bool) {
    pool.backends[index].state.healthy.store(healthy, Relaxed);
}

/// A snapshot with nothing in it.
pub(crate) fn empty_snapshot() -> Snapshot {
    Snapshot {
        revision: 0,
        tenants: Vec::new(),
        hosts: HostTable::default(),
        header_policy: Arc::default(),
        managed: Vec::new(),
        default_tls: None,
        geo: None,
        metrics_access: None,
        data_files: Vec::new(),
    }
}

/// A snapshot with one tenant `t` that forwards to each of `pools`.
pub(crate) fn snapshot_of(pools: Vec<Pool>) -> Arc<Snapshot> {
    let id: Arc<str> = "t".into();
    let routes = pools.into_iter().map(|pool| Route {
        name: pool.id.clone(),
        hosts: Vec::new(),
        path: PathMatch::Prefix("/".into()),
        methods: Vec::new(),
        headers: Vec::new(),
        action: Action::Forward { pool: Arc::new(pool), strip_prefix: None },
        require_client_certificate: false,
        max_body_bytes: 0,
        timeouts: Timeouts {
            connect: Duration::from_secs(1),
            first_byte: Duration::from_secs(1),
            idle: Duration::from_secs(1),
            total: Duration::from_secs(1),
        },
        access: Box::default(),
        firewall: None,
        limits: None,
        usual: None,
        header_policy: Arc::default(),
    });
    let tenant = Tenant {
        routes: routes.collect(),
        certificates: Vec::new(),
        access: Box::default(),
        revocation_lists: Vec::new(),
        limits: None,
        header_policy: Arc::default(),
        csp_reports: None,
        mode: veloflux_snapshot::mode::Mode::Normal,
        state: Registry::default().tenant(&id),
        id,
    };
    Arc::new(Snapshot { revision: 1, tenants: vec![Arc::new(tenant)], ..empty_snapshot() })
}
