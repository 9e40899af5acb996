//! Choice and mixing of a device's input channels.
//!
//! The downmix of loudspeaker channels is that of [ITU-R BS.775](https://www.itu.int/rec/R-REC-BS.775).

use super::input_reading::InputReading;
use super::limits::MAX_DEVICE_CHANNELS;
use crate::control::Live;
use crate::core::error::in_range;
use crate::core::{Format, Result};

/// Weight of each device channel in each frame channel, as a linear factor.
pub type InputGains = [[f32; MAX_DEVICE_CHANNELS]; Format::MAX_CHANNELS];

/// Largest magnitude of a gain: 40 dB.
const MAX_GAIN: f32 = 100.0;

/// Selection of the input channels that a [`Capture`](super::Capture) hears.
///
/// The default suits a microphone, of which nothing is known but its number of channels. A talker is heard on whichever
/// input he is; the price is level: one input of `n` comes out `20·log10(n)` dB softer (2: 6 dB, 8: 18 dB), which
/// automatic gain makes up for. Where two inputs have opposite polarity, as in some laptops' microphone arrays, their
/// mean cancels the voice. [`InputReading`] tells of both, so that an application can offer [`Channel`](Self::Channel).
///
/// A [`Handle`](crate::Handle) selects from another thread, and reads the levels, over any number of captures:
///
/// ```
/// use voxframe::device::InputSelection;
/// use voxframe::{Capture, Format, Handle};
/// let input = Handle::new(InputSelection::Average);
/// let mut capture = Capture::new(48_000, 2, Format::mono(48_000)?)?;
/// capture.attach(&input)?;
/// // In the device callback: a laptop whose second microphone is inverted.
/// capture.push_interleaved(&[0.5, -0.5].repeat(4800), |_frame| {})?;
/// // In the user interface:
/// if input.reading().cancellation_db > 6.0 {
///     input.update(|input| *input = InputSelection::Channel(0))?;
/// }
/// assert_eq!(input.settings(), InputSelection::Channel(0));
/// # Ok::<(), voxframe::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum InputSelection {
    /// Mean of all channels, as WebRTC's `kAverageChannels`. In stereo frames the mean of the first, third … is on the
    /// left and that of the second, fourth … on the right; a single channel is on both sides. The default.
    #[default]
    Average,
    /// One channel at its own level, counted from 0, 0 to 7. In stereo frames it is on both sides. On a device that lacks
    /// it this is [`Average`](Self::Average), so that a voice is heard after a change of devices.
    Channel(usize),
    /// A weight for each device channel in each frame channel: the first row is mono or left, the second right. Each
    /// −100 to 100; negative weights invert. Weights of channels that the device lacks do not count.
    Gains(InputGains),
    /// Downmix of loudspeaker channels in WAVE order (ITU-R BS.775): centre and surrounds at −3 dB, without the
    /// low-frequency effects, scaled so that it cannot clip. For recordings, whose channels are made for loudspeakers;
    /// no microphone's are. Two channels to mono are the mean of both.
    SpeakerDownmix,
}

impl Live for InputSelection {
    type Reading = InputReading;

    fn validate(&self) -> Result<()> {
        self.gains(MAX_DEVICE_CHANNELS, Format::MAX_CHANNELS).map(drop)
    }
}

impl InputSelection {
    /// The weights for a device with these channels, in frames with those.
    pub(super) fn gains(self, device: usize, frame: usize) -> Result<InputGains> {
        let mut gains = [[0.0; MAX_DEVICE_CHANNELS]; Format::MAX_CHANNELS];
        let rows = gains.iter_mut().enumerate().take(frame);
        match self {
            Self::Average => rows.for_each(|(side, row)| {
                let (first, step) = if device == 1 || frame == 1 { (0, 1) } else { (side, 2) };
                let taken = row[..device].iter_mut().skip(first).step_by(step);
                let share = 1.0 / taken.len() as f32;
                taken.for_each(|gain| *gain = share);
            }),
            Self::Channel(channel) => {
                in_range("InputSelection::Channel", channel as f32, 0.0, (MAX_DEVICE_CHANNELS - 1) as f32)?;
                if channel >= device {
                    return Self::Average.gains(device, frame);
                }
                rows.for_each(|(_, row)| row[channel] = 1.0);
            }
            Self::Gains(chosen) => {
                for (side, row) in rows {
                    for (gain, &chosen) in row[..device].iter_mut().zip(&chosen[side]) {
                        in_range("InputSelection::Gains", chosen, -MAX_GAIN, MAX_GAIN)?;
                        *gain = chosen;
                    }
                }
            }
            Self::SpeakerDownmix => rows.for_each(|(side, row)| {
                for (gain, speaker) in row.iter_mut().zip(speakers(device)) {
                    *gain = if frame == 1 { speaker[0] + speaker[1] } else { speaker[side] };
                }
                let sum: f32 = row.iter().sum();
                row.iter_mut().for_each(|gain| *gain /= sum);
            }),
        }
        Ok(gains)
    }
}

/// Weights of each loudspeaker channel, in WAVE order, on the left and on the right.
fn speakers(channels: usize) -> &'static [[f32; 2]] {
    const S: f32 = std::f32::consts::FRAC_1_SQRT_2;
    const C: [f32; 2] = [S; 2];
    const LEFT: [f32; 2] = [1.0, 0.0];
    const RIGHT: [f32; 2] = [0.0, 1.0];
    const LFE: [f32; 2] = [0.0, 0.0];
    const SL: [f32; 2] = [S, 0.0];
    const SR: [f32; 2] = [0.0, S];
    match channels {
        1 => &[[1.0, 1.0]],
        2 => &[LEFT, RIGHT],
        3 => &[LEFT, RIGHT, C],
        4 => &[LEFT, RIGHT, SL, SR],
        5 => &[LEFT, RIGHT, C, SL, SR],
        6 => &[LEFT, RIGHT, C, LFE, SL, SR],
        7 => &[LEFT, RIGHT, C, LFE, C, SL, SR],
        _ => &[LEFT, RIGHT, C, LFE, SL, SR, SL, SR],
    }
}

#[cfg(test)]
mod tests {
    use super::InputSelection::{Average, Channel, Gains, SpeakerDownmix};
    use crate::core::Error;

    #[test]
    fn no_downmix_clips_and_all_are_symmetric() {
        for device in 1..=8 {
            for row in &SpeakerDownmix.gains(device, 2).unwrap() {
                assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6);
            }
            let mono = SpeakerDownmix.gains(device, 1).unwrap()[0];
            assert!((mono.iter().sum::<f32>() - 1.0).abs() < 1e-6);
            assert!(device == 1 || mono[0] == mono[1]);
        }
        let six = SpeakerDownmix.gains(6, 1).unwrap()[0];
        assert_eq!(six[3], 0.0, "no low-frequency effects");
        assert!((six[4] / six[0] - 0.5f32.sqrt()).abs() < 1e-6 && (six[2] / six[0] - 2f32.sqrt()).abs() < 1e-6);
    }

    #[test]
    fn microphones_are_averaged() {
        assert_eq!(Average.gains(1, 1).unwrap()[0][..2], [1.0, 0.0]);
        assert_eq!(Average.gains(4, 1).unwrap()[0][..5], [0.25, 0.25, 0.25, 0.25, 0.0]);
        let [left, right] = Average.gains(3, 2).unwrap();
        assert_eq!((&left[..3], &right[..3]), (&[0.5, 0.0, 0.5][..], &[0.0, 1.0, 0.0][..]));
        for selection in [Average, SpeakerDownmix] {
            assert_eq!(selection.gains(2, 1).unwrap()[0][..3], [0.5, 0.5, 0.0]);
            assert_eq!(selection.gains(1, 2).unwrap(), [[1.0, 0., 0., 0., 0., 0., 0., 0.]; 2]);
            let [left, right] = selection.gains(2, 2).unwrap();
            assert_eq!((&left[..2], &right[..2]), (&[1.0, 0.0][..], &[0.0, 1.0][..]));
        }
    }

    #[test]
    fn one_channel_is_chosen_or_some_with_gains() {
        assert_eq!(Channel(3).gains(8, 2).unwrap(), [[0., 0., 0., 1., 0., 0., 0., 0.]; 2]);
        assert_eq!(Channel(2).gains(2, 1), Average.gains(2, 1));
        let refused = Error::OutOfRange { setting: "InputSelection::Channel", value: 8.0, min: 0.0, max: 7.0 };
        assert_eq!(Channel(8).gains(2, 1), Err(refused));
        let mut chosen = [[0.0; 8]; 2];
        (chosen[0][1], chosen[0][5], chosen[1][0]) = (-0.5, 9.0, 2.0);
        let gains = Gains(chosen).gains(2, 2).unwrap();
        assert_eq!(gains, [[0., -0.5, 0., 0., 0., 0., 0., 0.], [2., 0., 0., 0., 0., 0., 0., 0.]]);
        assert_eq!(Gains(chosen).gains(2, 1).unwrap()[1], [0.0; 8], "mono has one row");
        chosen[1][1] = f32::NAN;
        assert!(Gains(chosen).gains(2, 2).is_err());
    }
}
