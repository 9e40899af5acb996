//! Share of the whole echo's power that a nonlinear loudspeaker puts into each bin.

use super::spectrum::{BINS, Bins, PADDED};

/// Smoothing of the regression: 5 s, so that a near end seldom resembles the echo by chance.
const SMOOTHING: f32 = 0.002;

/// Bins on both sides over which the regression goes.
const NEIGHBOURS: usize = 5;

/// Correlation with the echo from which a share counts, and from which it counts in full: a near end has next to none.
const CORRELATED: [f32; 2] = [0.1, 0.4];

/// Estimator of the distortion: regression of what is left in each bin on the power of the echo in all bins.
pub struct Distortion {
    /// Covariance of what is left and the whole echo, and the variances of both.
    covariance: Bins,
    left_variance: Bins,
    echo_variance: f32,
    share: Bins,
}

impl Distortion {
    pub const NEW: Self =
        Self { covariance: [0.0; PADDED], left_variance: [0.0; PADDED], echo_variance: 0.0, share: [0.0; PADDED] };

    /// Power in each bin over the mean power of the echo in all bins.
    pub fn share(&self) -> &Bins {
        &self.share
    }

    /// Takes in how far the power that is left in each bin and the mean power of the echo are from their means.
    pub fn update(&mut self, left: &Bins, echo: f32) {
        self.echo_variance += SMOOTHING * (echo * echo - self.echo_variance);
        for (bin, &left) in left[..BINS].iter().enumerate() {
            self.covariance[bin] += SMOOTHING * (left * echo - self.covariance[bin]);
            self.left_variance[bin] += SMOOTHING * (left * left - self.left_variance[bin]);
        }
        for bin in 0..BINS {
            let near = bin.saturating_sub(NEIGHBOURS)..(bin + NEIGHBOURS + 1).min(BINS);
            let count = near.len() as f32;
            let covariance = self.covariance[near.clone()].iter().sum::<f32>().max(0.0) / count;
            let variance = self.left_variance[near].iter().sum::<f32>() / count;
            let correlation = covariance / (variance * self.echo_variance + 1e-24).sqrt();
            let certainty = ((correlation - CORRELATED[0]) / (CORRELATED[1] - CORRELATED[0])).clamp(0.0, 1.0);
            self.share[bin] = (certainty * covariance / (self.echo_variance + 1e-14)).min(1.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Share after 10 s of an echo and of what it leaves, by the echo and a near end that is independent of it.
    fn share(left: impl Fn(f32, f32) -> f32) -> f32 {
        let mut distortion = Distortion::NEW;
        for block in 0..1000 {
            let echo = (block as f32 * 0.37).sin();
            let near = (block as f32 * 0.23).sin();
            distortion.update(&[left(echo, near); PADDED], echo);
        }
        distortion.share()[80]
    }

    #[test]
    fn what_follows_the_echo_counts_and_a_near_end_does_not() {
        let alone = share(|echo, _| 0.05 * echo);
        assert!((0.95..1.05).contains(&(alone / 0.05)), "{alone}");
        let both = share(|echo, near| 0.05 * echo + 0.05 * near);
        assert!((0.9..1.1).contains(&(both / 0.05)), "{both}");
        assert_eq!(share(|_, near| near), 0.0);
        assert_eq!(share(|echo, _| -echo), 0.0, "what falls with the echo");
    }
}
