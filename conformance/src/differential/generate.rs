//! Which request has which number: the same for a seed and the same suites, whatever else is asked for.

use fastrand::Rng;

use super::encode::{changed, choose};
use super::inputs::Inputs;
use super::request::Request;
use super::{mutate, place};

/// Keeps requests with neighbouring numbers apart in the random generator's state.
const STRIDE: u64 = 0x9e37_79b9_7f4a_7c15;
/// Tries to change a request into one that the reference library can be told.
const TRIES: usize = 8;
/// Changes to one request of a suite.
const MAX_CHANGES: usize = 4;

/// Makes requests out of what the suites send.
pub(super) struct Generator {
    inputs: Inputs,
    seed: u64,
}

impl Generator {
    pub(super) fn new(inputs: Inputs, seed: u64) -> Self {
        Self { inputs, seed }
    }

    /// The request with this number.
    pub(super) fn request(&self, number: u64) -> Request {
        let mut rng = Rng::with_seed(self.seed ^ number.wrapping_add(1).wrapping_mul(STRIDE));
        for _ in 0..TRIES {
            let request = if rng.bool() { self.mutated(&mut rng) } else { self.grown(&mut rng) };
            if request.is_tellable() {
                return request;
            }
        }
        choose(&mut rng, &self.inputs.requests).clone()
    }

    /// A request of a suite, changed a few times.
    fn mutated(&self, rng: &mut Rng) -> Request {
        let mut request = choose(rng, &self.inputs.requests).clone();
        for _ in 0..rng.usize(1..=MAX_CHANGES) {
            let payload = self.value(rng);
            mutate::once(rng, &mut request, &payload);
        }
        request
    }

    /// A request of the grammar around values of the suites.
    fn grown(&self, rng: &mut Rng) -> Request {
        let values: Vec<_> = (0..rng.usize(1..5)).map(|_| self.value(rng)).collect();
        let mut request = place::request(rng, &values);
        if rng.u8(..6) == 0 {
            let payload = self.value(rng);
            mutate::once(rng, &mut request, &payload);
        }
        request
    }

    /// A value of the suites, or two spliced, changed up to three times.
    fn value(&self, rng: &mut Rng) -> Vec<u8> {
        let mut value = choose(rng, &self.inputs.values).clone();
        if rng.u8(..5) == 0 {
            let other = choose(rng, &self.inputs.values);
            value.truncate(rng.usize(..=value.len()));
            value.extend_from_slice(&other[rng.usize(..=other.len())..]);
        }
        let times = rng.usize(..4);
        changed(rng, &value, times)
    }
}
