//! Frames to device buffers.

use std::collections::VecDeque;

use super::resampler::Rate;
use super::{SamplesMut, check_device};
use crate::core::{Error, Format, Frame, Result};

/// How long sound takes to fade out when frames run dry, and to fade in when they come again, in ms.
const FADE_MS: f32 = 5.0;

/// Samples per channel that are handed out in one go.
const RUN: usize = 256;

/// Hands frames to a device, in slices of any length.
///
/// It gives 1 to 8 channels at any rate from 8 to 192 kHz, as 16, 24 or 32-bit integers or floats, interleaved or
/// planar. Mono goes to the first two channels, stereo to mono is the mean of both, and channels beyond the second are
/// silent. Where the device's rate is not that of the frames it is resampled (feature `resample`).
///
/// When frames run dry the sound fades out within 5 ms, and fades in again with the next frame: no click.
///
/// ```
/// # #[cfg(feature = "resample")] {
/// use voxframe::{Format, Frame, Playout};
/// let mut playout = Playout::new(Format::mono(48_000)?, 48_000, 2)?;
/// let mut frame = Frame::new(playout.input_format());
/// let mut device = [0i16; 2 * 256];
/// while playout.available() < 256 {
///     playout.push(&mut frame)?; // the next frame of the call
/// }
/// assert_eq!(playout.pull_interleaved(&mut device[..])?, 256);
/// # }
/// # Ok::<(), voxframe::Error>(())
/// ```
///
/// Realtime safety: everything but `new` is safe. Latency: none without resampling, else [`latency`](Self::latency);
/// and whatever [`available`](Self::available) was left to wait.
pub struct Playout {
    channels: usize,
    rate: Option<Rate>,
    input: Format,
    /// Resampled sound, planar.
    resampled: Box<[f32]>,
    /// Each channel of the frames, at the device's rate.
    waiting: [VecDeque<f32>; Format::MAX_CHANNELS],
    /// Samples per channel.
    most_waiting: usize,
    /// The last sample played, of each channel of the frames.
    last: [f32; Format::MAX_CHANNELS],
    /// What decays after the last sample when frames run dry.
    tail: [f32; Format::MAX_CHANNELS],
    decay: f32,
    fade_in: f32,
    fade_step: f32,
    missing: u64,
}

impl Playout {
    /// From frames of `input` to a device with this rate and these channels. Room for 200 ms. Allocates.
    ///
    /// # Errors
    /// [`Error::UnsupportedRate`], and [`Error::OutOfRange`] for the channels.
    pub fn new(input: Format, sample_rate_hz: u32, channels: usize) -> Result<Self> {
        check_device(sample_rate_hz, channels)?;
        let rate =
            (sample_rate_hz != input.sample_rate_hz()).then(|| Rate::playout(input, sample_rate_hz)).transpose()?;
        let most = rate.as_ref().map_or(0, Rate::most);
        let most_waiting = sample_rate_hz as usize / 5 + most;
        let fade_samples = FADE_MS * sample_rate_hz as f32 / 1000.0;
        Ok(Self {
            channels,
            rate,
            input,
            resampled: vec![0.0; most * input.channels()].into_boxed_slice(),
            waiting: std::array::from_fn(|_| VecDeque::with_capacity(most_waiting)),
            most_waiting,
            last: [0.0; Format::MAX_CHANNELS],
            tail: [0.0; Format::MAX_CHANNELS],
            // Five time constants: −43 dB.
            decay: (-5.0 / fade_samples).exp(),
            fade_in: 1.0,
            fade_step: 1.0 / fade_samples,
            missing: 0,
        })
    }

    /// The format of the frames.
    pub fn input_format(&self) -> Format {
        self.input
    }

    /// Delay of the resampler in samples per channel at the device's rate; 0 where there is none.
    pub fn latency(&self) -> usize {
        self.rate.as_ref().map_or(0, Rate::latency)
    }

    /// Samples per channel, at the device's rate, that are ready to be pulled.
    pub fn available(&self) -> usize {
        self.waiting[0].len()
    }

    /// How many samples per channel were pulled while nothing was there.
    pub fn missing(&self) -> u64 {
        self.missing
    }

    /// Takes a frame.
    ///
    /// # Errors
    /// [`Error::WrongFormat`]; [`Error::Full`] if 200 ms are waiting already. The frame is then not taken.
    pub fn push(&mut self, frame: &mut Frame) -> Result<()> {
        frame.check_and_sanitize(self.input)?;
        let length = self.input.samples_per_channel();
        let most = self.rate.as_ref().map_or(length, Rate::most);
        if self.available() + most > self.most_waiting {
            return Err(Error::Full);
        }
        let (planes, stride, given) = match &mut self.rate {
            None => (frame.samples(), length, length),
            Some(rate) => {
                let given =
                    rate.process(self.input.channels(), (frame.samples(), length), (&mut self.resampled, most))?;
                (&*self.resampled, most, given)
            }
        };
        for (waiting, plane) in self.waiting.iter_mut().zip(planes.chunks_exact(stride)) {
            waiting.extend(&plane[..given]);
        }
        Ok(())
    }

    /// Fills `out` with interleaved samples; how many of them per channel were there to be played.
    ///
    /// # Errors
    /// [`Error::WrongLength`] unless there is room for a whole number of samples per channel; nothing is written.
    pub fn pull_interleaved<'a>(&mut self, out: impl Into<SamplesMut<'a>>) -> Result<usize> {
        let mut out = out.into();
        let channels = self.channels;
        let length = out.len() / channels;
        if length * channels != out.len() {
            return Err(Error::WrongLength { expected: length * channels, actual: out.len() });
        }
        Ok(self.pull(length, |start, channel, run| out.put(start * channels + channel, channels, run)))
    }

    /// Fills the slices in `out`, one for each channel; how many samples of each were there to be played.
    ///
    /// # Errors
    /// [`Error::WrongChannels`], or [`Error::WrongLength`] unless all have the same length; nothing is written.
    pub fn pull_planar(&mut self, out: &mut [SamplesMut<'_>]) -> Result<usize> {
        if out.len() != self.channels {
            return Err(Error::WrongChannels { expected: self.channels, actual: out.len() });
        }
        let length = out[0].len();
        if let Some(other) = out.iter().map(SamplesMut::len).find(|&other| other != length) {
            return Err(Error::WrongLength { expected: length, actual: other });
        }
        Ok(self.pull(length, |start, channel, run| out[channel].put(start, 1, run)))
    }

    /// `put(start, channel, run)` writes the samples of a device channel from `start` on.
    fn pull(&mut self, length: usize, mut put: impl FnMut(usize, usize, &[f32])) -> usize {
        let there = length.min(self.available());
        let mut runs = [[0.0; RUN]; Format::MAX_CHANNELS];
        let mut start = 0;
        while start < length {
            if start == there {
                self.tail = self.last;
                self.fade_in = 0.0;
            }
            let end = if start < there { there } else { length }.min(start + RUN);
            let [left, right] = runs.each_mut().map(|run| &mut run[..end - start]);
            self.take([left, right]);
            match (self.input.channels(), self.channels) {
                (1, _) => right.copy_from_slice(left),
                (_, 1) => left.iter_mut().zip(&*right).for_each(|(left, right)| *left = 0.5 * (*left + right)),
                _ => {}
            }
            for channel in 0..self.channels {
                match channel {
                    0 => put(start, channel, left),
                    1 => put(start, channel, right),
                    _ => put(start, channel, &[0.0; RUN][..end - start]),
                }
            }
            start = end;
        }
        self.missing += (length - there) as u64;
        there
    }

    /// Takes the next samples of each channel, which are either all there or all missing.
    fn take(&mut self, runs: [&mut [f32]; Format::MAX_CHANNELS]) {
        let dry = self.available() == 0;
        let mut fade_in = self.fade_in;
        for (channel, run) in runs.into_iter().enumerate().take(self.input.channels()) {
            let waiting = &mut self.waiting[channel];
            let there = run.len().min(waiting.len());
            let (older, newer) = waiting.as_slices();
            let older = &older[..there.min(older.len())];
            run[..older.len()].copy_from_slice(older);
            run[older.len()..there].copy_from_slice(&newer[..there - older.len()]);
            run[there..].fill(0.0);
            waiting.drain(..there);

            fade_in = self.fade_in;
            for sample in &mut *run {
                if fade_in >= 1.0 {
                    break;
                }
                self.tail[channel] *= self.decay;
                *sample = *sample * fade_in + self.tail[channel];
                if !dry {
                    fade_in += self.fade_step;
                }
            }
            self.last[channel] = run.last().copied().unwrap_or(0.0);
        }
        self.fade_in = fade_in;
    }

    /// Forgets all past sound and what is waiting.
    pub fn reset(&mut self) {
        if let Some(rate) = &mut self.rate {
            rate.reset();
        }
        self.waiting.iter_mut().for_each(VecDeque::clear);
        self.last = Default::default();
        self.tail = Default::default();
        self.fade_in = 1.0;
        self.missing = 0;
    }
}

impl std::fmt::Debug for Playout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Playout({} -> {} channels)", self.input, self.channels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp(format: Format, from: usize) -> Frame {
        let mut frame = Frame::new(format);
        for (c, channel) in frame.channels_mut().enumerate() {
            for (i, s) in channel.iter_mut().enumerate() {
                *s = (from + i) as f32 / 4096.0 * if c == 0 { 1.0 } else { -1.0 };
            }
        }
        frame
    }

    #[test]
    fn what_is_pushed_is_pulled_in_any_slices() {
        let format = Format::stereo(48_000).unwrap();
        let mut playout = Playout::new(format, 48_000, 4).unwrap();
        let mut all = Vec::new();
        let mut pushed = 0;
        for length in [1, 100, 480, 700, 7].into_iter().cycle().take(40) {
            while playout.available() < length {
                playout.push(&mut ramp(format, pushed % 4000)).unwrap();
                pushed += 480;
            }
            let mut out = vec![9.0f32; length * 4];
            assert_eq!(playout.pull_interleaved(&mut out[..]).unwrap(), length);
            all.extend(out);
        }
        for (index, group) in all.chunks_exact(4).enumerate() {
            let wanted = ((index / 480 * 480) % 4000 + index % 480) as f32 / 4096.0;
            assert_eq!(group, [wanted, -wanted, 0.0, 0.0]);
        }
        assert_eq!(playout.missing(), 0);
    }

    #[test]
    fn running_dry_fades_out_and_in() {
        let format = Format::mono(48_000).unwrap();
        let mut playout = Playout::new(format, 48_000, 1).unwrap();
        let mut loud = Frame::new(format);
        loud.samples_mut().fill(0.5);
        let mut out = vec![0.0f32; 2000];
        playout.push(&mut loud).unwrap();
        assert_eq!(playout.pull_interleaved(&mut out[..1000]).unwrap(), 480);
        playout.push(&mut loud).unwrap();
        assert_eq!(playout.pull_interleaved(&mut out[1000..1480]).unwrap(), 480);
        assert_eq!(playout.missing(), 520);
        assert!(out[..480].iter().all(|&s| s == 0.5));
        assert!(out[480 + 240] < 0.005 && out[999] >= 0.0);
        assert_eq!(out[1479], 0.5);
        let step = out[..1480].windows(2).map(|w| (w[1] - w[0]).abs()).fold(0.0, f32::max);
        assert!(step < 0.011, "{step}");
    }

    #[test]
    fn a_full_buffer_takes_no_more() {
        let format = Format::mono(48_000).unwrap();
        let mut playout = Playout::new(format, 48_000, 2).unwrap();
        let mut frame = Frame::new(format);
        for _ in 0..20 {
            playout.push(&mut frame).unwrap();
        }
        assert_eq!(playout.push(&mut frame), Err(Error::Full));
        assert_eq!(playout.available(), 9600);
        assert!(playout.pull_interleaved(&mut [0i16; 3][..]).is_err());
        let (mut left, mut right) = ([1i16; 10], [1i32; 10]);
        let mut planes = [SamplesMut::I16(&mut left), SamplesMut::I24(&mut right)];
        assert_eq!(playout.pull_planar(&mut planes).unwrap(), 10);
        assert_eq!((left, right), ([0; 10], [0; 10]));
        assert!(playout.pull_planar(&mut [SamplesMut::F32(&mut [0.0])]).is_err());
    }
}
