//! The rounds: engines alternate, verdicts are checked, times are gathered per class.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use veloflux_bench_common::median;
use veloflux_bench_waf::corpus::{Sample, fresh};
use veloflux_reference::Answer;

use crate::engines::{LIBMODSECURITY, Measured, OURS};

/// The CRS's report of scores in the logging phase, for the log alone. The reference library does not tell of it, as of
/// no `SecAction` with `noauditlog`.
const SCORES: u64 = 980_170;

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    rounds: u64,
}

impl Plan {
    /// A measurement.
    pub(crate) const FULL: Self = Self { rounds: 25 };
    /// A look.
    pub(crate) const QUICK: Self = Self { rounds: 4 };
    /// Walks through the corpus before the first round: caches fill, lazily built automata are built.
    const WARM_UP_WALKS: usize = 3;

    /// The plan in words.
    pub(crate) fn describe(self) -> String {
        format!(
            "plan {} rounds per engine and corpus, alternating; medians per class, ratios round by round",
            self.rounds
        )
    }
}

/// Which values the requests have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Values {
    /// Those of the corpus, in every round.
    Same,
    /// Others in every walk through the corpus.
    Fresh,
    /// Those of the corpus, to an engine that was made to forget all values before each request.
    Cold,
}

impl Values {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Same, Self::Fresh, Self::Cold];

    /// What is put behind a level in the figures.
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Self::Same => "",
            Self::Fresh => "-fresh",
            Self::Cold => "-cold",
        }
    }
}

/// What a run gave.
#[derive(Debug, Default)]
pub(crate) struct Results {
    /// Microseconds of CPU per transaction: the class's median in each round.
    times: BTreeMap<(Values, &'static str, String), Vec<f64>>,
    /// Classes, in the order of the corpus.
    pub classes: Vec<String>,
    /// Engines, in the order in which they began.
    pub engines: Vec<&'static str>,
    /// Wrong verdicts and requests that could not be judged.
    pub faults: BTreeSet<String>,
    /// Requests in which ours and the reference library matched the same rules, and those in which they did not.
    pub same_matches: usize,
    /// The latter, in words.
    pub other_matches: Vec<String>,
}

impl Results {
    /// One value per round, in microseconds; empty where nothing was measured.
    pub(crate) fn times(&self, values: Values, engine: &'static str, class: &str) -> &[f64] {
        self.times.get(&(values, engine, class.to_owned())).map_or(&[], Vec::as_slice)
    }
}

/// Warms up, then alternates.
pub(crate) fn run(engines: &mut [Measured], samples: &[Sample], plan: Plan) -> Result<Results, String> {
    let mut results = Results { engines: engines.iter().map(Measured::name).collect(), ..Results::default() };
    for sample in samples {
        if !results.classes.contains(&sample.class) {
            results.classes.push(sample.class.clone());
        }
    }
    warm_up(engines, samples, &mut results)?;
    for round in 0..plan.rounds {
        if round % 5 == 0 {
            eprintln!("round {} of {}", round + 1, plan.rounds);
        }
        for values in Values::ALL {
            for turn in 0..engines.len() {
                let engine = &mut engines[(turn + round as usize) % engines.len()];
                if engine.takes_part(values) {
                    walks(engine, samples, values, round, &mut results)?;
                }
            }
        }
    }
    Ok(results)
}

fn warm_up(engines: &mut [Measured], samples: &[Sample], results: &mut Results) -> Result<(), String> {
    let mut matched: BTreeMap<&str, Vec<BTreeSet<u64>>> = BTreeMap::new();
    for engine in engines {
        for _ in 0..Plan::WARM_UP_WALKS {
            let answers = engine.judge(samples, Values::Same)?;
            check(engine, samples, &answers, &mut results.faults);
            matched.insert(engine.name(), answers.iter().map(rules).collect());
        }
    }
    let ours = OURS[0].1;
    if let (Some(ours), Some(theirs)) = (matched.get(ours), matched.get(LIBMODSECURITY)) {
        for ((sample, ours), theirs) in samples.iter().zip(ours).zip(theirs) {
            if ours == theirs {
                results.same_matches += 1;
            } else {
                results.other_matches.push(format!(
                    "{} {}: ours {ours:?}, theirs {theirs:?}",
                    sample.class, sample.request.target
                ));
            }
        }
    }
    Ok(())
}

fn walks(
    engine: &mut Measured,
    samples: &[Sample],
    values: Values,
    round: u64,
    results: &mut Results,
) -> Result<(), String> {
    let mut classes: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for walk in 0..engine.walks() {
        let made = match values {
            Values::Same | Values::Cold => Cow::Borrowed(samples),
            Values::Fresh => Cow::Owned(fresh(samples, round << 32 | walk)),
        };
        let answers = engine.judge(&made, values)?;
        check(engine, &made, &answers, &mut results.faults);
        for (sample, answer) in samples.iter().zip(&answers) {
            if let Answer::Judged(judged) = answer {
                classes.entry(&sample.class).or_default().push(judged.cpu_ns as f64 / 1e3);
            }
        }
    }
    for (class, times) in classes {
        results.times.entry((values, engine.name(), class.to_owned())).or_default().push(median(&times));
    }
    Ok(())
}

fn check(engine: &Measured, samples: &[Sample], answers: &[Answer], faults: &mut BTreeSet<String>) {
    for (sample, answer) in samples.iter().zip(answers) {
        let what = match answer {
            Answer::Judged(judged) if judged.status.is_some() == engine.must_refuse(sample) => continue,
            Answer::Judged(judged) => match judged.status {
                Some(status) => format!("refused with {status} by {:?}", judged.rule),
                None => "passed".to_owned(),
            },
            Answer::Failed { error } => error.clone(),
        };
        let request = &sample.request;
        faults.insert(format!(
            "{} {} {} {}: {what}",
            engine.name(),
            sample.class,
            request.method,
            request.target
        ));
    }
}

/// The rules that matched, each once, but for the report of their scores.
fn rules(answer: &Answer) -> BTreeSet<u64> {
    match answer {
        Answer::Judged(judged) => judged.matched.iter().copied().filter(|rule| *rule != SCORES).collect(),
        Answer::Failed { .. } => BTreeSet::new(),
    }
}
