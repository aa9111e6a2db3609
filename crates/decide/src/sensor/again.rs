//! When a delivery of which no run could be made is tried again, and when it is given up.

use std::time::Duration;

use millstream_model::Timestamp;

/// How long it rests after the first try; after each further one, twice as long.
const FIRST_REST: Duration = Duration::from_secs(30);

/// How often it is tried before it is set aside.
const TRIES_MAX: u32 = 8;

/// When a delivery is tried again that was tried `tries` times, the last time at `now`; never when
/// it is to be set aside.
pub fn next_try(tries: u32, now: Timestamp) -> Option<Timestamp> {
    let doubled = tries.saturating_sub(1);
    (tries < TRIES_MAX).then(|| now.after(FIRST_REST.saturating_mul(1 << doubled.min(31))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rest_is_twice_as_long_and_the_eighth_try_is_the_last() {
        let now = Timestamp::from_micros(0);
        let rests: Vec<i64> = (1..=TRIES_MAX)
            .map_while(|tries| next_try(tries, now))
            .map(|at| at.as_micros() / 1_000_000)
            .collect();
        assert_eq!(rests, [30, 60, 120, 240, 480, 960, 1_920]);
        assert_eq!(rests.iter().sum::<i64>() / 60, 63, "it has about an hour");
        assert_eq!(next_try(u32::MAX, now), None);
    }
}
