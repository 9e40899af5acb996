//! Device buffers to frames.

use super::clock::CaptureClock;
use super::input_mixer::InputMixer;
use super::input_selection::InputSelection;
use super::limits::check_device;
use super::resampler::DeviceResampler;
use super::samples::DeviceSample;
use super::sink_result::SinkResult;
use crate::control::Handle;
use crate::core::{Error, Format, Frame, Processor, Result};
use crate::dsp::kernels;

/// Rate of the frames where they cannot have the device's.
const FALLBACK_RATE_HZ: u32 = 48_000;

/// Capture edge: a device's buffers of any length, cut into [`Frame`]s.
///
/// Devices have 1 to 8 channels at 8 to 192 kHz, interleaved or planar, of any [`DeviceSample`] type; slices, arrays and
/// vectors will do. [`InputSelection`] says which channels are heard: by default the mean of all.
///
/// Where the device's rate is not that of the frames it is resampled (feature `resample`). A device rate that is a
/// multiple of 100 Hz can be kept for the frames, and changed by a [`Resample`](crate::Resample) in the pipeline, at
/// a fraction of the cost.
///
/// [`run`](Self::run) pushes a buffer through a processor and hands out what comes out of it:
///
/// ```
/// # #[cfg(all(feature = "resample", feature = "denoise", feature = "opus"))]
/// # fn main() -> std::io::Result<()> {
/// use voxframe::{Capture, Profile};
/// # let (far_end, socket) = (std::net::UdpSocket::bind("127.0.0.1:0")?, std::net::UdpSocket::bind("127.0.0.1:0")?);
/// # socket.connect(far_end.local_addr()?)?;
/// let mut capture = Capture::for_device(44_100, 2)?;
/// let (mut uplink, _controls) = Profile::balanced().uplink(capture.output_format())?;
/// let mut bytes = 0;
/// let buffer = [0i16; 2 * 1024]; // what a device delivers
/// capture.run(&buffer, &mut uplink, |packet| bytes += packet.as_bytes().len())?;
/// capture.run(&buffer, &mut uplink, |packet| socket.send(packet.as_bytes()).map(drop))?;
/// # Ok(())
/// # }
/// # #[cfg(not(all(feature = "resample", feature = "denoise", feature = "opus")))]
/// # fn main() {}
/// ```
///
/// [`push_interleaved`](Self::push_interleaved) hands out the frames themselves, for whoever has no single processor to
/// run them through: two encoders, a buffer of frames, a measurement.
///
/// ```
/// use voxframe::{Capture, Format};
/// let mut capture = Capture::new(44_100, 2, Format::mono(44_100)?)?;
/// let mut positions = Vec::new();
/// for length in [300, 1000] {
///     capture.push_interleaved(&vec![0i16; 2 * length], |frame| positions.push(frame.position()))?;
/// }
/// assert_eq!(positions, [0, 441]);
/// # Ok::<(), voxframe::Error>(())
/// ```
///
/// # Position
/// Frames count their [position](Frame::position) from 0, so the timestamps of packets do. In the middle of a stream
/// [`skip`](Self::skip) counts what a pause or an overrun left out, and [`continue_after`](Self::continue_after) makes
/// the capture of another device go on where the stream stands.
///
/// # Realtime safety
/// Everything but `new`, `for_device` and `attach` is safe.
///
/// # Latency
/// None without resampling, else [`latency`](Self::latency). A frame comes out as soon as its last sample is there.
pub struct Capture {
    channels: usize,
    inputs: InputMixer,
    resampler: Option<DeviceResampler>,
    /// Planar, at the device's rate, `wanted` samples of each channel.
    staged: Box<[f32]>,
    filled: usize,
    wanted: usize,
    frame: Frame,
    clock: CaptureClock,
    /// Position of the frame that is being filled.
    position: i64,
    silenced: u64,
}

impl Capture {
    /// Capture of a device with this rate and these channels, in frames of `output`. Allocates.
    ///
    /// # Errors
    /// [`Error::UnsupportedRate`], and [`Error::OutOfRange`] for the channels.
    pub fn new(sample_rate_hz: u32, channels: usize, output: Format) -> Result<Self> {
        check_device(sample_rate_hz, channels)?;
        let resampler = (sample_rate_hz != output.sample_rate_hz())
            .then(|| DeviceResampler::capture(sample_rate_hz, output))
            .transpose()?;
        let frame_length = output.samples_per_channel();
        let most = resampler.as_ref().map_or(frame_length, DeviceResampler::most_needed);
        Ok(Self {
            channels,
            inputs: InputMixer::new(channels, output, most)?,
            wanted: resampler.as_ref().map_or(frame_length, DeviceResampler::needed),
            resampler,
            staged: vec![0.0; most * output.channels()].into_boxed_slice(),
            filled: 0,
            frame: Frame::new(output),
            clock: CaptureClock::new(sample_rate_hz, output.sample_rate_hz()),
            position: 0,
            silenced: 0,
        })
    }

    /// Capture of a device in the frames that suit it: mono, 10 ms, at the device's rate where a frame can have it, else
    /// at 48 kHz. Allocates.
    ///
    /// # Errors
    /// [`Error::UnsupportedRate`], and [`Error::OutOfRange`] for the channels.
    pub fn for_device(sample_rate_hz: u32, channels: usize) -> Result<Self> {
        let frames = Format::mono(sample_rate_hz).or_else(|_| Format::mono(FALLBACK_RATE_HZ))?;
        Self::new(sample_rate_hz, channels, frames)
    }

    /// Selects the input channels, from the next frame on. In the middle of sound it cross-fades over that frame.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for a channel that no device has, or a gain; nothing is changed.
    pub fn select(&mut self, selection: InputSelection) -> Result<()> {
        self.inputs.select(selection)
    }

    /// Obeys and reports to `handle` from now on, as the capture it was attached to before no longer does. Allocates.
    ///
    /// Without a handle, inputs are not measured.
    ///
    /// # Errors
    /// As [`select`](Self::select).
    pub fn attach(&mut self, handle: &Handle<InputSelection>) -> Result<()> {
        self.inputs.attach(handle)
    }

    /// Format of the frames.
    pub fn output_format(&self) -> Format {
        self.frame.format()
    }

    /// Delay of the resampler in samples per channel at the rate of the frames; 0 where there is none.
    pub fn latency(&self) -> usize {
        self.resampler.as_ref().map_or(0, DeviceResampler::latency)
    }

    /// The [`latency`](Self::latency) in ms: a term of the [delay from mouth to ear](crate::device#delay).
    pub fn latency_ms(&self) -> f64 {
        self.output_format().ms(self.latency())
    }

    /// Count of samples that were NaN, infinite or over 2³² and were silenced, behind the mix to the frame's channels,
    /// since the start or the last reset.
    pub fn silenced(&self) -> u64 {
        self.silenced
    }

    /// Pushes interleaved samples of any length through `processor`, and calls `each` with every frame or packet that
    /// comes out. `each` returns `()` or a `Result` ([`SinkResult`]).
    ///
    /// # Errors
    /// [`Error::WrongLength`] unless there is a whole number of samples per channel; then nothing is taken. The first
    /// error of `processor` or of `each`; then the rest of the samples is dropped, and [skipped](Self::skip).
    pub fn run<S: DeviceSample, P: Processor<Input = Frame> + ?Sized, R: SinkResult>(
        &mut self,
        samples: &[S],
        processor: &mut P,
        each: impl FnMut(&mut P::Output) -> R,
    ) -> Result<(), R::Error> {
        self.push_interleaved(samples, through(processor, each))
    }

    /// [`run`](Self::run) for planar samples, a slice for each channel.
    ///
    /// # Errors
    /// As [`run`](Self::run); [`Error::WrongChannels`], or [`Error::WrongLength`] unless all channels have the same length,
    /// with nothing taken.
    pub fn run_planar<S: DeviceSample, P: Processor<Input = Frame> + ?Sized, R: SinkResult>(
        &mut self,
        planes: &[impl AsRef<[S]>],
        processor: &mut P,
        each: impl FnMut(&mut P::Output) -> R,
    ) -> Result<(), R::Error> {
        self.push_planar(planes, through(processor, each))
    }

    /// Takes interleaved samples of any length, and calls `each` with every frame that is complete.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn push_interleaved<S: DeviceSample, R: SinkResult>(
        &mut self,
        samples: &[S],
        each: impl FnMut(&mut Frame) -> R,
    ) -> Result<(), R::Error> {
        let channels = self.channels;
        let length = samples.len() / channels;
        if length * channels != samples.len() {
            return Err(Error::WrongLength { expected: length * channels, actual: samples.len() }.into());
        }
        self.push(length, each, |channel, start| (&samples[start * channels + channel..], channels))
    }

    /// Takes planar samples, a slice for each channel, and calls `each` with every frame that is complete.
    ///
    /// # Errors
    /// As [`run_planar`](Self::run_planar).
    pub fn push_planar<S: DeviceSample, R: SinkResult>(
        &mut self,
        planes: &[impl AsRef<[S]>],
        each: impl FnMut(&mut Frame) -> R,
    ) -> Result<(), R::Error> {
        if planes.len() != self.channels {
            return Err(Error::WrongChannels { expected: self.channels, actual: planes.len() }.into());
        }
        let length = planes[0].as_ref().len();
        if let Some(other) = planes.iter().map(|plane| plane.as_ref().len()).find(|&other| other != length) {
            return Err(Error::WrongLength { expected: length, actual: other }.into());
        }
        self.push(length, each, |channel, start| (&planes[channel].as_ref()[start..], 1))
    }

    /// `lane(channel, start)` is the samples of a device channel from `start` on, and how far apart they are.
    fn push<'a, S: DeviceSample, R: SinkResult>(
        &mut self,
        length: usize,
        mut each: impl FnMut(&mut Frame) -> R,
        lane: impl Fn(usize, usize) -> (&'a [S], usize),
    ) -> Result<(), R::Error> {
        let mut taken = 0;
        while taken < length {
            if self.filled == 0 {
                self.position = self.clock.begin(self.frame.format().samples_per_channel());
                self.inputs.begin();
            }
            let run = (length - taken).min(self.wanted - self.filled);
            let staged = (&mut self.staged[..self.frame.format().channels() * self.wanted], self.wanted);
            self.inputs.mix(staged, self.filled, run, |channel| lane(channel, taken));
            taken += run;
            self.filled += run;
            if self.filled == self.wanted {
                let done = self.complete().map_err(R::Error::from).and_then(|()| each(&mut self.frame).into_result());
                done.inspect_err(|_| self.clock.skip((length - taken) as u64))?;
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
        self.inputs.publish(staged, self.wanted);
        self.inputs.fade(staged, self.wanted);
        self.frame.set_position(self.position - self.resampler.as_ref().map_or(0, DeviceResampler::latency) as i64);
        self.frame.clear_detections();
        self.filled = 0;
        match &mut self.resampler {
            None => self.frame.samples_mut().copy_from_slice(staged),
            Some(resampler) => {
                resampler.process(channels, (staged, self.wanted), (self.frame.samples_mut(), length))?;
                self.wanted = resampler.needed();
            }
        }
        Ok(())
    }

    /// Counts sound that the device did not deliver, in samples per channel at its rate: in a pause, or as it tells of
    /// an overrun. Positions go on as if it had been silence.
    ///
    /// A frame that is half full keeps its position; those after it have the sum of all skips, exact to a sample.
    pub fn skip(&mut self, samples: u64) {
        self.clock.skip(samples);
    }

    /// Goes on with a stream in the middle: what leaves `processor` from now on begins at `end`, or less than 0.2 ms later
    /// where no sample lies at `end`.
    /// For the first buffer of another device, whose capture and uplink are new, so that timestamps do not run back
    /// (RFC 3550, section 5.1).
    ///
    /// `end` is where the stream stands, in ticks of 48 kHz whatever the rates: [`Packet::end`](crate::Packet::end) of
    /// the last packet. The delay of `processor` and of this capture is reckoned in. The time until the device runs is
    /// not known here; [`skip`](Self::skip) it. Positions never run backwards: a stream that is further on stays so.
    ///
    /// ```
    /// # #[cfg(all(feature = "resample", feature = "denoise", feature = "opus"))] {
    /// use voxframe::{Capture, Profile};
    /// let profile = Profile::balanced();
    /// let (mut capture, mut uplink, controls) = profile.uplink_for(48_000, 1)?;
    /// let mut end = 0;
    /// capture.run(&[0.1f32; 48_000], &mut uplink, |packet| end = packet.end())?;
    ///
    /// // A headset of another rate is plugged in.
    /// let mut capture = Capture::for_device(44_100, 2)?;
    /// let mut uplink = profile.uplink_with(capture.output_format(), &controls)?;
    /// capture.continue_after(end, &uplink);
    /// capture.run(&[0.1f32; 44_100], &mut uplink, |packet| {
    ///     assert!((0..8).contains(&(packet.position() - end)));
    ///     end = packet.end();
    /// })?;
    /// # }
    /// # Ok::<(), voxframe::Error>(())
    /// ```
    pub fn continue_after(&mut self, end: i64, processor: &impl Processor) {
        self.clock.continue_after(end, self.latency(), processor);
    }

    /// Forgets all past sound, and begins at position 0 again. In the middle of a stream, [`skip`](Self::skip) instead.
    pub fn reset(&mut self) {
        if let Some(resampler) = &mut self.resampler {
            resampler.reset();
            self.wanted = resampler.needed();
        }
        self.inputs.reset();
        self.filled = 0;
        self.clock.reset();
        self.silenced = 0;
    }
}

/// A closure for frames that runs them through `processor` and gives what comes out to `each`.
fn through<P: Processor<Input = Frame> + ?Sized, R: SinkResult>(
    processor: &mut P,
    mut each: impl FnMut(&mut P::Output) -> R,
) -> impl FnMut(&mut Frame) -> Result<(), R::Error> {
    move |frame| match processor.process(frame)? {
        Some(output) => each(output).into_result(),
        None => Ok(()),
    }
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
            capture.push_interleaved(now, |frame| out.extend_from_slice(frame.samples())).unwrap();
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
        let mut keep = |frame: &mut Frame| frames.push(frame.clone());
        capture.push_interleaved(&both, &mut keep).unwrap();
        capture.reset();
        capture.push_planar(&[&left, &right], &mut keep).unwrap();
        assert_eq!(frames.len(), 4);
        assert_eq!(frames[..2], frames[2..]);
        assert_eq!(frames[1].samples()[1], 481.0 / 32_768.0);
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
        let never = |_: &mut Frame| -> () { unreachable!() };
        assert!(capture.push_interleaved(&[0i16; 961], never).is_err());
        assert!(capture.push_planar(&[[0.0f32; 480]], never).is_err());
        assert!(capture.push_planar(&[&[0.0f32; 480][..], &[0.0; 479]], never).is_err());
        assert_eq!(capture.filled, 0);
    }
}
