//! Mixing of several participants: everyone for a listener, and everyone but oneself for a conference.

use crate::control::{Handle, Live};
use crate::core::{Error, Format, Frame, Processor, Result, Source, Stage};
use crate::dsp::kernels;
use crate::dsp::level::{SILENCE_DBFS, to_dbfs};
use crate::stages::gain::{Gain, GainProcessor};
use crate::stages::limiter::{Limiter, LimiterProcessor};

/// Time constant of a participant's level, in ms: a syllable.
const LEVEL_MS: f32 = 200.0;

/// Level from which a participant can be the active speaker, in dBFS.
const SPEAKING_DBFS: f32 = -50.0;

/// How much louder another participant must be to become the active speaker, in dB, so that it does not flip.
const LOUDER_DB: f32 = 6.0;

/// Mix bus of a conference: each participant hears all others, each at the volume set for them, and never oneself
/// (*mix-minus*).
///
/// Every output has a true-peak limiter, so that many voices at once do not saturate. For each frame: [`begin`](Self::begin),
/// [`add`](Self::add) for whoever has sound, then [`output`](Self::output) for each participant or
/// [`output_all`](Self::output_all) for a listener.
///
/// Latency: that of the [`Limiter`], 1 ms and its detector's. Realtime safety: everything but `new` is safe.
///
/// ```
/// use voxframe::call::MixBus;
/// use voxframe::{Format, Frame};
/// let format = Format::mono(48_000)?;
/// let mut bus = MixBus::new(format, 3)?;
/// if let Some(volume) = bus.volume(1) {
///     volume.update(|volume| volume.gain_db = -6.0)?;
/// }
/// let voice = Frame::new(format);
/// bus.begin();
/// bus.add(0, &voice)?;
/// bus.add(1, &voice)?;
/// let others = bus.output(0)?; // participant 1 alone
/// assert_eq!(others.samples().len(), 480);
/// # Ok::<(), voxframe::Error>(())
/// ```
pub struct MixBus {
    inputs: Box<[Input]>,
    /// The sum of all inputs.
    sum: Frame,
    all: Output,
    /// The position of the next frame.
    position: i64,
    active: Option<usize>,
}

struct Input {
    volume: Handle<Gain>,
    gain: GainProcessor,
    /// What this participant adds to the sum.
    own: Frame,
    /// Mean power, smoothed.
    power: f32,
    output: Output,
}

struct Output {
    limiter: LimiterProcessor,
    frame: Frame,
}

impl Output {
    fn new(format: Format) -> Result<Self> {
        Ok(Self { limiter: Limiter::default().prepare(format)?, frame: Frame::new(format) })
    }
}

impl MixBus {
    /// A bus for so many participants. Allocates.
    ///
    /// # Errors
    /// Those of the stages it is made of.
    pub fn new(format: Format, participants: usize) -> Result<Self> {
        let input = |_| {
            let (gain, volume) = Gain::default().live();
            let gain = gain.prepare(format)?;
            Ok(Input { volume, gain, own: Frame::new(format), power: 0.0, output: Output::new(format)? })
        };
        Ok(Self {
            inputs: (0..participants).map(input).collect::<Result<_>>()?,
            sum: Frame::new(format),
            all: Output::new(format)?,
            position: 0,
            active: None,
        })
    }

    /// Format of the frames.
    pub fn format(&self) -> Format {
        self.sum.format()
    }

    /// Places for participants.
    pub fn participants(&self) -> usize {
        self.inputs.len()
    }

    /// Volume of a participant, as the others hear it: gain and mute, changed smoothly. `None` where there is no such
    /// place.
    pub fn volume(&self, participant: usize) -> Option<&Handle<Gain>> {
        self.inputs.get(participant).map(|input| &input.volume)
    }

    /// Begins a frame: nobody is heard in it until added.
    pub fn begin(&mut self) {
        self.sum.samples_mut().fill(0.0);
        for input in &mut self.inputs {
            input.own.samples_mut().fill(0.0);
            input.power *= 1.0 - smoothing(self.sum.format());
        }
        self.sum.set_position(self.position);
        self.position += self.sum.format().samples_per_channel() as i64;
    }

    fn no_place(&self, participant: usize) -> Error {
        let max = self.inputs.len() as f32 - 1.0;
        Error::OutOfRange { setting: "MixBus::participant", value: participant as f32, min: 0.0, max }
    }

    /// Adds a participant's frame; at most one between two calls of [`begin`](Self::begin), else the participant hears
    /// the first of them.
    ///
    /// # Errors
    /// [`Error::WrongFormat`]; [`Error::OutOfRange`] where there is no such place. The mix is then as before.
    pub fn add(&mut self, participant: usize, frame: &Frame) -> Result<()> {
        let format = self.sum.format();
        let no_place = self.no_place(participant);
        let input = self.inputs.get_mut(participant).ok_or(no_place)?;
        input.own.copy_from(frame)?;
        input.gain.process(&mut input.own)?;
        let power = kernels::energy(input.own.samples()) / input.own.samples().len() as f32;
        input.power += power * smoothing(format);
        kernels::mix(self.sum.samples_mut(), 1.0, input.own.samples(), 1.0);
        Ok(())
    }

    /// What a participant hears: all others.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] where there is no such place.
    pub fn output(&mut self, participant: usize) -> Result<&mut Frame> {
        let no_place = self.no_place(participant);
        let Input { own, output, .. } = self.inputs.get_mut(participant).ok_or(no_place)?;
        output.frame.copy_from(&self.sum)?;
        kernels::mix(output.frame.samples_mut(), 1.0, own.samples(), -1.0);
        limited(output)
    }

    /// What a listener hears: everyone.
    ///
    /// # Errors
    /// None that can happen: the formats are the bus's own.
    pub fn output_all(&mut self) -> Result<&mut Frame> {
        self.all.frame.copy_from(&self.sum)?;
        limited(&mut self.all)
    }

    /// Level of a participant in dBFS (RMS, smoothed over 200 ms), behind the volume; the level of silence where there is
    /// no such place.
    pub fn level_dbfs(&self, participant: usize) -> f32 {
        self.inputs.get(participant).map_or(SILENCE_DBFS, |input| to_dbfs(input.power.sqrt()))
    }

    /// Active speaker: the loudest participant above −50 dBFS. Another one takes over when 6 dB louder, or when the one
    /// before falls silent.
    pub fn active_speaker(&mut self) -> Option<usize> {
        let level = |index: usize| self.level_dbfs(index);
        let loudest = (0..self.inputs.len()).max_by(|&a, &b| level(a).total_cmp(&level(b)));
        let loudest = loudest.filter(|&index| level(index) > SPEAKING_DBFS);
        let stays = self.active.filter(|&index| level(index) > SPEAKING_DBFS);
        self.active = match (stays, loudest) {
            (Some(before), Some(now)) if level(now) < level(before) + LOUDER_DB => Some(before),
            _ => loudest,
        };
        self.active
    }

    /// Forgets all past sound; volumes stay.
    pub fn reset(&mut self) {
        for input in &mut self.inputs {
            input.gain.reset();
            input.output.limiter.reset();
            input.power = 0.0;
        }
        self.all.limiter.reset();
        (self.position, self.active) = (0, None);
    }
}

fn limited(output: &mut Output) -> Result<&mut Frame> {
    let Output { limiter, frame } = output;
    // The limiter delays: what it lends may be another frame than it was given, or the same one.
    limiter.process(frame)?.ok_or(Error::Internal { stage: "MixBus" })
}

/// Share of a frame in a smoothed level.
fn smoothing(format: Format) -> f32 {
    (format.frame_ms() as f32 / LEVEL_MS).min(1.0)
}

impl std::fmt::Debug for MixBus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MixBus({}, {} participants)", self.format(), self.inputs.len())
    }
}

/// Mixer of several sources into one: what a listener in a conference hears without a server that mixes.
///
/// Its frames have steady positions, whatever those of the sources are. The sources are pulled in order, one frame each.
#[derive(Debug)]
pub struct Mixer<S> {
    bus: MixBus,
    sources: Vec<S>,
}

impl<S: Source> Mixer<S> {
    /// A mixer of these sources, which must have one format. Allocates.
    ///
    /// # Errors
    /// [`Error::WrongFormat`] where their formats differ from `output`.
    pub fn new(output: Format, sources: Vec<S>) -> Result<Self> {
        if let Some(other) = sources.iter().map(Source::output_format).find(|&format| format != output) {
            return Err(Error::WrongFormat { expected: output, actual: other });
        }
        Ok(Self { bus: MixBus::new(output, sources.len())?, sources })
    }

    /// The mix bus: volumes, levels and the active speaker of the sources, by their index.
    pub fn bus(&mut self) -> &mut MixBus {
        &mut self.bus
    }

    /// The sources.
    pub fn sources_mut(&mut self) -> &mut [S] {
        &mut self.sources
    }
}

impl<S: Source> Source for Mixer<S> {
    fn pull(&mut self) -> &mut Frame {
        self.bus.begin();
        for (index, source) in self.sources.iter_mut().enumerate() {
            let added = self.bus.add(index, source.pull());
            debug_assert!(added.is_ok(), "the formats were checked");
        }
        let MixBus { sum, all, .. } = &mut self.bus;
        let copied = all.frame.copy_from(sum);
        debug_assert!(copied.is_ok(), "the formats are the same");
        match all.limiter.process(&mut all.frame) {
            Ok(Some(frame)) => frame,
            // Neither can happen: a limiter lends a frame for each of its format.
            Ok(None) | Err(_) => sum,
        }
    }

    fn output_format(&self) -> Format {
        self.bus.format()
    }

    fn reset(&mut self) {
        self.bus.reset();
        self.sources.iter_mut().for_each(Source::reset);
    }

    fn latency(&self) -> usize {
        let longest = self.sources.iter().map(Source::latency).max().unwrap_or(0);
        longest + self.bus.all.limiter.latency()
    }

    fn take_error(&mut self) -> Option<Error> {
        self.sources.iter_mut().find_map(Source::take_error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format() -> Format {
        Format::mono(48_000).unwrap()
    }

    fn tone(hz: f32, peak: f32, frame: usize) -> Frame {
        let mut tone = Frame::new(format());
        for (index, sample) in tone.samples_mut().iter_mut().enumerate() {
            let turns = hz * (frame * 480 + index) as f32 / 48_000.0;
            *sample = peak * (turns.fract() * std::f32::consts::TAU).sin();
        }
        tone
    }

    /// All that participant `listener` hears while three sing; 3 is one who does not sing.
    fn heard(bus: &mut MixBus, listener: usize, frames: usize, peak: f32) -> Vec<f32> {
        let mut out = Vec::new();
        for frame in 0..frames {
            bus.begin();
            for (index, hz) in [300.0, 700.0, 1100.0].into_iter().enumerate() {
                bus.add(index, &tone(hz, peak, frame)).unwrap();
            }
            let heard = if listener < 3 { bus.output(listener) } else { bus.output_all() }.unwrap();
            assert_eq!(heard.position(), frame as i64 * 480 - 68);
            out.extend_from_slice(heard.samples());
        }
        out
    }

    /// How much of a frequency is in the sound, as the peak of a sine.
    fn amount(sound: &[f32], hz: f32) -> f32 {
        let turn = |i: usize| std::f32::consts::TAU * hz * i as f32 / 48_000.0;
        let re: f32 = sound.iter().enumerate().map(|(i, s)| s * turn(i).cos()).sum();
        let im: f32 = sound.iter().enumerate().map(|(i, s)| s * turn(i).sin()).sum();
        2.0 * re.hypot(im) / sound.len() as f32
    }

    #[test]
    fn everyone_hears_all_others_and_not_oneself() {
        for listener in 0..4 {
            let mut bus = MixBus::new(format(), 3).unwrap();
            let sound = heard(&mut bus, listener, 100, 0.1);
            for (index, hz) in [300.0, 700.0, 1100.0].into_iter().enumerate() {
                let wanted = if index == listener { 0.0 } else { 0.1 };
                let found = amount(&sound[480..480 * 99], hz);
                assert!((found - wanted).abs() < 2e-4, "{listener} hears {found} of {index}");
            }
        }
    }

    #[test]
    fn a_volume_is_heard_by_the_others() {
        let mut bus = MixBus::new(format(), 3).unwrap();
        bus.volume(1).unwrap().update(|volume| volume.gain_db = -20.0).unwrap();
        bus.volume(2).unwrap().update(|volume| volume.muted = true).unwrap();
        let sound = heard(&mut bus, 0, 100, 0.1);
        assert!((amount(&sound[4800..480 * 99], 700.0) - 0.01).abs() < 2e-4);
        assert!(amount(&sound[4800..480 * 99], 1100.0) < 2e-4);
    }

    #[test]
    fn many_loud_voices_do_not_saturate() {
        let mut bus = MixBus::new(format(), 3).unwrap();
        let sound = heard(&mut bus, 0, 200, 1.0);
        let peak = sound.iter().fold(0.0f32, |peak, sample| peak.max(sample.abs()));
        assert!((0.8..0.9).contains(&peak), "{peak}: the limiter's ceiling is 0.891");
    }

    #[test]
    fn the_active_speaker_is_the_loudest_and_does_not_flip() {
        let mut bus = MixBus::new(format(), 2).unwrap();
        let mut run = |peaks: [f32; 2], frames: usize| {
            for frame in 0..frames {
                bus.begin();
                for (index, peak) in peaks.into_iter().enumerate() {
                    bus.add(index, &tone(500.0, peak, frame)).unwrap();
                }
            }
            bus.active_speaker()
        };
        assert_eq!(run([0.0, 0.0], 10), None);
        assert_eq!(run([0.1, 0.0], 100), Some(0));
        assert_eq!(run([0.1, 0.15], 200), Some(0), "3.5 dB louder is not enough");
        assert_eq!(run([0.1, 0.3], 200), Some(1));
        assert_eq!(run([0.2, 0.3], 200), Some(1));
        assert_eq!(run([0.2, 0.0], 200), Some(0));
        assert_eq!(run([0.0, 0.0], 300), None);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut bus = MixBus::new(format(), 2).unwrap();
        bus.begin();
        assert!(matches!(bus.add(2, &Frame::new(format())), Err(Error::OutOfRange { .. })));
        let other = Frame::new(Format::mono(16_000).unwrap());
        assert!(matches!(bus.add(0, &other), Err(Error::WrongFormat { .. })));
        assert!(bus.output(7).is_err() && MixBus::new(format(), 0).unwrap().output(0).is_err());
    }

    #[test]
    fn a_reset_bus_is_a_fresh_one_but_for_the_volumes() {
        let mut bus = MixBus::new(format(), 3).unwrap();
        bus.volume(0).unwrap().update(|volume| volume.gain_db = -6.0).unwrap();
        assert_eq!((bus.format(), bus.participants(), bus.level_dbfs(3)), (format(), 3, SILENCE_DBFS));
        heard(&mut bus, 2, 1, 0.0);
        bus.reset();
        let first = heard(&mut bus, 2, 20, 1.0);
        assert!(bus.level_dbfs(0) > -15.0 && bus.active_speaker().is_some());
        bus.reset();
        assert_eq!((bus.level_dbfs(0), bus.active_speaker()), (SILENCE_DBFS, None));
        assert!(heard(&mut bus, 2, 20, 1.0) == first, "positions and the limiter begin anew");
    }

    /// A tone that is `late` samples behind, and fails from its third frame on.
    struct Singer {
        hz: f32,
        late: usize,
        frame: Frame,
        pulled: usize,
    }

    impl Source for Singer {
        fn pull(&mut self) -> &mut Frame {
            self.frame = tone(self.hz, 0.1, self.pulled);
            self.pulled += 1;
            &mut self.frame
        }

        fn output_format(&self) -> Format {
            self.frame.format()
        }

        fn reset(&mut self) {
            self.pulled = 0;
        }

        fn latency(&self) -> usize {
            self.late
        }

        fn take_error(&mut self) -> Option<Error> {
            (self.pulled > 2).then_some(Error::Full)
        }
    }

    #[test]
    fn a_mixer_is_as_late_as_its_latest_source_and_hands_on_resets_and_errors() {
        let singer = |hz, late| Singer { hz, late, frame: Frame::new(format()), pulled: 0 };
        let mut mixer = Mixer::new(format(), vec![singer(300.0, 7), singer(700.0, 40), singer(1100.0, 0)]).unwrap();
        assert_eq!((mixer.output_format(), mixer.latency()), (format(), 40 + 68));
        let sing = |mixer: &mut Mixer<Singer>| {
            let frame = |index: i64| {
                let frame = mixer.pull();
                assert_eq!(frame.position(), index * 480 - 68);
                frame.samples().to_vec()
            };
            (0..50).flat_map(frame).collect::<Vec<_>>()
        };
        let first = sing(&mut mixer);
        assert!([300.0, 700.0, 1100.0].iter().all(|&hz| (amount(&first[480..480 * 49], hz) - 0.1).abs() < 2e-4));
        assert_eq!(mixer.take_error(), Some(Error::Full));
        mixer.reset();
        assert!(mixer.sources_mut()[1].pulled == 0 && mixer.take_error().is_none() && mixer.bus().volume(3).is_none());
        assert!(sing(&mut mixer) == first);
    }
}
