//! E-model (ITU-T G.107): how a conversation over a connection would be rated.

/// Rating of a connection without any impairment (G.107, table 2, default values).
const MAX_RATING: f64 = 93.2;

/// Robustness of the codec against random loss (Bpl). G.113 has no value for Opus; 25.1 is that of G.711 with
/// concealment (appendix I).
const LOSS_ROBUSTNESS: f64 = 25.1;

/// Delay in ms besides the network's: packet, codec, and a jitter buffer without jitter.
const FIXED_DELAY_MS: f64 = 50.0;

/// Jitter buffer delay, as a multiple of the interarrival jitter.
const JITTER_FACTOR: f64 = 2.0;

/// Longest network delay in ms: beyond, nothing gets worse.
const MAX_DELAY_MS: f64 = 1e6;

/// Mean opinion score of a conversation, 1 to 4.4, by the E-model (ITU-T G.107, 06/2015): from the share of packets lost, 0
/// to 1, and the round-trip time and jitter in ms.
///
/// The delay from mouth to ear is taken as half the round-trip time, twice the jitter and 50 ms; echo as cancelled; loss as
/// random. Of the equipment impairment only loss counts, with the robustness of G.711 with concealment (Bpl = 25.1, G.113,
/// appendix I): Opus has no value of its own.
///
/// ```
/// use voxframe::call::mean_opinion_score;
/// assert!(mean_opinion_score(0.0, 40.0, 2.0) > 4.3);
/// assert!(mean_opinion_score(0.10, 40.0, 2.0) < 3.5);
/// ```
pub fn mean_opinion_score(loss: f32, round_trip_time_ms: f32, jitter_ms: f32) -> f32 {
    let at_least_0 = |value: f32| f64::from(value).max(0.0);
    let network = at_least_0(round_trip_time_ms) / 2.0 + at_least_0(jitter_ms) * JITTER_FACTOR;
    let delay = network.min(MAX_DELAY_MS) + FIXED_DELAY_MS;
    let percent = at_least_0(loss).min(1.0) * 100.0;
    let equipment = 95.0 * percent / (percent + LOSS_ROBUSTNESS);
    score(MAX_RATING - delay_impairment(delay) - equipment)
}

/// Impairment by pure delay, Idd (G.107, equations 7-27 and 7-28).
fn delay_impairment(delay_ms: f64) -> f64 {
    if delay_ms <= 100.0 {
        return 0.0;
    }
    let x = (delay_ms / 100.0).log2();
    let root = |value: f64| (1.0 + value.powi(6)).powf(1.0 / 6.0);
    25.0 * (root(x) - 3.0 * root(x / 3.0) + 2.0)
}

/// Mean opinion score of a rating (G.107, annex B).
fn score(rating: f64) -> f32 {
    match rating {
        ..=0.0 => 1.0,
        100.0.. => 4.5,
        r => (1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6).max(1.0) as f32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratings_become_the_scores_of_the_recommendation() {
        // G.107, table B.1: rating, and score rounded up.
        for (rating, expected) in [(90.0, 4.34), (80.0, 4.03), (70.0, 3.60), (60.0, 3.10), (50.0, 2.58)] {
            assert!((0.0..0.01).contains(&(expected - score(rating) + 1e-3)), "{rating}: {}", score(rating));
        }
        assert_eq!((score(-5.0), score(120.0)), (1.0, 4.5));
    }

    #[test]
    fn delay_and_loss_impair_as_published() {
        // G.107 by its own equations, by hand: Idd at 200 ms is 3.04, at 400 ms 24.07.
        assert_eq!(delay_impairment(100.0), 0.0);
        assert!((delay_impairment(200.0) - 3.04).abs() < 0.01, "{}", delay_impairment(200.0));
        assert!((delay_impairment(400.0) - 24.07).abs() < 0.01, "{}", delay_impairment(400.0));
        assert!((mean_opinion_score(0.0, 0.0, 0.0) - 4.41).abs() < 0.01);
        let scores: Vec<f32> =
            [0.0, 0.01, 0.03, 0.1, 0.5, 9.0].map(|loss| mean_opinion_score(loss, 60.0, 5.0)).to_vec();
        assert!(scores.windows(2).all(|s| s[0] > s[1]), "{scores:?}");
        assert!(mean_opinion_score(f32::NAN, -1.0, f32::NAN) > 4.3);
        assert!(mean_opinion_score(1.0, f32::INFINITY, 1e9) >= 1.0);
    }
}
