//! Windowed sinc, of which low-pass filters and interpolators are made.

use std::f64::consts::PI;

/// Normalised sinc: sin πx / πx.
pub(crate) fn sinc(x: f64) -> f64 {
    if x == 0.0 { 1.0 } else { (PI * x).sin() / (PI * x) }
}

/// Kaiser window of the shape `beta` at `place`, −1 to 1 from end to end, as a multiple of its ends; they go on beyond.
pub(crate) fn kaiser(place: f64, beta: f64) -> f64 {
    bessel_i0(beta * (1.0 - place.powi(2)).max(0.0).sqrt())
}

/// Modified Bessel function of the first kind, of order zero, by its power series: exact to 64 bits up to 10.
fn bessel_i0(x: f64) -> f64 {
    (1..50)
        .scan(1.0, |term, k| {
            *term *= (x / (2.0 * f64::from(k))).powi(2);
            Some(*term)
        })
        .sum::<f64>()
        + 1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bessel_function_has_its_known_values() {
        // Abramowitz and Stegun, table 9.8.
        for (x, wanted) in [(0.0, 1.0), (1.0, 1.266_065_878), (5.0, 27.239_871_82), (10.0, 2_815.716_628)] {
            assert!((bessel_i0(x) / wanted - 1.0).abs() < 1e-9, "{x}: {}", bessel_i0(x));
        }
        assert_eq!((kaiser(0.0, 5.0), kaiser(1.0, 5.0), kaiser(-1.5, 5.0)), (bessel_i0(5.0), 1.0, 1.0));
    }
}
