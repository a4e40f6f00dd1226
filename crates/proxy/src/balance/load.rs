//! Requests in flight and latency of a backend.
//!
//! Latency is a Peak EWMA as in Finagle's `PeakEwma`: a sample above the average replaces it at once, one below
//! it pulls it down with weight `1 - exp(-elapsed / τ)`. Reading decays it in the same way, so that a backend
//! which nobody picks because it once was slow is picked again.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use veloflux_snapshot::runtime::BackendState;

/// τ: after this time an old average counts for 1/e.
const DECAY: Duration = Duration::from_secs(10);

/// Counts one request in flight towards a backend, from creation until drop.
#[derive(Debug)]
#[must_use = "the request stops counting when this is dropped"]
pub struct InFlight(Arc<BackendState>);

impl InFlight {
    /// Counts a request in.
    pub fn begin(backend: &Arc<BackendState>) -> Self {
        backend.in_flight.fetch_add(1, Relaxed);
        Self(backend.clone())
    }

    /// Takes the time from request sent to response head into the backend's average. `now_ms` is on the process
    /// clock.
    pub fn record_latency(&self, latency: Duration, now_ms: u64) {
        let sample = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX).max(1);
        let old = self.0.latency_ewma_us.load(Relaxed);
        let average = if sample >= old {
            sample
        } else {
            let weight = weight_of_old(&self.0, now_ms);
            (old as f64 * weight + sample as f64 * (1.0 - weight)) as u64
        };
        // Two cores may overwrite each other here: the average then misses one sample of many.
        self.0.latency_ewma_us.store(average, Relaxed);
        self.0.latency_updated_ms.store(now_ms, Relaxed);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}

/// The backend's average time to response head at `now_ms`, in microseconds; `None` before its first response.
pub fn latency_us(backend: &BackendState, now_ms: u64) -> Option<u64> {
    let average = backend.latency_ewma_us.load(Relaxed);
    if average == 0 {
        return None;
    }
    Some((average as f64 * weight_of_old(backend, now_ms)) as u64)
}

fn weight_of_old(backend: &BackendState, now_ms: u64) -> f64 {
    let elapsed_ms = now_ms.saturating_sub(backend.latency_updated_ms.load(Relaxed));
    (-(elapsed_ms as f64) / DECAY.as_millis() as f64).exp()
}

#[cfg(test)]
mod tests {
    use super::*;
    use veloflux_snapshot::runtime::Registry;

    fn backend() -> Arc<BackendState> {
        Registry::default().backend(&"t/p/b".into())
    }

    #[test]
    fn a_request_counts_until_its_guard_is_dropped() {
        let backend = backend();
        let first = InFlight::begin(&backend);
        let second = InFlight::begin(&backend);
        assert_eq!(backend.in_flight.load(Relaxed), 2);
        drop(first);
        assert_eq!(backend.in_flight.load(Relaxed), 1);
        drop(second);
        assert_eq!(backend.in_flight.load(Relaxed), 0);
    }

    #[test]
    fn a_peak_counts_at_once_and_fades_slowly() {
        let backend = backend();
        let guard = InFlight::begin(&backend);
        assert_eq!(latency_us(&backend, 0), None);
        guard.record_latency(Duration::from_millis(1), 0);
        guard.record_latency(Duration::from_millis(100), 1);
        assert_eq!(latency_us(&backend, 1), Some(100_000));
        guard.record_latency(Duration::from_millis(1), 1_001);
        let after_a_second = latency_us(&backend, 1_001).unwrap();
        assert!((85_000..95_000).contains(&after_a_second), "{after_a_second}");
    }

    #[test]
    fn an_average_that_nobody_renews_decays() {
        let backend = backend();
        InFlight::begin(&backend).record_latency(Duration::from_millis(100), 0);
        let after_tau = latency_us(&backend, 10_000).unwrap();
        assert!((36_000..37_500).contains(&after_tau), "{after_tau}");
        assert!(latency_us(&backend, 1_000_000).unwrap() < 10);
    }

    #[test]
    fn a_clock_that_stands_still_or_steps_back_does_no_harm() {
        let backend = backend();
        let guard = InFlight::begin(&backend);
        guard.record_latency(Duration::from_millis(5), 1_000);
        guard.record_latency(Duration::from_millis(1), 500);
        assert_eq!(latency_us(&backend, 0), Some(5_000));
    }
}
