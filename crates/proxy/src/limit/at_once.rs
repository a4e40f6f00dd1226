//! How many at once: requests in flight, and connections.
//!
//! Policy: whoever would be one too many is refused, and nobody waits for a place. A place is given back when its holder
//! is dropped, whichever way that happens. A connection counts for the tenant that it asked last, among those that limit
//! connections: over TLS that is the one whose certificate it was shown. Per client it counts for its peer, unless that is a trusted proxy, which brings
//! many clients. [`connections_per_client`] holds from accept on, before a tenant is known: so long as a client asks for
//! nothing, there is no tenant to hold it to its own limit.

use std::cell::RefCell;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use veloflux_snapshot::limit::{AtOnce, Limits, MAX_LISTS};
use veloflux_snapshot::runtime::LimitState;

use super::Tables;
use super::limiter::update;
use super::table::{Full, Key};

/// Most limits on requests in flight that apply to one request: of each list one in all and one per client.
const MAX_PLACES: usize = 2 * MAX_LISTS;

/// Leading bits that tell IPv6 peers apart at accept: what one customer has at least (RFC 6177).
const IPV6_PREFIX: u8 = 64;

/// Where something was counted: under a key, or with all of its limit.
type Place = Option<Key>;

/// The places of a request in flight.
#[derive(Debug)]
pub(crate) struct Places<'a> {
    tables: &'a Tables,
    taken: [Option<(&'a LimitState, Place)>; MAX_PLACES],
}

impl<'a> Places<'a> {
    /// Takes a place of each limit; or gives the one that has none left.
    pub(crate) fn take(tables: &'a Tables, limits: &'a Limits, client: IpAddr) -> Result<Self, &'a AtOnce> {
        let mut places = Self { tables, taken: [None; MAX_PLACES] };
        let mut free = places.taken.iter_mut();
        for limit in &limits.requests {
            // A limit that finds no room here holds for nobody: it refuses.
            let taken = free.next().ok_or(limit)?;
            let place = enter(tables, limits.tenant_mark, limit, client).ok_or(limit)?;
            *taken = Some((&limit.state, place));
        }
        Ok(places)
    }
}

impl Drop for Places<'_> {
    fn drop(&mut self) {
        for (state, place) in self.taken.iter().flatten() {
            leave(self.tables, state, *place);
        }
    }
}

/// What a connection holds of its tenant's.
#[derive(Debug, Default)]
pub(crate) struct ConnectionPlace(RefCell<Option<Held>>);

/// Places that are given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    tables: Arc<Tables>,
    /// Whose they are; empty: the installation's.
    tenant: Arc<str>,
    taken: Vec<(Arc<LimitState>, Place)>,
}

/// The installation's limit on connections of one client.
pub(crate) fn connections_per_client(most: u32) -> AtOnce {
    let name: Arc<str> = "connections_per_client".into();
    let state = Arc::new(LimitState::new(&format!("#{name}").into()));
    AtOnce { name, most, per_client: Some(IPV6_PREFIX), state }
}

impl ConnectionPlace {
    /// A place of a limit on a client's connections; `None`: there is none left.
    pub(crate) fn of_client(tables: &Arc<Tables>, limit: &AtOnce, client: IpAddr) -> Option<Held> {
        let place = enter(tables, 0, limit, client)?;
        Some(Held { tables: tables.clone(), tenant: "".into(), taken: vec![(limit.state.clone(), place)] })
    }

    /// Takes a place of each limit of which the connection has none yet; or gives the limit that has none left.
    pub(crate) fn take<'l>(
        &self,
        tables: &Arc<Tables>,
        tenant: &Arc<str>,
        limits: &'l Limits,
        peer: Option<IpAddr>,
    ) -> Result<(), &'l AtOnce> {
        let mut own = self.0.borrow_mut();
        if let Some(held) = own.as_mut().filter(|held| held.tenant == *tenant) {
            return held.take(limits, peer);
        }
        let mut held = Held { tables: tables.clone(), tenant: tenant.clone(), taken: Vec::new() };
        held.take(limits, peer)?;
        *own = Some(held);
        Ok(())
    }
}

impl Held {
    /// A tenant's limits may be more than when the connection asked for the first time: a reload may have brought some, or
    /// the tenant's mode may be for this request and not for those before.
    fn take<'l>(&mut self, limits: &'l Limits, peer: Option<IpAddr>) -> Result<(), &'l AtOnce> {
        for limit in &limits.connections {
            if self.taken.iter().any(|(state, _)| Arc::ptr_eq(state, &limit.state)) {
                continue;
            }
            let client = match (limit.per_client, peer) {
                (Some(_), None) => continue,
                (_, peer) => peer.unwrap_or(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED)),
            };
            let place = enter(&self.tables, limits.tenant_mark, limit, client).ok_or(limit)?;
            self.taken.push((limit.state.clone(), place));
        }
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        for (state, place) in &self.taken {
            leave(&self.tables, state, *place);
        }
    }
}

/// Takes a place; `None`: there is none left. Clients without an entry in the table share one count.
fn enter(tables: &Tables, tenant_mark: u16, limit: &AtOnce, client: IpAddr) -> Option<Place> {
    let most = u64::from(limit.most);
    let one_more = |count: u64| if count < most { (Some(count + 1), true) } else { (None, false) };
    if let Some(prefix) = limit.per_client {
        let key = tables.hash.client_key(tenant_mark, &limit.state.id, client, prefix);
        match tables.counts.update(key, |count| count == 0, one_more) {
            Ok(entered) => return entered.then_some(Some(key)),
            Err(Full) => _ = limit.state.unplaced.fetch_add(1, Relaxed),
        }
    }
    update(&limit.state.in_use, one_more).then_some(None)
}

/// Gives a place back. An entry that counts something stays the key's, so it is found.
fn leave(tables: &Tables, state: &LimitState, place: Place) {
    let one_less = |count: u64| (count.checked_sub(1), ());
    match place {
        Some(key) => _ = tables.counts.update(key, |count| count == 0, one_less),
        None => update(&state.in_use, one_less),
    }
}

#[cfg(test)]
mod tests {
    use veloflux_snapshot::runtime::Registry;

    use super::*;

    fn limits(registry: &Registry) -> Limits {
        let limit = |name: &str, most, per_client| AtOnce {
            name: name.into(),
            most,
            per_client,
            state: registry.limit(&format!("t/tenant#{name}").into()),
        };
        Limits {
            rates: Vec::new(),
            connections: vec![limit("connections_per_client", 1, Some(64)), limit("connections", 2, None)],
            requests: vec![limit("requests_per_client", 2, Some(64)), limit("requests", 3, None)],
            bandwidth: Vec::new(),
            tenant_mark: 1,
        }
    }

    #[test]
    fn places_are_taken_and_given_back() {
        let (tables, limits) = (Tables::new(1 << 20), limits(&Registry::default()));
        let [one, other]: [IpAddr; 2] = ["2001:db8::1".parse().unwrap(), "2001:db8:1::1".parse().unwrap()];
        let first = Places::take(&tables, &limits, one).unwrap();
        let second = Places::take(&tables, &limits, one).unwrap();
        let refused = Places::take(&tables, &limits, "2001:db8::2".parse().unwrap()).unwrap_err();
        assert_eq!(&*refused.name, "requests_per_client");
        let third = Places::take(&tables, &limits, other).unwrap();
        // Refused by the second limit, it gives back its place of the first.
        for _ in 0..5 {
            assert_eq!(&*Places::take(&tables, &limits, other).unwrap_err().name, "requests");
        }
        drop(first);
        let fourth = Places::take(&tables, &limits, other).unwrap();
        drop((second, third, fourth));
        assert_eq!(limits.requests[1].state.in_use.load(Relaxed), 0);
    }

    #[test]
    fn as_many_limits_hold_as_there_can_be() {
        let (tables, registry) = (Tables::new(1 << 20), Registry::default());
        let mut limits = limits(&registry);
        let last = limits.requests.pop().unwrap();
        let wide = |nth| AtOnce {
            name: format!("wide{nth}").into(),
            most: 9,
            per_client: None,
            state: registry.limit(&format!("t/{nth}#requests").into()),
        };
        limits.requests = (1..2 * MAX_LISTS).map(wide).chain([last]).collect();
        let client = [192, 0, 2, 1].into();
        let held: Vec<_> = (0..3).map(|_| Places::take(&tables, &limits, client).unwrap()).collect();
        assert_eq!(&*Places::take(&tables, &limits, client).unwrap_err().name, "requests");
        drop(held);
        assert!(limits.requests.iter().all(|limit| limit.state.in_use.load(Relaxed) == 0));
    }

    #[test]
    fn a_connection_takes_places_of_limits_that_come_later() {
        let registry = Registry::default();
        let (tables, after) = (Arc::new(Tables::new(1 << 20)), limits(&registry));
        let mut before = limits(&registry);
        before.connections.pop();
        let acme: Arc<str> = "acme".into();
        let peer = |nth| Some([192, 0, 2, nth].into());
        let connections: Vec<_> = (0..3).map(|_| ConnectionPlace::default()).collect();
        for (connection, nth) in connections.iter().zip(1..) {
            connection.take(&tables, &acme, &before, peer(nth)).unwrap();
        }
        for _ in 0..3 {
            connections[0].take(&tables, &acme, &after, peer(1)).unwrap();
            connections[1].take(&tables, &acme, &after, peer(2)).unwrap();
            let refused = connections[2].take(&tables, &acme, &after, peer(3)).unwrap_err();
            assert_eq!(&*refused.name, "connections");
        }
        drop(connections);
        assert_eq!(after.connections[1].state.in_use.load(Relaxed), 0);
        assert_eq!(after.connections[0].state.in_use.load(Relaxed), 0);
    }

    #[test]
    fn a_connection_holds_one_place_of_the_tenant_it_asked_last() {
        let registry = Registry::default();
        let (tables, limits) = (Arc::new(Tables::new(1 << 20)), limits(&registry));
        let (acme, other): (Arc<str>, Arc<str>) = ("acme".into(), "other".into());
        let peer = |address: &str| Some(address.parse().unwrap());
        let connections: Vec<_> = (0..3).map(|_| ConnectionPlace::default()).collect();
        let [one, two, three] = &connections[..] else { unreachable!() };
        one.take(&tables, &acme, &limits, peer("192.0.2.1")).unwrap();
        one.take(&tables, &acme, &limits, peer("192.0.2.1")).unwrap();
        let refused = two.take(&tables, &acme, &limits, peer("192.0.2.1")).unwrap_err();
        assert_eq!(&*refused.name, "connections_per_client");
        // A trusted proxy is nobody's client.
        two.take(&tables, &acme, &limits, None).unwrap();
        assert_eq!(&*three.take(&tables, &acme, &limits, None).unwrap_err().name, "connections");
        let none = Limits { connections: Vec::new(), ..self::limits(&registry) };
        one.take(&tables, &other, &none, None).unwrap();
        three.take(&tables, &acme, &limits, None).unwrap();
        drop(connections);
        assert_eq!(limits.connections[1].state.in_use.load(Relaxed), 0);
    }
}
