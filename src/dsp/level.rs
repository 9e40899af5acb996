//! Levels in decibels.
//!
//! dBFS here is `20·log10(value / 1.0)`: a full-scale square wave has an RMS of 0 dBFS, a full-scale sine one of
//! −3.01 dBFS. (AES17 and IEC 61606 call the RMS of a full-scale sine 0 dBFS; add 3.01 dB to compare.)

use crate::dsp::kernels;

/// Level of silence and lower bound of every level, −120 dBFS: below the noise of 20-bit converters.
pub const SILENCE_DBFS: f32 = -120.0;

/// Mean power of digital silence and below, [`SILENCE_DBFS`]. A muted, unplugged or paused device delivers it: it says
/// nothing about the noise or the voice that follows, so no estimator learns from it. Noise that was suppressed by 60 dB
/// is louder.
pub(crate) const SILENCE_POWER: f32 = 1e-12;

/// Factor of a gain in dB: 10^(dB/20). 6.02 dB doubles; −∞ dB is 0.
///
/// # Realtime safety
/// Safe, but too slow for every sample.
pub fn db_to_gain(db: f32) -> f32 {
    10f32.powf(db / 20.0)
}

/// Magnitude in dBFS, full scale being 1.0. [`SILENCE_DBFS`] at least, also for 0 and NaN.
///
/// # Realtime safety
/// Safe, but too slow for every sample.
pub fn to_dbfs(magnitude: f32) -> f32 {
    (20.0 * magnitude.abs().log10()).max(SILENCE_DBFS)
}

/// RMS level of samples in dBFS, [`SILENCE_DBFS`] at least.
///
/// # Realtime safety
/// Safe.
pub fn rms_dbfs(samples: &[f32]) -> f32 {
    to_dbfs((kernels::energy(samples) / samples.len().max(1) as f32).sqrt())
}

/// Sample peak in dBFS, [`SILENCE_DBFS`] at least.
///
/// # Realtime safety
/// Safe.
pub fn peak_dbfs(samples: &[f32]) -> f32 {
    to_dbfs(kernels::peak(samples))
}

/// Power ratio of a gain in dB.
pub(crate) fn db_to_power(db: f32) -> f32 {
    db_to_gain(db).powi(2)
}

/// Mean power in dBFS, full scale being 1.0. [`SILENCE_DBFS`] at least.
pub(crate) fn power_to_dbfs(power: f32) -> f32 {
    to_dbfs(power.sqrt())
}

/// Serialization of what readings hold as what they show: levels in dBFS.
#[cfg(feature = "serde")]
pub(crate) mod serialize {
    use serde::{Serialize, Serializer};

    use super::{power_to_dbfs, to_dbfs};

    pub fn magnitude<S: Serializer>(magnitude: &f32, serializer: S) -> Result<S::Ok, S::Error> {
        to_dbfs(*magnitude).serialize(serializer)
    }

    /// Magnitudes, one a channel.
    pub fn magnitudes<S: Serializer>(magnitudes: &[f32; 2], serializer: S) -> Result<S::Ok, S::Error> {
        magnitudes.map(to_dbfs).serialize(serializer)
    }

    /// Powers, one a channel.
    pub fn powers<S: Serializer>(powers: &[f32; 2], serializer: S) -> Result<S::Ok, S::Error> {
        powers.map(power_to_dbfs).serialize(serializer)
    }

    pub fn power<S: Serializer>(power: &f32, serializer: S) -> Result<S::Ok, S::Error> {
        power_to_dbfs(*power).serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_levels() {
        let sine: Vec<f32> = (0..480).map(|i| (i as f32 * std::f32::consts::TAU / 48.0).sin()).collect();
        assert!((rms_dbfs(&sine) + 3.0103).abs() < 1e-3);
        assert!(peak_dbfs(&sine).abs() < 1e-3);
        assert_eq!(rms_dbfs(&[0.0; 480]), SILENCE_DBFS);
        assert_eq!(rms_dbfs(&[]), SILENCE_DBFS);
        assert_eq!(to_dbfs(f32::NAN), SILENCE_DBFS);
        assert!((db_to_gain(20.0) - 10.0).abs() < 1e-5);
        assert_eq!(db_to_gain(f32::NEG_INFINITY), 0.0);
    }
}
