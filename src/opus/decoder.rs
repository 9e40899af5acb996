//! Opus packets to frames.

use super::comfort_noise::ComfortNoise;
use super::libopus::{Decoder, NEURAL, check_rate};
use super::packet::{GRID_TICKS, Layout, Redundancy};
use super::recovery::{Ceiling, Recovery, plan};
use crate::control::{ControlPort, Live};
use crate::core::error::{CodecError, in_range};
use crate::core::format::rescale;
use crate::core::{Error, Format, Frame, Packet, Processor, Result, Stage};
use crate::dsp::ramp::{GainCurve, Ramp};
use crate::dsp::{kernels, level};

/// Concealment goes over to comfort noise after 120 ms: no voice can be guessed for longer.
const MOST_CONCEALED_TICKS: u32 = 5760;

/// How long it takes to go over to comfort noise, and where the sender is silent anyway.
const FADE_MS: f32 = 60.0;
const SILENCE_FADE_MS: f32 = 20.0;

/// No sound is louder than this, 18 dB above full scale. What is comes from bytes that are no packet, or a broken one;
/// libopus then makes up to 10⁶ of it, and filters further on would ring for long.
const LOUDEST: f32 = 8.0;

/// How long a change of the gain takes.
const RAMP_MS: f32 = 20.0;

/// Decodes Opus packets of any length into frames (by libopus), and conceals lost ones.
///
/// It is prepared with the format of the frames that come out: 8, 12, 16, 24 or 48 kHz, mono or stereo whatever the
/// sender used. A packet longer than a frame holds several; the decoder is called with it until it is empty:
///
/// ```
/// use voxframe::{Format, Frame, OpusDecode, OpusEncode, Packet, Processor, Stage};
/// # let format = Format::mono(48_000)?;
/// # let mut encoder = OpusEncode { packet_ms: 60.0, ..OpusEncode::voip() }.prepare(format)?;
/// # let mut frame = Frame::new(format);
/// # let mut packet = loop {
/// #     if let Some(packet) = encoder.process(&mut frame)? { break packet.clone(); }
/// # };
/// let mut decoder = OpusDecode::default().prepare(Format::mono(48_000)?)?;
/// let mut frames = 0;
/// while !packet.is_empty() {
///     if let Some(frame) = decoder.process(&mut packet)? {
///         frames += 1; // play it
///     }
/// }
/// assert_eq!(frames, 6);
/// # Ok::<(), voxframe::Error>(())
/// ```
///
/// Packets shorter than a frame are gathered until they fill one.
///
/// # What is missing
/// A packet made by [`Packet::set_lost`] is a gap. It is filled with the best there is, 20 ms at a time:
/// 1. forward error correction, if the packet right after the gap has arrived and carries it;
/// 2. deep redundancy, if a packet that has arrived carries it, from up to 220 ms after what is lost (feature
///    `deep-plc`);
/// 3. concealment: the voice goes on and fades, within 120 ms, to the noise that was behind it. From a `complexity` of
///    5 a neural vocoder speaks on.
///
/// A packet made by [`Packet::set_silence`], or one of silence ([`Packet::is_dtx`]), is filled with that noise: the
/// codec's own is up to 12 dB too low.
///
/// Latency: none (the encoder accounts for the codec's).
///
/// # Errors
/// [`Error::Codec`] where the bytes are not an Opus packet; [`Error::Full`] if packets keep coming while earlier ones
/// were not emptied.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct OpusDecode {
    /// Gain in dB, −128 to 128, as in the header of an Ogg Opus file (RFC 7845, section 5.1). Default 0.
    pub gain_db: f32,
    /// How much CPU is spent on quality, 0 to 10. Default 0, libopus's. From 5 concealment is neural, from 6 LACE and
    /// from 7 NoLACE clean up the voice that is coded at low rates. Above 0 it needs the feature `deep-plc`.
    pub complexity: u8,
}

/// What a running [`OpusDecode`] tells. The times add up to all the sound it has made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpusDecodeReading {
    /// Sound decoded from packets, in ms, since the start or the last reset.
    pub decoded_ms: u64,
    /// Sound rebuilt from forward error correction, in ms.
    pub fec_ms: u64,
    /// Sound rebuilt from deep redundancy, in ms.
    pub dred_ms: u64,
    /// Sound made up where packets were lost, in ms.
    pub concealed_ms: u64,
    /// Comfort noise, in ms: where the sender was silent, and where concealment has faded.
    pub comfort_ms: u64,
    /// Packets that were not Opus.
    pub refused: u64,
}

impl OpusDecode {
    fn factor(&self) -> f32 {
        level::db_to_gain(self.gain_db)
    }
}

impl Stage for OpusDecode {
    type Processor = OpusDecodeProcessor;

    fn prepare(self, output: Format) -> Result<OpusDecodeProcessor> {
        self.live().0.prepare(output)
    }
}

impl Live for OpusDecode {
    type Reading = OpusDecodeReading;

    fn validate(&self) -> Result<()> {
        in_range("OpusDecode::gain_db", self.gain_db, -128.0, 128.0)?;
        in_range("OpusDecode::complexity", f32::from(self.complexity), 0.0, 10.0)?;
        match self.complexity {
            1.. if !NEURAL => Err(Error::Unavailable { setting: "OpusDecode::complexity", feature: "deep-plc" }),
            _ => Ok(()),
        }
    }

    fn prepare_with(self, output: Format, port: ControlPort<Self>) -> Result<OpusDecodeProcessor> {
        self.validate()?;
        check_rate("OpusDecode", output)?;
        let mut codec = Decoder::new(output)?;
        codec.set_complexity(self.complexity)?;
        // The longest packet, and what is left of the one before.
        let most = output.samples_in_ms(120.0) + output.samples_per_channel();
        Ok(OpusDecodeProcessor {
            codec,
            port,
            gain: Ramp::new(self.factor(), output.samples_in_ms(RAMP_MS), output.samples_per_channel()),
            decoded: vec![0.0; most * output.channels()].into_boxed_slice(),
            filled: 0,
            position: 0,
            ceiling: Ceiling::NOTHING_HEARD,
            noise: ComfortNoise::new(output, output.samples_in_ms(120.0)),
            concealed: 0,
            moved: vec![0; Packet::MAX_BYTES + Redundancy::MOST_BYTES_MORE].into_boxed_slice(),
            ticks: Ticks::default(),
            out: Frame::new(output),
        })
    }
}

/// Sound made so far, by where it came from, in ticks.
#[derive(Clone, Copy, Debug, Default)]
struct Ticks {
    decoded: u64,
    fec: u64,
    dred: u64,
    concealed: u64,
    comfort: u64,
    refused: u64,
}

/// A running [`OpusDecode`].
pub struct OpusDecodeProcessor {
    codec: Decoder,
    port: ControlPort<OpusDecode>,
    gain: Ramp,
    /// Interleaved sound that is not yet handed out.
    decoded: Box<[f32]>,
    filled: usize,
    /// The position of the first of it.
    position: i64,
    ceiling: Ceiling,
    noise: ComfortNoise,
    /// For how long, in ticks, nothing has been known of the sound.
    concealed: u32,
    /// Redundancy, moved to where it is needed.
    moved: Box<[u8]>,
    ticks: Ticks,
    out: Frame,
}

impl OpusDecodeProcessor {
    /// Where `ticks` of sound belong behind what is there already: the end of it, and the room.
    fn room(decoded: &mut [f32], filled: usize, format: Format, ticks: u32) -> Result<(usize, &mut [f32])> {
        let samples = rescale(ticks.into(), Packet::CLOCK_HZ, format.sample_rate_hz()) as usize;
        let end = filled + samples * format.channels();
        Ok((end, decoded.get_mut(filled..end).ok_or(Error::Full)?))
    }

    /// Makes the sound of a received packet.
    fn decode(&mut self, packet: &Packet) -> Result<()> {
        let format = self.out.format();
        let bytes = packet.as_bytes();
        let ticks = Layout::of(bytes).ok_or(Error::Codec(CodecError::InvalidPacket))?.ticks();
        let (end, room) = Self::room(&mut self.decoded, self.filled, format, ticks)?;
        self.codec.decode(bytes, room)?;
        tame(room);
        self.ticks.decoded += u64::from(ticks);
        self.concealed = 0;
        self.ceiling.lift(room, format);
        self.noise.listen(room);
        self.noise.go(room);
        self.append(end, packet.position());
        Ok(())
    }

    /// Makes the sound of the next piece of a gap, and takes it off the gap.
    fn fill(&mut self, gap: &mut Packet) -> Result<()> {
        let format = self.out.format();
        let (ticks, means) = plan(gap);
        let (end, room) = Self::room(&mut self.decoded, self.filled, format, ticks)?;
        let bytes = gap.as_bytes();
        let rebuilt = match means {
            Recovery::Fec => self.codec.rebuild(bytes, room).map(|()| &mut self.ticks.fec),
            Recovery::Dred(steps) => Layout::of(bytes)
                .and_then(|later| later.dred()?.moved(steps, &mut self.moved))
                .ok_or(Error::Codec(CodecError::InvalidPacket))
                .and_then(|length| self.codec.rebuild_from_dred(&self.moved[..length], room))
                .map(|()| &mut self.ticks.dred),
            Recovery::Conceal => Err(Error::Codec(CodecError::InvalidPacket)),
        };
        // What does not help as it should helps nobody: conceal without it.
        let kind = match rebuilt {
            Ok(kind) => {
                tame(room);
                self.concealed = 0;
                self.ceiling.lift(room, format);
                self.noise.go(room);
                kind
            }
            // Behind comfort noise the codec rests: the sender's has not faded either, and both meet again as they left.
            Err(_) if self.noise.is_alone() => {
                room.fill(0.0);
                self.noise.come(room, FADE_MS);
                &mut self.ticks.comfort
            }
            Err(_) => {
                self.codec.conceal(room)?;
                tame(room);
                self.ceiling.hold(room, format);
                let faded = self.concealed >= MOST_CONCEALED_TICKS;
                self.concealed = self.concealed.saturating_add(ticks);
                match gap.is_dtx() {
                    true => self.noise.come(room, SILENCE_FADE_MS),
                    false if faded => self.noise.come(room, FADE_MS),
                    false => self.noise.go(room),
                }
                if gap.is_lost() { &mut self.ticks.concealed } else { &mut self.ticks.comfort }
            }
        };
        *kind += u64::from(ticks);
        self.append(end, gap.position());
        gap.shorten(ticks);
        Ok(())
    }

    /// Takes on the sound up to `end`, which begins at `position` in ticks.
    fn append(&mut self, end: usize, position: i64) {
        if self.filled == 0 {
            self.position = rescale(position, Packet::CLOCK_HZ, self.out.format().sample_rate_hz());
        }
        self.filled = end;
    }

    /// Where the sound came from so far.
    pub(crate) fn reading(&self) -> OpusDecodeReading {
        let ms = |ticks: u64| ticks * 1000 / u64::from(Packet::CLOCK_HZ);
        let Ticks { decoded, fec, dred, concealed, comfort, refused } = self.ticks;
        OpusDecodeReading {
            decoded_ms: ms(decoded),
            fec_ms: ms(fec),
            dred_ms: ms(dred),
            concealed_ms: ms(concealed),
            comfort_ms: ms(comfort),
            refused,
        }
    }

    /// Whether the last sound received was no louder than the background.
    pub(crate) fn heard_background(&self) -> bool {
        self.noise.heard_background()
    }

    /// Whether sound of this mean square, before the gain, is no louder than a channel's background.
    pub(crate) fn is_background(&self, channel: usize, power: f32) -> bool {
        self.noise.is_background(channel, power)
    }

    /// Begins another stream behind what was made last: the codec forgets, the noise goes on until it is heard.
    pub(crate) fn restart(&mut self) {
        let done = self.codec.reset();
        debug_assert!(done.is_ok(), "libopus always resets");
        self.filled = 0;
        self.concealed = 0;
    }
}

/// Ends what is too loud, and silences what is no number.
fn tame(sound: &mut [f32]) {
    if kernels::sanitize(sound) > LOUDEST {
        kernels::limit(sound, LOUDEST);
    }
}

impl Processor for OpusDecodeProcessor {
    type Input = Packet;
    type Output = Frame;

    fn process<'a>(&'a mut self, packet: &'a mut Packet) -> Result<Option<&'a mut Frame>> {
        let format = self.out.format();
        let wanted = self.out.samples().len();
        if let Some(settings) = self.port.changed() {
            self.codec.set_complexity(settings.complexity)?;
            self.gain.set(settings.factor(), format.samples_in_ms(RAMP_MS));
        }
        if packet.is_dtx() && !packet.is_gap() && Layout::of(packet.as_bytes()).is_some() {
            packet.set_silence(packet.position(), packet.duration());
        }
        let done = if packet.is_gap() {
            if packet.duration() < GRID_TICKS {
                packet.consume(0);
            }
            if packet.is_gap() && self.filled < wanted { self.fill(packet) } else { Ok(()) }
        } else if !packet.as_bytes().is_empty() {
            let decoded = self.decode(packet);
            // Whatever happened, this packet will not be decoded again; only a full buffer may be tried anew.
            if decoded != Err(Error::Full) {
                packet.consume(0);
                self.ticks.refused += u64::from(decoded.is_err());
            }
            decoded
        } else {
            Ok(())
        };
        self.port.publish(self.reading());
        done?;
        if self.filled < wanted {
            if !packet.is_gap() {
                packet.consume(0);
            }
            return Ok(None);
        }
        self.out.copy_from_interleaved(&self.decoded[..wanted])?;
        match self.gain.advance(format.samples_per_channel()) {
            GainCurve::Steady(1.0) => {}
            GainCurve::Steady(gain) => kernels::scale(self.out.samples_mut(), gain),
            GainCurve::Moving(gains) => self.out.channels_mut().for_each(|channel| kernels::multiply(channel, gains)),
        }
        self.out.set_position(self.position);
        self.position += format.samples_per_channel() as i64;
        self.decoded.copy_within(wanted..self.filled, 0);
        self.filled -= wanted;
        if !packet.is_gap() {
            let whole_frames = self.filled / wanted * format.frame_ms() as usize;
            packet.consume(whole_frames as u32 * Packet::CLOCK_HZ / 1000);
        }
        Ok(Some(&mut self.out))
    }

    fn reset(&mut self) {
        self.restart();
        self.ceiling = Ceiling::NOTHING_HEARD;
        self.noise.reset();
        self.gain.finish();
        self.ticks = Ticks::default();
        self.port.publish(self.reading());
    }

    fn input_format(&self) -> Format {
        self.out.format()
    }
}

impl std::fmt::Debug for OpusDecodeProcessor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OpusDecodeProcessor({})", self.out.format())
    }
}
