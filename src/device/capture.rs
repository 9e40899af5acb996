//! Device buffers to frames.

use super::resampler::Rate;
use super::{MAX_DEVICE_CHANNELS, Samples, check_device};
use crate::core::{Error, Format, Frame, Result};
use crate::dsp::kernels;

/// Cuts what a device delivers, in slices of any length, into frames.
///
/// It takes 1 to 8 channels, any rate from 8 to 192 kHz, 16, 24 or 32-bit integers or floats, interleaved or planar.
///
/// Channels are mixed down as [ITU-R BS.775] does (centre and surrounds at −3 dB, no low-frequency effects), in WAVE
/// order, and scaled so that the mix cannot clip: two channels to mono are the mean of both. One channel to stereo goes
/// to both sides.
///
/// Where the device's rate is not that of the frames it is resampled (feature `resample`). A device rate that is a
/// multiple of 100 Hz can be kept for the frames, and changed by a [`Resample`](crate::Resample) in the pipeline, at
/// a fraction of the cost.
///
/// ```
/// use voxframe::{Capture, Error, Format};
/// let mut capture = Capture::new(44_100, 2, Format::mono(44_100)?)?;
/// let mut frames = 0;
/// for buffer in [&[0i16; 2 * 300][..], &[0; 2 * 1000]] {
///     capture.push_interleaved(buffer, |frame| {
///         assert_eq!(frame.position(), 441 * frames);
///         frames += 1; // process it
///         Ok::<(), Error>(())
///     })?;
/// }
/// assert_eq!(frames, 2);
/// # Ok::<(), Error>(())
/// ```
///
/// Realtime safety: everything but `new` is safe. Latency: none without resampling, else [`latency`](Self::latency);
/// a frame comes out as soon as its last sample is there.
///
/// [ITU-R BS.775]: https://www.itu.int/rec/R-REC-BS.775
pub struct Capture {
    channels: usize,
    /// By how much each device channel counts in each frame channel.
    gains: [[f32; MAX_DEVICE_CHANNELS]; Format::MAX_CHANNELS],
    rate: Option<Rate>,
    /// Planar, at the device's rate, `wanted` samples of each channel.
    staged: Box<[f32]>,
    filled: usize,
    wanted: usize,
    frame: Frame,
    /// The position of the next frame, before the resampler's delay is taken off.
    next: i64,
    silenced: u64,
}

impl Capture {
    /// From a device with this rate and these channels, into frames of `output`. Allocates.
    ///
    /// # Errors
    /// [`Error::UnsupportedRate`], and [`Error::OutOfRange`] for the channels.
    pub fn new(sample_rate_hz: u32, channels: usize, output: Format) -> Result<Self> {
        check_device(sample_rate_hz, channels)?;
        let rate =
            (sample_rate_hz != output.sample_rate_hz()).then(|| Rate::capture(sample_rate_hz, output)).transpose()?;
        let frame_length = output.samples_per_channel();
        let most = rate.as_ref().map_or(frame_length, Rate::most_needed);
        Ok(Self {
            channels,
            gains: mix_gains(channels, output.channels()),
            wanted: rate.as_ref().map_or(frame_length, Rate::needed),
            rate,
            staged: vec![0.0; most * output.channels()].into_boxed_slice(),
            filled: 0,
            frame: Frame::new(output),
            next: 0,
            silenced: 0,
        })
    }

    /// The format of the frames.
    pub fn output_format(&self) -> Format {
        self.frame.format()
    }

    /// Delay of the resampler in samples per channel at the rate of the frames; 0 where there is none.
    pub fn latency(&self) -> usize {
        self.rate.as_ref().map_or(0, Rate::latency)
    }

    /// How many samples were NaN, infinite or over 2³², and were silenced, since the start or the last reset; counted
    /// behind the mix to the frame's channels.
    pub fn silenced(&self) -> u64 {
        self.silenced
    }

    /// Takes interleaved samples, and calls `each` with every frame that is complete.
    ///
    /// # Errors
    /// [`Error::WrongLength`] unless there is a whole number of samples per channel; then nothing is taken. Whatever
    /// `each` returns; then the rest of the samples is dropped.
    pub fn push_interleaved<'a, E: From<Error>>(
        &mut self,
        samples: impl Into<Samples<'a>>,
        each: impl FnMut(&mut Frame) -> Result<(), E>,
    ) -> Result<(), E> {
        let samples = samples.into();
        let channels = self.channels;
        let length = samples.len() / channels;
        if length * channels != samples.len() {
            return Err(Error::WrongLength { expected: length * channels, actual: samples.len() }.into());
        }
        self.push(length, each, |channel, start, sums, gain| {
            samples.add_to(sums, start * channels + channel, channels, gain);
        })
    }

    /// Takes planar samples, a slice for each channel, and calls `each` with every frame that is complete.
    ///
    /// # Errors
    /// [`Error::WrongChannels`], or [`Error::WrongLength`] unless all channels have the same length; then nothing is taken.
    /// Whatever `each` returns; then the rest of the samples is dropped.
    pub fn push_planar<'a, S: Into<Samples<'a>> + Copy, E: From<Error>>(
        &mut self,
        planes: &[S],
        each: impl FnMut(&mut Frame) -> Result<(), E>,
    ) -> Result<(), E> {
        if planes.len() != self.channels {
            return Err(Error::WrongChannels { expected: self.channels, actual: planes.len() }.into());
        }
        let length = planes[0].into().len();
        if let Some(other) = planes.iter().map(|&plane| plane.into().len()).find(|&other| other != length) {
            return Err(Error::WrongLength { expected: length, actual: other }.into());
        }
        self.push(length, each, |channel, start, sums, gain| planes[channel].into().add_to(sums, start, 1, gain))
    }

    /// `add(channel, start, sums, gain)` adds the samples of a device channel from `start` on to `sums`.
    fn push<E: From<Error>>(
        &mut self,
        length: usize,
        mut each: impl FnMut(&mut Frame) -> Result<(), E>,
        add: impl Fn(usize, usize, &mut [f32], f32),
    ) -> Result<(), E> {
        let mut taken = 0;
        while taken < length {
            let run = (length - taken).min(self.wanted - self.filled);
            for (staged, gains) in self.staged.chunks_exact_mut(self.wanted).zip(&self.gains) {
                let sums = &mut staged[self.filled..self.filled + run];
                sums.fill(0.0);
                for (channel, &gain) in gains.iter().enumerate().filter(|(_, gain)| **gain != 0.0) {
                    add(channel, taken, sums, gain);
                }
            }
            taken += run;
            self.filled += run;
            if self.filled == self.wanted {
                self.complete()?;
                each(&mut self.frame)?;
            }
        }
        Ok(())
    }

    /// Makes a frame of what is staged.
    fn complete(&mut self) -> Result<()> {
        let channels = self.frame.format().channels();
        let length = self.frame.format().samples_per_channel();
        let staged = &mut self.staged[..channels * self.wanted];
        // Not a number is not below anything, either.
        if kernels::peak(staged).partial_cmp(&kernels::MAX_SAMPLE).is_none_or(|order| order.is_gt()) {
            self.silenced += u64::from(kernels::sanitize_and_count(staged).invalid);
        }
        self.frame.set_position(self.next - self.rate.as_ref().map_or(0, Rate::latency) as i64);
        self.frame.set_speech_probability(None);
        self.next += length as i64;
        self.filled = 0;
        match &mut self.rate {
            None => self.frame.samples_mut().copy_from_slice(staged),
            Some(rate) => {
                rate.process(channels, (staged, self.wanted), (self.frame.samples_mut(), length))?;
                self.wanted = rate.needed();
            }
        }
        Ok(())
    }

    /// Forgets all past sound, and begins at position 0 again.
    pub fn reset(&mut self) {
        if let Some(rate) = &mut self.rate {
            rate.reset();
            self.wanted = rate.needed();
        }
        self.filled = 0;
        self.next = 0;
        self.silenced = 0;
    }
}

/// By how much each device channel counts in each frame channel.
fn mix_gains(device: usize, frame: usize) -> [[f32; MAX_DEVICE_CHANNELS]; Format::MAX_CHANNELS] {
    const C: [f32; 2] = [std::f32::consts::FRAC_1_SQRT_2; 2];
    const S: f32 = std::f32::consts::FRAC_1_SQRT_2;
    const LEFT: [f32; 2] = [1.0, 0.0];
    const RIGHT: [f32; 2] = [0.0, 1.0];
    const LFE: [f32; 2] = [0.0, 0.0];
    const SL: [f32; 2] = [S, 0.0];
    const SR: [f32; 2] = [0.0, S];
    // What each channel gives to the left and to the right, in WAVE order.
    let speakers: &[[f32; 2]] = match device {
        1 => &[[1.0, 1.0]],
        2 => &[LEFT, RIGHT],
        3 => &[LEFT, RIGHT, C],
        4 => &[LEFT, RIGHT, SL, SR],
        5 => &[LEFT, RIGHT, C, SL, SR],
        6 => &[LEFT, RIGHT, C, LFE, SL, SR],
        7 => &[LEFT, RIGHT, C, LFE, C, SL, SR],
        _ => &[LEFT, RIGHT, C, LFE, SL, SR, SL, SR],
    };
    let mut gains = [[0.0; MAX_DEVICE_CHANNELS]; Format::MAX_CHANNELS];
    for (side, row) in gains.iter_mut().enumerate().take(frame) {
        for (gain, speaker) in row.iter_mut().zip(speakers) {
            *gain = if frame == 1 { speaker[0] + speaker[1] } else { speaker[side] };
        }
        let sum: f32 = row.iter().sum();
        row.iter_mut().for_each(|gain| *gain /= sum);
    }
    gains
}

impl std::fmt::Debug for Capture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Capture({} channels -> {})", self.channels, self.frame.format())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All that comes out when `samples` are pushed in slices of these lengths (per channel), over and over.
    fn run(capture: &mut Capture, samples: &[f32], slices: &[usize]) -> Vec<f32> {
        let mut out = Vec::new();
        let mut rest = samples;
        for &slice in slices.iter().cycle() {
            let (now, later) = rest.split_at((slice * capture.channels).min(rest.len()));
            let pushed: Result<()> = capture.push_interleaved(now, |frame| {
                out.extend_from_slice(frame.samples());
                Ok(())
            });
            pushed.unwrap();
            rest = later;
            if rest.is_empty() {
                return out;
            }
        }
        unreachable!()
    }

    #[test]
    fn slicing_changes_nothing() {
        let samples: Vec<f32> = (0..20_000).map(|i| (i as f32 * 0.37).sin()).collect();
        let format = Format::mono(48_000).unwrap();
        let mut rates = vec![48_000];
        if cfg!(feature = "resample") {
            rates.extend([11_025, 22_050, 44_100, 44_056, 192_000, 8_000]);
        }
        for rate in rates {
            let whole = run(&mut Capture::new(rate, 1, format).unwrap(), &samples, &[20_000]);
            let mut capture = Capture::new(rate, 1, format).unwrap();
            assert_eq!(run(&mut capture, &samples, &[1, 479, 480, 7, 1000]), whole);
            capture.reset();
            assert_eq!(run(&mut capture, &samples, &[333]), whole);
            let wanted = 20_000 * 48_000 / rate as usize;
            assert!(whole.len().abs_diff(wanted) <= 1024, "{rate}: {} for {wanted}", whole.len());
        }
    }

    #[test]
    fn planar_is_interleaved() {
        let left: Vec<i16> = (0..960).collect();
        let right: Vec<i16> = (0..960).map(|i| -i * 3).collect();
        let both: Vec<i16> = left.iter().zip(&right).flat_map(|(l, r)| [*l, *r]).collect();
        let mut capture = Capture::new(48_000, 2, Format::stereo(48_000).unwrap()).unwrap();
        let mut frames = Vec::new();
        let mut keep = |frame: &mut Frame| -> Result<()> {
            frames.push(frame.clone());
            Ok(())
        };
        capture.push_interleaved(&both[..], &mut keep).unwrap();
        capture.reset();
        capture.push_planar(&[&left[..], &right[..]], &mut keep).unwrap();
        assert_eq!(frames.len(), 4);
        assert_eq!(frames[..2], frames[2..]);
        assert_eq!(frames[1].samples()[1], 481.0 / 32_768.0);
    }

    #[test]
    fn no_mix_clips_and_all_are_symmetric() {
        for device in 1..=8 {
            for row in &mix_gains(device, 2) {
                assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6);
            }
            let mono = mix_gains(device, 1)[0];
            assert!((mono.iter().sum::<f32>() - 1.0).abs() < 1e-6);
            assert!(device == 1 || mono[0] == mono[1]);
        }
        assert_eq!(mix_gains(2, 1)[0][..2], [0.5, 0.5]);
        assert_eq!(mix_gains(1, 2), [[1.0, 0., 0., 0., 0., 0., 0., 0.]; 2]);
    }

    #[test]
    fn what_is_no_sound_is_silenced_and_counted() {
        let mut capture = Capture::new(48_000, 1, Format::mono(48_000).unwrap()).unwrap();
        let bad: Vec<f32> = (0..960).map(|i| if i % 100 == 0 { f32::NAN } else { 0.5 }).collect();
        let out = run(&mut capture, &bad, &[100]);
        assert!(out.iter().enumerate().all(|(i, s)| *s == if i % 100 == 0 { 0.0 } else { 0.5 }));
        assert_eq!(capture.silenced(), 10);
        capture.reset();
        assert_eq!(capture.silenced(), 0);
    }

    #[test]
    fn bad_shapes_are_refused_whole() {
        let format = Format::mono(48_000).unwrap();
        assert!(Capture::new(7_999, 1, format).is_err());
        assert!(Capture::new(48_000, 0, format).is_err());
        assert!(Capture::new(48_000, 9, format).is_err());
        let mut capture = Capture::new(48_000, 2, format).unwrap();
        let never = |_: &mut Frame| -> Result<()> { unreachable!() };
        assert!(capture.push_interleaved(&[0i16; 961][..], never).is_err());
        assert!(capture.push_planar(&[&[0.0f32; 480][..]], never).is_err());
        assert!(capture.push_planar(&[&[0.0f32; 480][..], &[0.0; 479]], never).is_err());
        assert_eq!(capture.filled, 0);
    }
}
