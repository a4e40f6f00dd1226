//! Bandwidth: response bodies are sent no faster than their limits, in turns, and none is broken off for it.
//!
//! Policy: all responses under a limit share one theoretical arrival time, in bytes. Each reserves the next piece that it
//! sends, of an eighth of a second at most, and sends it when its time has come; so they take turns in the order in
//! which they asked, over all cores. An eighth of a second may be sent ahead. Heads are not counted; what an upgraded
//! connection brings to its client is.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep};
use veloflux_snapshot::limit::{Bandwidth, Limits};
use veloflux_snapshot::runtime::LimitState;

use super::limiter::update;

/// Longest piece that is reserved at once, in bytes.
const MAX_PIECE: u64 = 16 * 1024;

/// Shortest one, in bytes, where there is that much to send.
const MIN_PIECE: u64 = 256;

/// Which part of a second may be sent ahead.
const AHEAD: u64 = 8;

/// The turns of one response.
#[derive(Debug)]
pub(crate) struct Pacer {
    lanes: Box<[Lane]>,
    /// Most bytes of a piece.
    piece: usize,
    /// Bytes that may be sent now.
    credit: usize,
    /// Set while a reserved piece waits for its time.
    waiting: Option<Waiting>,
    epoch: Instant,
}

#[derive(Debug)]
struct Lane {
    bytes_per_s: u64,
    state: Arc<LimitState>,
}

#[derive(Debug)]
struct Waiting {
    sleep: Pin<Box<Sleep>>,
    reserved: usize,
}

impl Pacer {
    /// A response under `limits`; `None`: it may be as fast as it can. `epoch` is the process clock's zero.
    pub(crate) fn new(limits: &Limits, epoch: Instant) -> Option<Self> {
        let slowest = limits.bandwidth.iter().map(|limit| limit.bytes_per_s).min()?;
        let lane = |limit: &Bandwidth| Lane { bytes_per_s: limit.bytes_per_s, state: limit.state.clone() };
        Some(Self {
            lanes: limits.bandwidth.iter().map(lane).collect(),
            piece: (slowest / AHEAD).clamp(MIN_PIECE, MAX_PIECE) as usize,
            credit: 0,
            waiting: None,
            epoch,
        })
    }

    /// Waits until some of `wanted` bytes, which are not none, may be sent; gives how many.
    pub(crate) fn poll_credit(&mut self, cx: &mut Context<'_>, wanted: usize) -> Poll<usize> {
        if let Some(waiting) = &mut self.waiting {
            ready!(waiting.sleep.as_mut().poll(cx));
            self.credit += waiting.reserved;
            self.waiting = None;
        }
        if self.credit == 0 {
            let reserved = wanted.min(self.piece);
            let wait = self.reserve(reserved, Instant::now());
            if !wait.is_zero() {
                let mut sleep = Box::pin(tokio::time::sleep(wait));
                let is_due = sleep.as_mut().poll(cx).is_ready();
                if !is_due {
                    self.waiting = Some(Waiting { sleep, reserved });
                    return Poll::Pending;
                }
            }
            self.credit = reserved;
        }
        Poll::Ready(self.credit.min(wanted))
    }

    /// Says that `n` bytes were sent.
    pub(crate) fn sent(&mut self, n: usize) {
        self.credit = self.credit.saturating_sub(n);
    }

    /// Whether a reserved piece waits for its time.
    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// Reserves the next `bytes` of every limit; gives how long it is until the last of them lets them pass.
    fn reserve(&self, bytes: usize, now: Instant) -> Duration {
        let now_ns = now.saturating_duration_since(self.epoch).as_nanos() as u64;
        let wait_ns = self.lanes.iter().map(|lane| {
            let takes_ns = (bytes as u64 * 1_000_000_000).div_ceil(lane.bytes_per_s);
            let ahead_ns = update(&lane.state.tat_ns, |tat_ns| {
                let next = tat_ns.max(now_ns) + takes_ns;
                (Some(next), next - now_ns)
            });
            ahead_ns.saturating_sub(1_000_000_000 / AHEAD)
        });
        Duration::from_nanos(wait_ns.max().unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use veloflux_snapshot::limit::MAX_LISTS;
    use veloflux_snapshot::runtime::Registry;

    use super::*;

    fn limits(registry: &Registry, rates: &[u64]) -> Limits {
        let bandwidth = rates.iter().map(|&bytes_per_s| Bandwidth {
            bytes_per_s,
            state: registry.limit(&format!("t/tenant#bandwidth{bytes_per_s}").into()),
        });
        Limits {
            rates: Vec::new(),
            connections: Vec::new(),
            requests: Vec::new(),
            bandwidth: bandwidth.collect(),
            tenant_mark: 1,
        }
    }

    /// Sends this many bytes, each time as many as may be.
    async fn send(mut pacer: Pacer, mut bytes: usize) {
        while bytes > 0 {
            let credit = poll_fn(|cx| pacer.poll_credit(cx, bytes)).await;
            pacer.sent(credit);
            bytes -= credit;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_sent_is_the_slowest_limit_and_an_eighth_of_a_second() {
        let registry = Registry::default();
        for rate in [1_024, 100_000, 50_000_000] {
            // As many as there can be, the slowest last.
            let rates: Vec<u64> = (2..=MAX_LISTS as u64).map(|nth| rate * nth).chain([rate]).collect();
            let limits = limits(&registry, &rates);
            let begun = Instant::now();
            let pacer = Pacer::new(&limits, begun - Duration::from_secs(9)).unwrap();
            send(pacer, 4 * rate as usize).await;
            let took = begun.elapsed().as_secs_f64();
            assert!((3.8..4.01).contains(&took), "{took} s at {rate}");
        }
        assert!(Pacer::new(&limits(&registry, &[]), Instant::now()).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn responses_take_turns() {
        let registry = Registry::default();
        let limits = limits(&registry, &[10_000]);
        let begun = Instant::now();
        let one = || send(Pacer::new(&limits, begun).unwrap(), 20_000);
        let short = async {
            send(Pacer::new(&limits, begun).unwrap(), 2_000).await;
            begun.elapsed().as_secs_f64()
        };
        let ((), (), short) = tokio::join!(one(), one(), short);
        assert!(short < 0.8, "{short}");
        let took = begun.elapsed().as_secs_f64();
        assert!((3.9..4.3).contains(&took), "{took}");
    }
}
