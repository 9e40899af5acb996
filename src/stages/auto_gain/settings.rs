//! Settings and reading of [`AutoGain`].

use crate::core::Result;
use crate::core::error::in_range;
use crate::dsp::level::SILENCE_DBFS;

/// Automatic gain control: brings speech to one level, whoever speaks, and leaves pauses alone.
///
/// The level is the active speech level of ITU-T P.56 over the last seconds of speech, the louder channel counting for
/// both, so that a stereo image stays where it is. From a cold start, speech of −45 to −6 dBov is within 2 dB of the
/// target after 3 s. How the gain moves:
/// - Only while there is speech, by the detector of [`VoiceActivity`](crate::VoiceActivity): a whisper too, but neither
///   what the [far end](crate::Frame::far_end_speech) says nor, with the feature `vad`, music, by its steady tones.
/// - At first, until the gain has been right once, upwards by up to 24 dB/s: at `up_db_per_s`, 3 s would not be enough
///   for −45 dBov. From then on by no more than `up_db_per_s` and `down_db_per_s`.
/// - While the same voice speaks as before, by no more than 0.8 dB/s. Only a gain that is off by more than
///   `tolerance_db` (another talker, another microphone) moves at full speed.
/// - No higher than the noise between words allows, which stays below `max_noise_dbfs`: a noisy microphone gets less
///   gain than the target asks for. Where the noise grows, the gain gives way within 1.5 s, in pauses too. Where it
///   falls, by a suppressor that begins to work or a fan that is switched off, the gain follows in the next word.
/// - Digital silence (mute, a paused device) teaches neither level.
///
/// It does not look ahead and does not clip: peaks are some 15 dB above the level of speech, and the first syllable of
/// somebody who shouts may be far above full scale. Put a limiter behind it, and noise suppression before it.
///
/// Latency: none.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct AutoGain {
    /// Target active speech level in dBov (ITU-T P.56), −40 to −10. Default −20.
    pub target_dbov: f32,
    /// Maximum gain in dB, 0 to 60. Default 30.
    pub max_gain_db: f32,
    /// Maximum rise of the gain in dB/s, 1 to 100. Default 6 (WebRTC's AGC2).
    pub up_db_per_s: f32,
    /// Maximum fall of the gain in dB/s, 1 to 100. Default 40 (Speex).
    pub down_db_per_s: f32,
    /// Tolerance of the speech level around the target in dB, 1 to 12. Beyond it the gain moves at full speed; within
    /// half of it, it comes to rest again, and creeps. Default 3.
    pub tolerance_db: f32,
    /// Maximum level of the amplified noise in dBFS (RMS), −90 to 0. Default −50 (WebRTC's AGC2).
    pub max_noise_dbfs: f32,
    /// Bypass: the sound passes unchanged. The levels are measured all the same, so that the gain is right at once when
    /// the bypass ends. Default off.
    pub bypassed: bool,
}

impl Default for AutoGain {
    fn default() -> Self {
        Self {
            target_dbov: -20.0,
            max_gain_db: 30.0,
            up_db_per_s: 6.0,
            down_db_per_s: 40.0,
            tolerance_db: 3.0,
            max_noise_dbfs: -50.0,
            bypassed: false,
        }
    }
}

impl AutoGain {
    /// Automatic gain to this active speech level, in dBov.
    pub fn to_dbov(target_dbov: f32) -> Self {
        Self { target_dbov, ..Self::default() }
    }

    pub(super) fn check(&self) -> Result<()> {
        in_range("AutoGain::target_dbov", self.target_dbov, -40.0, -10.0)?;
        in_range("AutoGain::max_gain_db", self.max_gain_db, 0.0, 60.0)?;
        in_range("AutoGain::up_db_per_s", self.up_db_per_s, 1.0, 100.0)?;
        in_range("AutoGain::down_db_per_s", self.down_db_per_s, 1.0, 100.0)?;
        in_range("AutoGain::tolerance_db", self.tolerance_db, 1.0, 12.0)?;
        in_range("AutoGain::max_noise_dbfs", self.max_noise_dbfs, -90.0, 0.0)
    }
}

/// Reading of a running [`AutoGain`].
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct AutoGainReading {
    /// Gain at the end of the last frame, in dB; the one it would be, while bypassed.
    pub gain_db: f32,
    /// Active level of the incoming speech, in dBov; −120 until there was some.
    pub speech_dbov: f32,
    /// Level of the incoming noise between words, in dBFS (RMS); −120 until there was some.
    pub noise_dbfs: f32,
    /// Whether somebody speaks, so that the gain may move.
    pub speaking: bool,
}

impl Default for AutoGainReading {
    fn default() -> Self {
        Self { gain_db: 0.0, speech_dbov: SILENCE_DBFS, noise_dbfs: SILENCE_DBFS, speaking: false }
    }
}
