//! Where it is known what was used up: the seam behind the stage, and the one that answers from this process's memory.

use std::fmt;
use std::pin::Pin;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

use veloflux_snapshot::limit::Pace;
use veloflux_snapshot::runtime::LimitState;

use super::gcra::{self, Over, Within};
use super::table::{Full, Key, Table};

/// What is charged: a rule, or one key of a rule.
#[derive(Debug, Clone, Copy)]
pub struct Bucket<'a> {
    /// The rule's state, found again by its id after a reload.
    pub state: &'a LimitState,
    /// The key; `None`: the rule counts all requests together. Its hash is this process's own.
    pub key: Option<Key>,
}

/// What one request asks of a bucket.
#[derive(Debug, Clone, Copy)]
pub struct Charge {
    /// The rule's pace.
    pub pace: Pace,
    /// As how many the request counts.
    pub cost: u32,
    /// How long it may wait, in nanoseconds; 0: not at all.
    pub max_wait_ns: u64,
    /// Now, in nanoseconds on the process clock.
    pub now_ns: u64,
}

/// What a bucket has to say to a charge.
pub type Verdict = Result<Within, Over>;

/// An answer: at once, or later where others have to be asked.
pub enum Answer {
    /// The verdict.
    Now(Verdict),
    /// The verdict will come. Whoever makes this bounds the wait, and has an answer when it is over.
    Later(Pin<Box<dyn Future<Output = Verdict>>>),
}

impl Answer {
    /// The verdict, when it is there.
    pub async fn verdict(self) -> Verdict {
        match self {
            Self::Now(verdict) => verdict,
            Self::Later(verdict) => verdict.await,
        }
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Now(verdict) => f.debug_tuple("Now").field(verdict).finish(),
            Self::Later(_) => f.write_str("Later"),
        }
    }
}

/// Knows what was used up. What one node alone counts answers [`Answer::Now`]; several nodes may agree elsewhere.
pub trait Limiter: fmt::Debug + Send + Sync {
    /// Judges a request, and charges it if it is within the limit.
    fn charge(&self, bucket: &Bucket<'_>, charge: &Charge) -> Answer;

    /// Takes back what was charged: another rule refused the request.
    fn refund(&self, bucket: &Bucket<'_>, charge: &Charge);

    /// Memory taken, in bytes.
    fn memory_bytes(&self) -> usize;
}

/// Counts in this process, exactly, over all cores.
#[derive(Debug)]
pub struct ProcessLimiter {
    table: Table,
}

impl ProcessLimiter {
    /// A limiter whose table of keys takes at most `memory_bytes`.
    pub fn new(memory_bytes: usize) -> Self {
        Self { table: Table::new(memory_bytes) }
    }

    /// Changes the theoretical arrival time of a bucket. Keys without a place in the table share that of their rule, so
    /// that they are limited more, not less, when there are too many.
    fn update<R>(
        &self,
        bucket: &Bucket<'_>,
        now_ns: u64,
        mut change: impl FnMut(u64) -> (Option<u64>, R),
    ) -> R {
        if let Some(key) = bucket.key {
            match self.table.update(key, |tat_ns| tat_ns <= now_ns, &mut change) {
                Ok(result) => return result,
                Err(Full) => _ = bucket.state.unplaced.fetch_add(1, Relaxed),
            }
        }
        update(&bucket.state.tat_ns, change)
    }
}

impl Limiter for ProcessLimiter {
    fn charge(&self, bucket: &Bucket<'_>, charge: &Charge) -> Answer {
        let Charge { pace, cost, max_wait_ns, now_ns } = *charge;
        Answer::Now(
            self.update(bucket, now_ns, |tat_ns| gcra::judge(&pace, tat_ns, now_ns, cost, max_wait_ns)),
        )
    }

    fn refund(&self, bucket: &Bucket<'_>, charge: &Charge) {
        let paid = charge.pace.interval_ns.saturating_mul(u64::from(charge.cost));
        self.update(bucket, charge.now_ns, |tat_ns| {
            ((tat_ns > charge.now_ns).then(|| tat_ns.saturating_sub(paid)), ())
        });
    }

    fn memory_bytes(&self) -> usize {
        self.table.bytes()
    }
}

/// Changes a word by compare-and-swap.
pub(super) fn update<R>(word: &AtomicU64, mut change: impl FnMut(u64) -> (Option<u64>, R)) -> R {
    let mut found = word.load(Acquire);
    loop {
        let (next, result) = change(found);
        let Some(next) = next else { return result };
        match word.compare_exchange_weak(found, next, AcqRel, Acquire) {
            Ok(_) => return result,
            Err(other) => found = other,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use veloflux_snapshot::runtime::Registry;

    use super::*;

    const SECOND_NS: u64 = 1_000_000_000;

    fn now(answer: &Answer) -> Verdict {
        match answer {
            Answer::Now(verdict) => *verdict,
            Answer::Later(_) => panic!("this limiter answers at once"),
        }
    }

    /// Asked for from four threads as fast as they can, on one clock: what passes is the allowance. Whenever one is
    /// refused, all that was allowed until then has passed, however long threads had to wait for a core.
    #[test]
    fn what_passes_on_several_cores_is_the_allowance() {
        const TIME: Duration = Duration::from_millis(400);
        let limiter = ProcessLimiter::new(1 << 20);
        let pace = Pace::new(10_000, Duration::from_secs(1), 5_000);
        let allowance = |time: Duration| 5_000.0 + 10_000.0 * time.as_secs_f64();
        for key in [None, Some(Key::numbered(1, 7))] {
            let state = Registry::default().limit(&"t/tenant/rule".into());
            let bucket = Bucket { state: &state, key };
            let epoch = Instant::now();
            let ask = || {
                let (mut passed, mut first_at, mut refused_at) = (0_u64, TIME, Duration::ZERO);
                loop {
                    let elapsed = epoch.elapsed();
                    if elapsed >= TIME {
                        return (passed, first_at, refused_at);
                    }
                    first_at = first_at.min(elapsed);
                    let now_ns = SECOND_NS + elapsed.as_nanos() as u64;
                    let charge = Charge { pace, cost: 1, max_wait_ns: 0, now_ns };
                    match now(&limiter.charge(&bucket, &charge)) {
                        Ok(_) => passed += 1,
                        Err(_) => refused_at = elapsed,
                    }
                }
            };
            let threads = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
            });
            let passed = threads.iter().map(|(passed, ..)| passed).sum::<u64>() as f64;
            // Until somebody asks, nothing is used up.
            let first_at = threads.iter().map(|(_, first_at, _)| *first_at).min().unwrap();
            let refused_at = threads.iter().map(|(.., refused_at)| *refused_at).max().unwrap();
            let (most, least) =
                (allowance(TIME.saturating_sub(first_at)), allowance(refused_at.saturating_sub(first_at)));
            assert!(passed <= most + 1.0 && passed >= least - 4.0, "{passed} of {least} to {most}");
        }
    }

    /// Asks elsewhere, and takes its time.
    #[derive(Debug)]
    struct Elsewhere(ProcessLimiter);

    impl Limiter for Elsewhere {
        fn charge(&self, bucket: &Bucket<'_>, charge: &Charge) -> Answer {
            let verdict = now(&self.0.charge(bucket, charge));
            Answer::Later(Box::pin(async move {
                tokio::time::sleep(Duration::from_millis(3)).await;
                verdict
            }))
        }

        fn refund(&self, bucket: &Bucket<'_>, charge: &Charge) {
            self.0.refund(bucket, charge);
        }

        fn memory_bytes(&self) -> usize {
            self.0.memory_bytes()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_may_come_later() {
        let limiter: Box<dyn Limiter> = Box::new(Elsewhere(ProcessLimiter::new(1 << 20)));
        let state = Registry::default().limit(&"t/tenant/rule".into());
        let pace = Pace::new(1, Duration::from_secs(1), 1);
        let charge = Charge { pace, cost: 1, max_wait_ns: 0, now_ns: SECOND_NS };
        let bucket = Bucket { state: &state, key: Some(Key::numbered(1, 1)) };
        assert!(limiter.charge(&bucket, &charge).verdict().await.is_ok());
        assert!(limiter.charge(&bucket, &charge).verdict().await.is_err());
    }

    #[test]
    fn what_is_refunded_can_be_used_again() {
        let limiter = ProcessLimiter::new(1 << 20);
        let state = Registry::default().limit(&"t/tenant/rule".into());
        let pace = Pace::new(1, Duration::from_secs(1), 2);
        let charge = Charge { pace, cost: 2, max_wait_ns: 0, now_ns: SECOND_NS };
        for key in [None, Some(Key::numbered(1, 1))] {
            let bucket = Bucket { state: &state, key };
            assert!(now(&limiter.charge(&bucket, &charge)).is_ok());
            assert!(now(&limiter.charge(&bucket, &charge)).is_err());
            limiter.refund(&bucket, &charge);
            assert!(now(&limiter.charge(&bucket, &charge)).is_ok());
        }
    }

    /// Ten million clients, each within its own limit and all of them remembered: the memory is what was given, whoever
    /// used up what it may stays limited, and who finds no place is limited with the others, never let through.
    #[test]
    fn ten_million_keys_take_the_memory_that_was_given_and_no_offender_is_freed() {
        const GIVEN: usize = 256 << 20;
        const KEYS: u64 = 10_000_000;
        let limiter = ProcessLimiter::new(GIVEN);
        let state = Registry::default().limit(&"t/tenant/rule".into());
        let pace = Pace::new(1, Duration::from_hours(1), 1);
        let ask = |number| {
            let charge = Charge { pace, cost: 1, max_wait_ns: 0, now_ns: SECOND_NS };
            now(&limiter.charge(&Bucket { state: &state, key: Some(Key::numbered(1, number)) }, &charge))
                .is_ok()
        };
        let ask_all = |step: usize| {
            std::thread::scope(|scope| {
                let half = |part: u64| (part * KEYS / 2..(part + 1) * KEYS / 2).step_by(step);
                let halves =
                    [half(0), half(1)].map(|keys| scope.spawn(move || keys.filter(|key| ask(*key)).count()));
                halves.into_iter().map(|thread| thread.join().unwrap() as u64).sum::<u64>()
            })
        };
        let passed = ask_all(1);
        let unplaced = state.unplaced.load(Relaxed);
        assert!(
            passed >= KEYS - unplaced && unplaced < KEYS / 100,
            "{passed} passed, {unplaced} without a place"
        );
        assert!(limiter.memory_bytes() <= GIVEN + GIVEN / 1_000, "{} bytes", limiter.memory_bytes());
        assert_eq!(ask_all(10), 0, "an offender was let through");
    }
}
