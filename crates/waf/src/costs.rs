//! What rules have cost since their rule set was compiled, in units of the work budget, summed over transactions.
//!
//! Each serving thread adds to numbers of its own with plain loads and stores; a reader sums those of all threads.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::record::WorkDone;

/// Threads with numbers of their own.
const MAX_THREADS: usize = 256;

/// What one rule has cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RuleCost {
    /// Units of the [work budget](crate::WorkBudget).
    pub units: u64,
    /// How often it was looked at more closely than the filter does for all rules together.
    pub runs: u64,
}

/// The sums of one rule set.
pub(crate) struct RuleCosts {
    rules: usize,
    /// Per thread, once it has added something, per rule. Made when the first adds something: a tenant's own rule set,
    /// of which there may be thousands, adds nothing here.
    threads: OnceLock<Box<[OfThread]>>,
}

type OfThread = OnceLock<Box<[Sums]>>;

#[derive(Default)]
struct Sums {
    units: AtomicU64,
    runs: AtomicU64,
}

impl RuleCosts {
    pub(crate) fn new(rules: usize) -> Self {
        Self { rules, threads: OnceLock::new() }
    }

    /// Adds the work of one transaction. Two callers that say at one time that they are the same thread lose counts.
    pub(crate) fn add(&self, thread: usize, work: &WorkDone) {
        let threads = self.threads.get_or_init(|| (0..MAX_THREADS).map(|_| OfThread::new()).collect());
        let sums =
            threads[thread % MAX_THREADS].get_or_init(|| (0..self.rules).map(|_| Sums::default()).collect());
        let add = |sum: &AtomicU64, more: u64| sum.store(sum.load(Relaxed).wrapping_add(more), Relaxed);
        for rule in &work.rules {
            if let Some(sums) = sums.get(rule.index as usize) {
                add(&sums.units, rule.units);
                add(&sums.runs, 1);
            }
        }
    }

    /// Per rule, the sum over all threads.
    pub(crate) fn sums(&self) -> Vec<RuleCost> {
        let mut all = vec![RuleCost::default(); self.rules];
        for sums in self.threads.get().into_iter().flatten().filter_map(OnceLock::get) {
            for (cost, sums) in all.iter_mut().zip(sums) {
                cost.units += sums.units.load(Relaxed);
                cost.runs += sums.runs.load(Relaxed);
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::RuleWork;

    #[test]
    fn threads_add_up() {
        let costs = RuleCosts::new(2);
        let work = |index, units| WorkDone { rules: vec![RuleWork { index, units }], ..WorkDone::default() };
        costs.add(0, &work(1, 5));
        costs.add(1, &work(1, 7));
        costs.add(1, &work(0, 1));
        costs.add(1, &work(9, 1));
        assert_eq!(costs.sums(), [RuleCost { units: 1, runs: 1 }, RuleCost { units: 12, runs: 2 }]);
    }
}
