//! Pools: backends with their states, checks, and the way one is picked.

use std::sync::Arc;

use veloflux_model::desired;
use veloflux_model::value::{BackendAddress, StatusSet};

use super::{Compiler, ring::ring};
use crate::{Algorithm, Backend, BackendProtocol, Ejection, HealthCheck, HealthKind, Pool, Retry, Sticky};

impl<'a> Compiler<'a> {
    /// The pool, or `None` with a report.
    pub(super) fn pool(&mut self, tenant: &str, pool: &'a desired::Pool) -> Option<Pool> {
        let id: Arc<str> = format!("{tenant}/{}", pool.name).into();
        let tls = match &pool.tls {
            Some(tls) => Some(self.backend_tls(tenant, pool, tls)?),
            None => None,
        };
        let backends: Vec<Backend> = pool.backends.iter().map(|backend| self.backend(&id, backend)).collect();
        let algorithm = match pool.algorithm {
            desired::Algorithm::RoundRobin => Algorithm::RoundRobin,
            desired::Algorithm::WeightedRoundRobin => Algorithm::WeightedRoundRobin,
            desired::Algorithm::LeastConn => Algorithm::LeastConn,
            desired::Algorithm::IpHash => Algorithm::IpHash,
            desired::Algorithm::RandomTwo => Algorithm::RandomTwo,
            desired::Algorithm::GeoProximity => Algorithm::GeoProximity,
        };
        Some(Pool {
            algorithm,
            ring: if algorithm == Algorithm::IpHash { ring(&backends) } else { Vec::new() },
            distances: self.distances(pool),
            backends,
            protocol: match pool.protocol {
                desired::BackendProtocol::Http1 => BackendProtocol::Http1,
                desired::BackendProtocol::Http2 => BackendProtocol::Http2,
            },
            tls,
            sticky: pool
                .sticky_sessions
                .as_ref()
                .map(|sticky| Sticky { cookie: sticky.cookie.as_str().into(), ttl: sticky.ttl.duration() }),
            health_check: pool.health_check.as_ref().map(health_check),
            ejection: pool.ejection.as_ref().map(|ejection| Ejection {
                consecutive_failures: ejection.consecutive_failures.get_u32(),
                base: ejection.base.duration(),
                max_ejected_percent: ejection.max_ejected_percent.get_u32(),
            }),
            retry: Retry {
                attempts: pool.retry.attempts.get_u32(),
                budget_percent: pool.retry.budget_percent.get_u32(),
            },
            max_idle_connections: pool.max_idle_connections.get_usize(),
            state: self.registry.pool(&id),
            id,
        })
    }

    fn backend(&self, pool: &str, backend: &desired::Backend) -> Backend {
        let authority: Arc<str> = backend.address.to_string().into();
        let id: Arc<str> = format!("{pool}/{authority}").into();
        Backend {
            authority,
            address: match backend.address.value() {
                BackendAddress::Ip(address) => crate::BackendAddress::Ip(*address),
                BackendAddress::Dns(name, port) => crate::BackendAddress::Name(name.clone(), *port),
            },
            weight: backend.weight.get_u32(),
            drain: backend.drain,
            state: self.registry.backend(&id),
            id,
        }
    }
}

fn health_check(check: &desired::HealthCheck) -> HealthCheck {
    let kind = match check.kind {
        desired::CheckType::Tcp => HealthKind::Tcp,
        desired::CheckType::Http => {
            let statuses =
                check.expected_status.as_ref().map_or_else(StatusSet::default, |set| set.value().clone());
            HealthKind::Http {
                path: check.path.as_ref().map_or("/", |path| path.as_str()).into(),
                host: check.host.as_ref().map(|host| host.as_str().into()),
                expected_status: statuses.ranges().iter().map(|range| range.bounds()).collect(),
                expected_body: check.expected_body.as_ref().map(|body| body.as_str().into()),
            }
        }
    };
    HealthCheck {
        kind,
        interval: check.interval.duration(),
        timeout: check.timeout.duration(),
        rise: check.rise.get_u32(),
        fall: check.fall.get_u32(),
    }
}
