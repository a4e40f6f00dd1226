//! The requests: those of `data/waf-traffic` as they are, and fresh ones of the same shape.

use std::collections::BTreeMap;
use std::path::Path;

use fastrand::Rng;
use veloflux_reference::{self as reference, Request, text};

use crate::ATTACK;

/// One request and the class of which it is a sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// As in `get-page`; [`ATTACK`] for all attacks.
    pub class: String,
    /// What is judged.
    pub request: Request,
}

impl Sample {
    /// Whether it must be refused.
    pub fn is_attack(&self) -> bool {
        self.class == ATTACK
    }
}

/// Reads `benign.jsonl` and `attack.jsonl` in `folder`, in this order.
pub fn read(folder: &Path) -> Result<Vec<Sample>, String> {
    let mut samples = Vec::new();
    for (name, class) in [("benign.jsonl", None), ("attack.jsonl", Some(ATTACK))] {
        let read = reference::traffic(&folder.join(name))?;
        samples.extend(read.into_iter().map(|read| sample(read, class)));
    }
    Ok(samples)
}

fn sample(read: reference::Sample, class: Option<&str>) -> Sample {
    let request = Request {
        method: text(&read.method),
        target: text(&read.target),
        version: read.version,
        headers: read.headers.iter().map(|(name, value)| (text(name), text(value))).collect(),
        body: text(&read.body),
    };
    Sample { class: class.map_or(read.name, str::to_owned), request }
}

/// Samples grouped by class.
pub fn classes(samples: &[Sample]) -> BTreeMap<&str, Vec<&Request>> {
    let mut classes: BTreeMap<&str, Vec<&Request>> = BTreeMap::new();
    for sample in samples {
        classes.entry(&sample.class).or_default().push(&sample.request);
    }
    classes
}

/// The same requests with other values, of the same length and shape: what an engine that remembers values has not
/// seen. Another seed gives other values, but for those with no digit and, in a body or query, no vowel.
///
/// Digits but 0 are exchanged everywhere, vowels but a in queries and in bodies (but in multipart bodies, whose part headers
/// are words). The same letter becomes the same letter throughout one request, so that a boundary still is one; percent
/// escapes, `Content-Length` and what makes an attack an attack stay.
pub fn fresh(samples: &[Sample], seed: u64) -> Vec<Sample> {
    let mut random = Rng::with_seed(seed);
    samples
        .iter()
        .map(|sample| {
            let exchange = Exchange::draw(&mut random);
            Sample { class: sample.class.clone(), request: exchange.request(sample) }
        })
        .collect()
}

/// Which character becomes which.
struct Exchange {
    digits: [char; DIGITS.len()],
    vowels: [char; VOWELS.len()],
}

/// Without 0, which may not lead a number in JSON.
const DIGITS: [char; 9] = ['1', '2', '3', '4', '5', '6', '7', '8', '9'];
/// Without a: exchanged for e, it makes a shell command of harmless words, which the CRS then refuses with reason.
const VOWELS: [char; 4] = ['e', 'i', 'o', 'u'];

impl Exchange {
    fn draw(random: &mut Rng) -> Self {
        let mut exchange = Self { digits: DIGITS, vowels: VOWELS };
        random.shuffle(&mut exchange.digits);
        random.shuffle(&mut exchange.vowels);
        exchange
    }

    fn request(&self, sample: &Sample) -> Request {
        let mut request = sample.request.clone();
        let multipart = request.headers.iter().any(|(_, value)| value.starts_with("multipart/"));
        for (name, value) in &mut request.headers {
            if !name.eq_ignore_ascii_case("content-length") {
                *value = self.text(value, false);
            }
        }
        if !sample.is_attack() {
            request.target = match request.target.split_once('?') {
                Some((path, query)) => format!("{}?{}", self.text(path, false), self.text(query, true)),
                None => self.text(&request.target, false),
            };
            request.body = self.text(&request.body, !multipart);
        }
        request
    }

    fn text(&self, text: &str, vowels: bool) -> String {
        let mut escaped = 0;
        text.chars()
            .map(|character| {
                if escaped > 0 {
                    escaped -= 1;
                    return character;
                }
                if character == '%' {
                    escaped = 2;
                }
                let found = |from: &[char]| from.iter().position(|one| *one == character);
                match (found(&DIGITS), found(&VOWELS)) {
                    (Some(digit), _) => self.digits[digit],
                    (_, Some(vowel)) if vowels => self.vowels[vowel],
                    _ => character,
                }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post(class: Option<&str>) -> [Sample; 1] {
        let field = |name: &str, value: &str| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
        let read = reference::Sample {
            name: "post".to_owned(),
            method: b"POST".to_vec(),
            target: b"/v1/x?page=12".to_vec(),
            version: "1.1".to_owned(),
            headers: vec![
                field("Cookie", "sid=1a2b"),
                field("Content-Length", "12"),
                field("Content-Type", "application/x-www-form-urlencoded"),
            ],
            body: b"a=oak%u25%35".to_vec(),
        };
        [sample(read, class)]
    }

    #[test]
    fn a_fresh_request_has_other_values_and_the_same_shape() {
        let samples = post(None);
        let (one, other) = (fresh(&samples, 1), fresh(&samples, 2));
        assert_eq!(one, fresh(&samples, 1));
        assert_ne!(one, other);
        for made in [&one[0].request, &other[0].request] {
            assert_eq!(made.headers[1].1, "12");
            assert_eq!(made.headers[2].1, "application/x-www-form-urlencoded");
            assert_eq!(made.body.len(), 12);
            assert!(made.body.ends_with("%35"), "{}", made.body);
            assert!(made.target.starts_with("/v") && made.target.contains("?p"), "{}", made.target);
        }
    }

    #[test]
    fn what_makes_an_attack_stays() {
        let samples = post(Some(ATTACK));
        let made = &fresh(&samples, 3)[0];
        assert!(made.is_attack());
        assert_eq!(
            (&made.request.target, &made.request.body),
            (&samples[0].request.target, &samples[0].request.body)
        );
        assert_ne!(made.request.headers[0], samples[0].request.headers[0]);
    }
}
