//! Near end in what the filter leaves, as the network hears it.

use super::bands;
use super::powers::Powers;
use super::residual_echo::ResidualEcho;
use super::spectrum::{Bins, PADDED};
use crate::neural::echo::{BANDS, Estimate, FEATURES, GROUPS, State};

/// Probabilities below which there is no near end, and above which it is certain.
const CERTAIN: [f32; 2] = [0.2, 0.8];

/// Bound of the residual echo of a faint far end, as a power over the one that is estimated without the network: 10 dB. The
/// near end beside it is hardly touched.
const MAX_FAINT: f32 = 10.0;

/// First of the residual echo's bands in what the network hears.
const RESIDUAL: usize = 4 * BANDS;

/// Estimator of the near end.
pub struct NearEnd {
    network: State,
    /// What the network heard last; what the filter leaves comes first.
    powers: [f32; FEATURES],
    /// Gain of each band that leaves what is no echo.
    bands: [f32; BANDS],
    presence: f32,
    /// Gain of each bin that leaves what is no echo.
    gains: Bins,
}

impl NearEnd {
    /// Estimator for a stream that begins. Allocates at the first call in a program.
    pub fn new() -> Self {
        Self {
            network: State::new(),
            powers: [0.0; FEATURES],
            bands: [1.0; BANDS],
            presence: 1.0,
            gains: [1.0; PADDED],
        }
    }

    pub fn reset(&mut self) {
        self.network.reset();
    }

    /// What the network heard since this was called, or zeros.
    #[cfg(test)]
    pub fn take_powers(&mut self) -> [f32; FEATURES] {
        std::mem::replace(&mut self.powers, [0.0; FEATURES])
    }

    /// Takes in the powers of a frame, of the far end whose echo may be in it, and of the residual echo; `faint` where the
    /// far end is.
    pub fn listen(&mut self, powers: &Powers, far: &Bins, residual: &ResidualEcho, faint: bool) {
        let groups: [&Bins; GROUPS] =
            [&powers.left, &powers.echo, &powers.microphone, far, &residual.powers(), &powers.uncertainty];
        for (sums, bins) in self.powers.chunks_exact_mut(BANDS).zip(groups) {
            sums.copy_from_slice(&bands::sums(bins));
        }
        let Estimate { gains, presence } = self.network.run(&self.powers);
        self.bands = gains;
        if faint {
            for (band, gain) in self.bands.iter_mut().enumerate() {
                let share = MAX_FAINT * self.powers[RESIDUAL + band] / (self.powers[band] + 1e-9);
                *gain = gain.max((1.0 - share).max(0.0).sqrt());
            }
        }
        self.gains = bands::interpolate(&self.bands);
        self.presence = ((presence - CERTAIN[0]) / (CERTAIN[1] - CERTAIN[0])).clamp(0.0, 1.0);
    }

    /// Takes all that comes with the far end for its echo, until it is known where that is.
    pub fn doubt(&mut self) {
        self.presence = 0.0;
    }

    /// Presence of the near end in the last frame, 0 to 1.
    pub fn presence(&self) -> f32 {
        self.presence
    }

    /// Gain of each bin that leaves what is no echo, 0 to 1.
    pub fn gains(&self) -> &Bins {
        &self.gains
    }

    /// Residual echo that the network hears, over the one that is estimated.
    pub fn correction(&self, residual: &ResidualEcho) -> Bins {
        let estimated = bands::sums(&residual.powers());
        bands::interpolate(&std::array::from_fn(|band| {
            let gain = self.bands[band];
            (1.0 - gain * gain) * self.powers[band] / (estimated[band] + 1e-9)
        }))
    }
}
