//! The generic cell rate algorithm as virtual scheduling (ITU-T Recommendation I.371 annex A; ATM Forum Traffic
//! Management 4.0 section 4.4.2): arithmetic alone, no clock and no memory.
//!
//! All that is kept of a flow is its theoretical arrival time: when everything let through so far is paid for at the
//! rate. A request is within the limit if with it that time lies no further ahead than a full burst takes to be given
//! back. A time that has passed carries no information, so it need not be kept.
//!
//! The time is kept as it is when the rate changes: a debt of a minute stays a minute. Only one that lies further ahead
//! than the new rate ever lets it, by more than clocks of cores may differ, is cut down to a burst, so that a limit that
//! is raised is felt at once.

use veloflux_snapshot::limit::Pace;

/// How late a request may be judged after its time was read without looking like one from before a change of the rate.
const SLACK_NS: u64 = 1_000_000_000;

/// A request that is within a limit, or will be after a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Within {
    /// How long it has to wait first; 0 unless it may.
    pub wait_ns: u64,
    /// How many more of cost 1 could come at once.
    pub left: u32,
    /// When all is given back, from now.
    pub reset_ns: u64,
}

/// A request that is over a limit. It leaves no trace: whoever keeps trying waits no longer for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Over {
    /// When the same request would be within it, from now.
    pub retry_ns: u64,
    /// When all is given back, from now.
    pub reset_ns: u64,
}

/// Judges a request of `cost` at `now_ns` with the theoretical arrival time `tat_ns`, where it may wait for up to
/// `max_wait_ns`. Gives the next theoretical arrival time, if it changes, with the verdict.
pub(super) fn judge(
    pace: &Pace,
    tat_ns: u64,
    now_ns: u64,
    cost: u32,
    max_wait_ns: u64,
) -> (Option<u64>, Result<Within, Over>) {
    let Pace { interval_ns, burst_ns } = *pace;
    let most_ns = burst_ns.saturating_add(max_wait_ns);
    let owed_ns = tat_ns.saturating_sub(now_ns);
    let is_anothers = owed_ns > most_ns.saturating_add(SLACK_NS);
    let debt_ns = if is_anothers { most_ns } else { owed_ns };
    let ahead_ns = debt_ns.saturating_add(interval_ns.saturating_mul(u64::from(cost)));
    if ahead_ns > most_ns {
        // What another rate left behind is cut down once, and from then on it is paid.
        let next = is_anothers.then(|| now_ns.saturating_add(debt_ns));
        return (next, Err(Over { retry_ns: ahead_ns - burst_ns, reset_ns: debt_ns }));
    }
    let left = burst_ns.saturating_sub(ahead_ns) / interval_ns.max(1);
    let within = Within {
        wait_ns: ahead_ns.saturating_sub(burst_ns),
        left: u32::try_from(left).unwrap_or(u32::MAX),
        reset_ns: ahead_ns,
    };
    (Some(now_ns.saturating_add(ahead_ns)), Ok(within))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const SECOND_NS: u64 = 1_000_000_000;

    /// Ten a second, five at once.
    fn pace() -> Pace {
        Pace::new(10, Duration::from_secs(1), 5)
    }

    /// A flow and its theoretical arrival time.
    struct Flow(u64);

    impl Flow {
        fn ask(&mut self, pace: &Pace, now: u64, cost: u32, max_wait: u64) -> Result<Within, Over> {
            let (next, verdict) = judge(pace, self.0, now, cost, max_wait);
            self.0 = next.unwrap_or(self.0);
            verdict
        }
    }

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let (pace, now) = (pace(), 7 * SECOND_NS);
        let mut flow = Flow(0);
        for left in (0..5).rev() {
            let within = flow.ask(&pace, now, 1, 0).unwrap();
            assert_eq!((within.left, within.wait_ns), (left, 0));
            assert_eq!(within.reset_ns, u64::from(5 - left) * SECOND_NS / 10);
        }
        let over = flow.ask(&pace, now, 1, 0).unwrap_err();
        assert_eq!(over, Over { retry_ns: SECOND_NS / 10, reset_ns: SECOND_NS / 2 });
        assert!(flow.ask(&pace, now + over.retry_ns - 1, 1, 0).is_err());
        assert!(flow.ask(&pace, now + over.retry_ns, 1, 0).is_ok());
        assert!(flow.ask(&pace, now + over.retry_ns, 1, 0).is_err());
    }

    #[test]
    fn a_request_may_count_for_several_and_wait() {
        let (pace, now) = (pace(), SECOND_NS);
        let mut flow = Flow(0);
        assert_eq!(flow.ask(&pace, now, 4, 0).unwrap().left, 1);
        assert_eq!(flow.ask(&pace, now, 4, 0).unwrap_err().retry_ns, 3 * SECOND_NS / 10);
        let within = flow.ask(&pace, now, 4, SECOND_NS / 2).unwrap();
        assert_eq!((within.wait_ns, within.left), (3 * SECOND_NS / 10, 0));
        assert!(flow.ask(&pace, now, 4, SECOND_NS / 2).is_err());
    }

    #[test]
    fn a_debt_of_another_rate_counts_for_a_burst_at_most() {
        let old = Pace::new(1, Duration::from_hours(1), 10);
        let mut flow = Flow(SECOND_NS);
        while flow.ask(&old, SECOND_NS, 1, 0).is_ok() {}
        let over = flow.ask(&pace(), SECOND_NS, 1, 0).unwrap_err();
        assert_eq!(over.retry_ns, SECOND_NS / 10);
        assert!(flow.ask(&pace(), SECOND_NS + over.retry_ns, 1, 0).is_ok());
    }

    proptest! {
        /// However requests come, what passes in any time is the burst and the rate over that time, and someone who
        /// always asks gets no less.
        #[test]
        fn what_passes_is_the_burst_and_the_rate(
            count in 1_u32..2_000,
            burst in 1_u32..500,
            gaps in prop::collection::vec(0_u64..5_000_000, 1..2_000),
        ) {
            let pace = Pace::new(count, Duration::from_secs(1), burst);
            let (mut flow, mut now, mut passed) = (Flow(0), SECOND_NS, 0_u64);
            let mut always_asked = true;
            for gap in gaps {
                // All that can pass does at once, from the beginning on.
                let before = passed;
                while flow.ask(&pace, now, 1, 0).is_ok() {
                    passed += 1;
                }
                // A full burst came back: more might have, had anybody asked.
                always_asked &= before == 0 || passed - before < u64::from(burst);
                let allowed = u64::from(burst) + (now - SECOND_NS) / pace.interval_ns;
                prop_assert!(passed <= allowed, "{passed} of {allowed}");
                if always_asked {
                    prop_assert_eq!(passed, allowed);
                }
                now += gap;
            }
        }
    }
}
