//! What judging one transaction costs, counted in units that follow the work and not the clock: the same transaction
//! under the same rules costs the same on any machine, or less where its thread remembers values of it ([`known`](super::known)).
//!
//! A unit is about what it takes to look once through [`BYTES_PER_UNIT`] bytes. Charged are the bytes and values taken
//! in, every form made of a value, every pass over one, every link that is asked about a value, and every match. A
//! transaction may spend what [`WorkBudget`] allows for the bytes it carries. When that is spent, it is refused; where
//! the tenant only detects, no further rule is asked.

use super::Failure;
use crate::record::RuleWork;

/// Bytes that one unit looks through.
const BYTES_PER_UNIT: u64 = 8;
/// For a value, in whatever is done for each of them.
const VALUE: u64 = 2;
/// For a link that is asked about a value, its operator's own work aside.
const ASKED: u64 = 4;
/// Runs of rules in an ordinary transaction: room made at once, no limit.
const COMMON_RUNS: usize = 64;
/// For a match, on top of its bytes: it is kept, variables are set.
const MATCH: u64 = 16;

/// Units for looking once through `bytes` of one value.
pub(super) fn pass(bytes: usize) -> u64 {
    VALUE + bytes as u64 / BYTES_PER_UNIT
}

/// How much work a transaction may be, for the bytes of request and response that the engine is shown.
///
/// At 100 per cent: [`FIXED_UNITS`](Self::FIXED_UNITS), [`NEAR_UNITS`](Self::NEAR_UNITS) for each of the first
/// [`NEAR_BYTES`](Self::NEAR_BYTES), and [`FAR_UNITS`](Self::FAR_UNITS) for each byte beyond them. That is about ten
/// times what ordinary traffic of such a size costs under the Core Rule Set at its highest paranoia level, and towards
/// large bodies, where nothing short stands out any more, less.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkBudget {
    percent: u32,
}

impl WorkBudget {
    /// Units for any transaction.
    pub const FIXED_UNITS: u64 = 100_000;
    /// Units for each of the first bytes.
    pub const NEAR_UNITS: u64 = 192;
    /// Bytes that [`NEAR_UNITS`](Self::NEAR_UNITS) are for.
    pub const NEAR_BYTES: u64 = 16 << 10;
    /// Units for each further byte.
    pub const FAR_UNITS: u64 = 16;

    /// A share of what is said above; at least 1 per cent.
    pub fn percent(percent: u32) -> Self {
        Self { percent: percent.max(1) }
    }

    /// Units that a transaction may spend which carries `bytes`.
    pub fn units(self, bytes: u64) -> u64 {
        let near = bytes.min(Self::NEAR_BYTES);
        let far = (bytes - near).saturating_mul(Self::FAR_UNITS);
        let whole = (Self::FIXED_UNITS + near * Self::NEAR_UNITS).saturating_add(far);
        whole.saturating_mul(self.percent.into()) / 100
    }
}

impl Default for WorkBudget {
    fn default() -> Self {
        Self { percent: 100 }
    }
}

/// A transaction's account.
pub(super) struct Work {
    budget: Option<WorkBudget>,
    carried_bytes: u64,
    allowed: u64,
    spent: u64,
    /// Whether more was asked for than was allowed: that stays so.
    over: bool,
    /// Values and bytes charged for so far, of those kept.
    kept: (usize, usize),
    /// What the current rule spent by itself.
    by_rule: u64,
    rules: Vec<RuleWork>,
}

impl Work {
    /// An account under `budget`; without one, work is counted and never too much.
    pub(super) fn new(budget: Option<WorkBudget>) -> Self {
        let allowed = budget.map_or(u64::MAX, |budget| budget.units(0));
        Self {
            budget,
            carried_bytes: 0,
            allowed,
            spent: 0,
            over: false,
            kept: (0, 0),
            by_rule: 0,
            rules: Vec::with_capacity(COMMON_RUNS),
        }
    }

    /// Counts on without bound.
    pub(super) fn lift(&mut self) {
        self.budget = None;
        self.allowed = u64::MAX;
    }

    /// The transaction carries `bytes` more, which are read once.
    pub(super) fn carry(&mut self, bytes: usize) {
        self.carried_bytes += bytes as u64;
        self.allowed = self.budget.map_or(u64::MAX, |budget| budget.units(self.carried_bytes));
        self.spent += pass(bytes);
    }

    /// The transaction now keeps this many values with this many bytes.
    pub(super) fn keep(&mut self, values: usize, bytes: usize) -> Result<(), Failure> {
        let (values_before, bytes_before) = std::mem::replace(&mut self.kept, (values, bytes));
        self.share((values - values_before) as u64 * VALUE + pass(bytes - bytes_before))
    }

    /// Allows for the logging rules, which run even when all is spent, what a transaction without bytes may spend.
    pub(super) fn allow_logging(&mut self) {
        let more = self.budget.map_or(u64::MAX, |budget| budget.units(0));
        self.allowed = self.allowed.max(self.spent.saturating_add(more));
        self.over = false;
    }

    /// Takes note of work done for all rules together.
    pub(super) fn share(&mut self, units: u64) -> Result<(), Failure> {
        self.spent += units;
        self.over |= self.spent > self.allowed;
        if self.over { Err(Failure::Budget) } else { Ok(()) }
    }

    /// Spends `units` on the current rule.
    pub(super) fn spend(&mut self, units: u64) -> Result<(), Failure> {
        self.by_rule += units;
        self.share(units)
    }

    /// Spends what it takes to ask a link about one value, `operator` units being its operator's.
    pub(super) fn ask(&mut self, operator: u64) -> Result<(), Failure> {
        self.spend(ASKED + operator)
    }

    /// Spends what a match of `bytes` costs.
    pub(super) fn matched(&mut self, bytes: usize) -> Result<(), Failure> {
        self.spend(MATCH + pass(bytes))
    }

    /// The current rule, `index` in the order of the rule set's text, is done.
    pub(super) fn settle(&mut self, index: usize) {
        if self.by_rule > 0 {
            self.rules.push(RuleWork { index: index as u32, units: std::mem::take(&mut self.by_rule) });
        }
    }

    /// How many runs of rules are accounted for.
    pub(super) fn rules_counted(&self) -> usize {
        self.rules.len()
    }

    /// Forgets which rules ran after the first `counted`: they are of another rule set. What they spent stays spent.
    pub(super) fn forget_rules_behind(&mut self, counted: usize) {
        self.rules.truncate(counted);
    }

    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// Units spent in all, and what each rule took of them.
    pub(super) fn close(&mut self) -> (u64, Vec<RuleWork>) {
        (self.spent, std::mem::take(&mut self.rules))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_grow_with_what_is_carried() {
        let of = |percent| move |bytes| WorkBudget::percent(percent).units(bytes);
        assert_eq!([of(100)(0), of(200)(0), of(0)(0)], [100_000, 200_000, 1_000]);
        assert_eq!(of(100)(1_000) - of(100)(0), 192_000);
        assert_eq!(of(50)(1 << 20) - of(50)((1 << 20) - 1_000), 8_000);
        assert_eq!(of(u32::MAX)(u64::MAX), u64::MAX / 100);
    }

    #[test]
    fn what_is_over_fails_and_is_accounted_to_its_rule() {
        let mut work = Work::new(Some(WorkBudget::default()));
        assert_eq!(work.spend(1_000), Ok(()));
        work.settle(7);
        work.settle(8);
        assert_eq!(work.share(WorkBudget::FIXED_UNITS), Err(Failure::Budget));
        // What comes later does not make up for it.
        work.carry(1 << 20);
        assert_eq!(work.spend(1), Err(Failure::Budget));
        work.settle(9);
        let (spent, rules) = work.close();
        assert!(spent > WorkBudget::FIXED_UNITS && spent < WorkBudget::default().units(1 << 20));
        assert_eq!(rules, [RuleWork { index: 7, units: 1_000 }, RuleWork { index: 9, units: 1 }]);
    }

    #[test]
    fn logging_goes_on_when_all_is_spent() {
        let mut work = Work::new(Some(WorkBudget::default()));
        assert_eq!(work.share(1 << 30), Err(Failure::Budget));
        work.allow_logging();
        assert_eq!(work.spend(1_000), Ok(()));
    }
}
