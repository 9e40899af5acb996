//! Frames to device buffers.

use std::collections::VecDeque;

use super::limits::check_device;
use super::resampler::DeviceResampler;
use super::samples::{DeviceSample, put};
use crate::core::{Error, Format, Frame, Result, Source};

/// Fade time when frames run dry, and when they come again, in ms.
const FADE_MS: f32 = 5.0;

/// Samples per channel that are handed out in one go.
const RUN: usize = 256;

/// Playout edge: [`Frame`]s handed to a device in buffers of any length; the mirror of [`Capture`](super::Capture).
///
/// Devices have 1 to 8 channels at 8 to 192 kHz, interleaved or planar, of any [`DeviceSample`] type; slices, arrays and
/// vectors will do. Mono goes to the first two channels, stereo to mono is the mean of both, and channels beyond the
/// second are silent. Where the device's rate is not that of the frames it is resampled (feature `resample`).
///
/// [`fill`](Self::fill) fetches frames from a [`Source`] as the device needs them: a jitter buffer's output, alone or
/// with stages behind it.
///
/// ```
/// # #[cfg(all(feature = "opus", feature = "resample"))] {
/// use voxframe::{Format, Gain, JitterBuffer, Limiter, Playout, Source};
/// let (_network, output) = JitterBuffer::default().open(Format::mono(48_000)?)?;
/// let mut downlink = output.then(Gain::db(6.0))?.then(Limiter::default())?;
/// let mut playout = Playout::new(downlink.output_format(), 44_100, 2)?;
/// let mut buffer = [0i16; 2 * 16_384]; // 372 ms, what some Bluetooth devices ask for
/// playout.fill(&mut buffer, &mut downlink)?;
/// # }
/// # Ok::<(), voxframe::Error>(())
/// ```
///
/// [`push`](Self::push) and [`pull_interleaved`](Self::pull_interleaved) are for frames that come by themselves: from
/// another thread, or a file. When those run dry the sound fades out within 5 ms, and fades in again with the next
/// frame: no click.
///
/// ```
/// use voxframe::{Format, Frame, Playout};
/// let mut playout = Playout::new(Format::mono(48_000)?, 48_000, 2)?;
/// let mut frame = Frame::new(playout.input_format());
/// let mut buffer = [0i16; 2 * 256];
/// playout.push(&mut frame)?;
/// assert_eq!(playout.pull_interleaved(&mut buffer)?, 256);
/// assert_eq!(playout.pull_interleaved(&mut buffer)?, 224); // the rest is silence
/// # Ok::<(), voxframe::Error>(())
/// ```
///
/// # Realtime safety
/// Everything but `new` is safe, as far as the source is.
///
/// # Latency
/// None without resampling, else [`latency`](Self::latency); and what of the last frame waits for the next buffer.
pub struct Playout {
    channels: usize,
    rate_hz: u32,
    resampler: Option<DeviceResampler>,
    input: Format,
    /// Resampled sound, planar.
    resampled: Box<[f32]>,
    /// Each channel of the frames, at the device's rate.
    waiting: [VecDeque<f32>; Format::MAX_CHANNELS],
    /// Samples per channel.
    most_waiting: usize,
    /// The last sample played, of each channel of the frames.
    last: [f32; Format::MAX_CHANNELS],
    /// Decaying rest of the last sample when frames run dry.
    tail: [f32; Format::MAX_CHANNELS],
    decay: f32,
    fade_in: f32,
    fade_step: f32,
    missing: u64,
}

impl Playout {
    /// Playout from frames of `input` to a device with this rate and these channels. Allocates.
    ///
    /// # Errors
    /// [`Error::UnsupportedRate`], and [`Error::OutOfRange`] for the channels.
    pub fn new(input: Format, sample_rate_hz: u32, channels: usize) -> Result<Self> {
        check_device(sample_rate_hz, channels)?;
        let resampler = (sample_rate_hz != input.sample_rate_hz())
            .then(|| DeviceResampler::playout(input, sample_rate_hz))
            .transpose()?;
        let most = resampler.as_ref().map_or(0, DeviceResampler::most);
        let most_waiting = sample_rate_hz as usize / 5 + most;
        let fade_samples = FADE_MS * sample_rate_hz as f32 / 1000.0;
        Ok(Self {
            channels,
            rate_hz: sample_rate_hz,
            resampler,
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

    /// Format of the frames.
    pub fn input_format(&self) -> Format {
        self.input
    }

    /// Delay of the resampler in samples per channel at the device's rate; 0 where there is none.
    pub fn latency(&self) -> usize {
        self.resampler.as_ref().map_or(0, DeviceResampler::latency)
    }

    /// Delay of the next frame until the device takes its first sample, in ms: the [`latency`](Self::latency) and what is
    /// [`available`](Self::available) now. A term of the [delay from mouth to ear](crate::device#delay).
    pub fn latency_ms(&self) -> f64 {
        (self.latency() + self.available()) as f64 * 1000.0 / f64::from(self.rate_hz)
    }

    /// Samples per channel, at the device's rate, that are ready to be pulled.
    pub fn available(&self) -> usize {
        self.waiting[0].len()
    }

    /// Count of samples per channel that were pulled while none was there, since the start or the last reset.
    pub fn missing(&self) -> u64 {
        self.missing
    }

    /// Fills `out`, of any length, with interleaved samples, and pulls frames from `source` as they are needed.
    ///
    /// # Errors
    /// [`Error::WrongLength`] unless there is room for a whole number of samples per channel; nothing is written.
    /// [`Error::WrongFormat`] for a frame of another format; the sound fades out there, and the rest is silence.
    pub fn fill<S: DeviceSample>(&mut self, out: &mut [S], source: &mut (impl Source + ?Sized)) -> Result<()> {
        let channels = self.channels;
        let length = self.interleaved_length(out.len())?;
        self.fetch(length, source, |start, channel, run| put(&mut out[start * channels + channel..], channels, run))
    }

    /// [`fill`](Self::fill) for planar samples, a slice for each channel.
    ///
    /// # Errors
    /// As [`fill`](Self::fill); [`Error::WrongChannels`], or [`Error::WrongLength`] unless all have the same length, with
    /// nothing written.
    pub fn fill_planar<S: DeviceSample>(
        &mut self,
        out: &mut [impl AsMut<[S]>],
        source: &mut (impl Source + ?Sized),
    ) -> Result<()> {
        let length = self.planar_length(out)?;
        self.fetch(length, source, |start, channel, run| put(&mut out[channel].as_mut()[start..], 1, run))
    }

    /// Takes a frame.
    ///
    /// # Errors
    /// [`Error::WrongFormat`]; [`Error::Full`] if 200 ms are waiting already. The frame is then not taken.
    pub fn push(&mut self, frame: &mut Frame) -> Result<()> {
        frame.check_and_sanitize(self.input)?;
        let length = self.input.samples_per_channel();
        let most = self.resampler.as_ref().map_or(length, DeviceResampler::most);
        if self.available() + most > self.most_waiting {
            return Err(Error::Full);
        }
        let (planes, stride, given) = match &mut self.resampler {
            None => (frame.samples(), length, length),
            Some(resampler) => {
                let given =
                    resampler.process(self.input.channels(), (frame.samples(), length), (&mut self.resampled, most))?;
                (&*self.resampled, most, given)
            }
        };
        for (waiting, plane) in self.waiting.iter_mut().zip(planes.chunks_exact(stride)) {
            waiting.extend(&plane[..given]);
        }
        Ok(())
    }

    /// Fills `out` with interleaved samples of the frames that were pushed. Returns how many of them per channel were
    /// there to be played.
    ///
    /// # Errors
    /// [`Error::WrongLength`] unless there is room for a whole number of samples per channel; nothing is written.
    pub fn pull_interleaved<S: DeviceSample>(&mut self, out: &mut [S]) -> Result<usize> {
        let channels = self.channels;
        let length = self.interleaved_length(out.len())?;
        Ok(self.pull(length, |start, channel, run| put(&mut out[start * channels + channel..], channels, run)))
    }

    /// [`pull_interleaved`](Self::pull_interleaved) for planar samples, a slice for each channel.
    ///
    /// # Errors
    /// [`Error::WrongChannels`], or [`Error::WrongLength`] unless all have the same length; nothing is written.
    pub fn pull_planar<S: DeviceSample>(&mut self, out: &mut [impl AsMut<[S]>]) -> Result<usize> {
        let length = self.planar_length(out)?;
        Ok(self.pull(length, |start, channel, run| put(&mut out[channel].as_mut()[start..], 1, run)))
    }

    /// Samples per channel of an interleaved buffer.
    fn interleaved_length(&self, samples: usize) -> Result<usize> {
        let length = samples / self.channels;
        let expected = length * self.channels;
        if expected == samples { Ok(length) } else { Err(Error::WrongLength { expected, actual: samples }) }
    }

    /// Samples per channel of planar buffers.
    fn planar_length<S: DeviceSample>(&self, out: &mut [impl AsMut<[S]>]) -> Result<usize> {
        if out.len() != self.channels {
            return Err(Error::WrongChannels { expected: self.channels, actual: out.len() });
        }
        let expected = out[0].as_mut().len();
        match out.iter_mut().map(|plane| plane.as_mut().len()).find(|&length| length != expected) {
            None => Ok(expected),
            Some(actual) => Err(Error::WrongLength { expected, actual }),
        }
    }

    /// [`pull`](Self::pull), with frames from `source` where none are waiting.
    fn fetch(
        &mut self,
        length: usize,
        source: &mut (impl Source + ?Sized),
        mut put: impl FnMut(usize, usize, &[f32]),
    ) -> Result<()> {
        let mut filled = 0;
        while filled < length {
            let fetched = if self.available() == 0 { self.push(source.pull()) } else { Ok(()) };
            let run = if fetched.is_ok() { self.available().min(length - filled) } else { length - filled };
            self.pull(run, |start, channel, run| put(filled + start, channel, run));
            filled += run;
            fetched?;
        }
        Ok(())
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
        if let Some(resampler) = &mut self.resampler {
            resampler.reset();
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
            assert_eq!(playout.pull_interleaved(&mut out).unwrap(), length);
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
        assert!(playout.pull_interleaved(&mut [0i16; 3]).is_err());
        let mut planes = [[1i16; 10]; 2];
        assert_eq!(playout.pull_planar(&mut planes).unwrap(), 10);
        assert_eq!(planes, [[0; 10]; 2]);
        assert!(playout.pull_planar(&mut [[0.0f32]]).is_err());
        assert!(playout.pull_planar(&mut [vec![0.0f32; 2], vec![0.0; 3]]).is_err());
    }
}
