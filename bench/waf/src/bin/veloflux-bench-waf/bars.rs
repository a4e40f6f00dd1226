//! What must hold, as ratios.

use veloflux_bench_common::ratio;
use veloflux_bench_waf::ATTACK;

use crate::engines::{LIBMODSECURITY, OURS, ZENTINEL};
use crate::rounds::{Results, Values};

/// How many times cheaper than the reference library every benign class must be.
const LIBMODSECURITY_AT_LEAST: f64 = 100.0;
/// And than zentinel-modsec.
const ZENTINEL_AT_LEAST: f64 = 50.0;
/// But for this class, most of whose cost is not matching.
const ZENTINEL_EXCEPTION: (&str, f64) = ("post-json-10k", 40.0);
/// What level 4 may cost, in parts of level 1.
const PL4_AT_MOST: f64 = 2.5;
/// What an attack may cost, in parts of a benign page.
const ATTACK_AT_MOST: f64 = 3.0;
/// The class of a benign page.
const PAGE: &str = "get-page";

/// A ratio, and what it must be.
#[derive(Debug)]
pub(crate) struct Bar {
    /// As in `waf/pl1/get-page/libmodsecurity`.
    pub name: String,
    /// What was measured.
    pub ratio: f64,
    /// What must hold; `None`: told, not held to anything.
    pub limit: Option<Limit>,
}

/// A bound.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Limit {
    /// The ratio must be this or more.
    AtLeast(f64),
    /// The ratio must be this or less.
    AtMost(f64),
}

impl Bar {
    /// Whether it holds; a ratio that is no number holds nothing.
    pub(crate) fn held(&self) -> bool {
        match self.limit {
            Some(Limit::AtLeast(bound)) => self.ratio >= bound,
            Some(Limit::AtMost(bound)) => self.ratio <= bound,
            None => true,
        }
    }
}

/// Every ratio that could be measured.
pub(crate) fn bars(results: &Results) -> Vec<Bar> {
    let mut bars = Vec::new();
    let [(_, ours), (_, ours_pl4)] = OURS;
    for values in Values::ALL {
        let suffix = values.suffix();
        let times = |engine, class: &str| results.times(values, engine, class);
        // Whoever remembers nothing costs the same when it is made to forget.
        let theirs = if values == Values::Cold { Values::Same } else { values };
        // Nobody's values are all new all the time: that is told, and held to nothing.
        let held = |limit| Some(limit).filter(|_| values != Values::Cold);
        let mut add = |name: String, above: &[f64], below: &[f64], limit| {
            if !above.is_empty() && !below.is_empty() {
                bars.push(Bar { name: format!("waf/{name}"), ratio: ratio(above, below), limit });
            }
        };
        for class in &results.classes {
            for (engine, least) in [(LIBMODSECURITY, LIBMODSECURITY_AT_LEAST), (ZENTINEL, zentinel(class))] {
                // The bar of the attacks is the last one.
                let limit = held(Limit::AtLeast(least)).filter(|_| class != ATTACK);
                let name = format!("pl1{suffix}/{class}/{engine}");
                add(name, results.times(theirs, engine, class), times(ours, class), limit);
            }
        }
        for class in &results.classes {
            let limit = held(Limit::AtMost(PL4_AT_MOST));
            let name = format!("pl4-over-pl1{suffix}/{class}");
            add(name, times(ours_pl4, class), times(ours, class), limit);
        }
        let limit = held(Limit::AtMost(ATTACK_AT_MOST));
        add(format!("pl1{suffix}/attack-over-page"), times(ours, ATTACK), times(ours, PAGE), limit);
    }
    bars
}

fn zentinel(class: &str) -> f64 {
    let (exception, least) = ZENTINEL_EXCEPTION;
    if class == exception { least } else { ZENTINEL_AT_LEAST }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_held_by_what_was_not_measured() {
        let bar = |ratio, limit| Bar { name: String::new(), ratio, limit: Some(limit) };
        assert!(bar(100.0, Limit::AtLeast(100.0)).held() && !bar(99.9, Limit::AtLeast(100.0)).held());
        assert!(bar(2.5, Limit::AtMost(2.5)).held() && !bar(2.6, Limit::AtMost(2.5)).held());
        assert!(!bar(f64::NAN, Limit::AtMost(2.5)).held());
    }

    #[test]
    fn one_class_has_a_lower_bar() {
        assert!(zentinel("post-json-10k") < zentinel("post-json-1k"));
    }
}
