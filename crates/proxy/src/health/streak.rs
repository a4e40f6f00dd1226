//! Rise and fall: how many checks in a row change a backend's state.

use veloflux_snapshot::HealthCheck;

/// Results in a row that speak against a backend's present state.
#[derive(Debug, Default)]
pub(super) struct Streak {
    against: u32,
}

impl Streak {
    /// Takes in one result; gives the new state if the backend's state `healthy` is to change.
    pub(super) fn observe(&mut self, passed: bool, healthy: bool, check: &HealthCheck) -> Option<bool> {
        if passed == healthy {
            self.against = 0;
            return None;
        }
        self.against += 1;
        let needed = if passed { check.rise } else { check.fall };
        (self.against >= needed).then(|| {
            self.against = 0;
            passed
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use veloflux_snapshot::HealthKind;

    const CHECK: HealthCheck = HealthCheck {
        kind: HealthKind::Tcp,
        interval: Duration::from_secs(1),
        timeout: Duration::from_secs(1),
        rise: 2,
        fall: 3,
    };

    #[test]
    fn only_results_in_a_row_change_the_state() {
        let mut streak = Streak::default();
        let mut healthy = true;
        let mut states = String::new();
        for result in "+--+---+-++-+".chars() {
            if let Some(new) = streak.observe(result == '+', healthy, &CHECK) {
                healthy = new;
            }
            states.push(if healthy { '+' } else { '-' });
        }
        assert_eq!(states, "++++++----+++");
    }
}
