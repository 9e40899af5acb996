//! Opus decoder: packets and gaps to frames.

use super::comfort_noise::ComfortNoise;
use super::concealment::{ConcealmentLimiter, clip};
use super::libopus::{Decoder, check_rate};
use super::packet::{Dred, GRID_TICKS, Layout};
use super::recovery::{Recovery, next_recovery};
use super::settings::{MAX_PACKET_MS, OpusDecode, OpusDecodeReading};
use crate::control::{ControlPort, Live, LiveStage};
use crate::core::error::CodecError;
use crate::core::format::rescale;
use crate::core::{Error, Format, Frame, Packet, Processor, Result, Stage};
use crate::dsp::ramp::{GainCurve, Ramp};
use crate::dsp::{kernels, level};

/// Length of concealment before it fades to comfort noise: 120 ms. No voice can be guessed for longer.
const MAX_CONCEALED_TICKS: u32 = 5760;

/// Fade times to comfort noise in ms: from concealment, and where the sender is silent anyway.
const FADE_MS: f32 = 60.0;
const SILENCE_FADE_MS: f32 = 20.0;

/// Fade time of a change of the gain, in ms.
const RAMP_MS: f32 = 20.0;

impl Stage for OpusDecode {
    type Processor = OpusDecodeProcessor;

    fn prepare(self, output: Format) -> Result<OpusDecodeProcessor> {
        self.prepare_with(output, ControlPort::unconnected())
    }
}

impl Live for OpusDecode {
    type Reading = OpusDecodeReading;

    fn validate(&self) -> Result<()> {
        self.check()
    }
}

impl LiveStage for OpusDecode {
    fn prepare_with(self, output: Format, port: ControlPort<Self>) -> Result<OpusDecodeProcessor> {
        self.check()?;
        check_rate("OpusDecode", output)?;
        let mut codec = Decoder::new(output)?;
        codec.set_complexity(self.complexity)?;
        // The longest packet, and what is left of the one before.
        let longest = output.samples_in_ms(MAX_PACKET_MS);
        let max = longest + output.samples_per_channel();
        Ok(OpusDecodeProcessor {
            codec,
            port,
            gain: Ramp::new(level::db_to_gain(self.gain_db), output.samples_in_ms(RAMP_MS)),
            decoded: vec![0.0; max * output.channels()].into_boxed_slice(),
            filled: 0,
            position: 0,
            limiter: ConcealmentLimiter::START,
            noise: ComfortNoise::new(output, longest),
            concealed: 0,
            shifted: vec![0; Packet::MAX_BYTES + Dred::MAX_OVERHEAD_BYTES].into_boxed_slice(),
            totals: Totals::default(),
            out: Frame::new(output),
        })
    }
}

/// Sound made so far by source, in ticks, and packets refused.
#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    decoded: u64,
    fec: u64,
    dred: u64,
    concealed: u64,
    comfort: u64,
    refused: u64,
}

/// Processor of [`OpusDecode`].
pub struct OpusDecodeProcessor {
    codec: Decoder,
    port: ControlPort<OpusDecode>,
    gain: Ramp,
    /// Interleaved sound that was not handed out yet.
    decoded: Box<[f32]>,
    filled: usize,
    /// Position of the first of it, in samples.
    position: i64,
    limiter: ConcealmentLimiter,
    noise: ComfortNoise,
    /// Length of the concealment so far, in ticks.
    concealed: u32,
    /// Packet with DRED, shifted to where it is needed.
    shifted: Box<[u8]>,
    totals: Totals,
    out: Frame,
}

impl OpusDecodeProcessor {
    /// Room for `ticks` of sound behind `filled` samples, and its end.
    fn room(decoded: &mut [f32], filled: usize, format: Format, ticks: u32) -> Result<(usize, &mut [f32])> {
        let samples = rescale(ticks.into(), Packet::CLOCK_HZ, format.sample_rate_hz()) as usize;
        let end = filled + samples * format.channels();
        Ok((end, decoded.get_mut(filled..end).ok_or(Error::Full)?))
    }

    /// Decodes a received packet.
    fn decode(&mut self, packet: &Packet) -> Result<()> {
        let format = self.out.format();
        let bytes = packet.as_bytes();
        let ticks = Layout::of(bytes).ok_or(Error::Codec(CodecError::InvalidPacket))?.ticks();
        let (end, room) = Self::room(&mut self.decoded, self.filled, format, ticks)?;
        self.codec.decode(bytes, room)?;
        clip(room);
        self.totals.decoded += u64::from(ticks);
        self.concealed = 0;
        self.limiter.release(room, format);
        self.noise.analyse(room);
        self.noise.fade_out(room);
        self.append(end, packet.position());
        Ok(())
    }

    /// Fills the next piece of a gap, and takes it off the gap.
    fn fill(&mut self, gap: &mut Packet) -> Result<()> {
        let format = self.out.format();
        let (ticks, recovery) = next_recovery(gap);
        if gap.is_dtx() {
            self.noise.sender_is_silent();
        }
        let (end, room) = Self::room(&mut self.decoded, self.filled, format, ticks)?;
        let bytes = gap.as_bytes();
        let rebuilt = match recovery {
            Recovery::Fec => self.codec.decode_fec(bytes, room).map(|()| &mut self.totals.fec),
            Recovery::Dred(steps) => Layout::of(bytes)
                .and_then(|later| later.dred()?.shifted(steps, &mut self.shifted))
                .ok_or(Error::Codec(CodecError::InvalidPacket))
                .and_then(|length| self.codec.decode_dred(&self.shifted[..length], room))
                .map(|()| &mut self.totals.dred),
            Recovery::Conceal => Err(Error::Codec(CodecError::InvalidPacket)),
        };
        // Redundancy that fails is as good as none.
        let total = match rebuilt {
            Ok(total) => {
                clip(room);
                self.concealed = 0;
                self.limiter.release(room, format);
                self.noise.fade_out(room);
                total
            }
            // Behind comfort noise the codec rests. The sender's memory has not faded either, so both still agree.
            Err(_) if self.noise.is_alone() => {
                room.fill(0.0);
                self.noise.fade_in(room, FADE_MS);
                &mut self.totals.comfort
            }
            Err(_) => {
                self.codec.conceal(room)?;
                clip(room);
                self.limiter.limit(room, format);
                let faded = self.concealed >= MAX_CONCEALED_TICKS;
                self.concealed = self.concealed.saturating_add(ticks);
                match gap.is_dtx() {
                    true => self.noise.fade_in(room, SILENCE_FADE_MS),
                    false if faded => self.noise.fade_in(room, FADE_MS),
                    false => self.noise.fade_out(room),
                }
                if gap.is_lost() { &mut self.totals.concealed } else { &mut self.totals.comfort }
            }
        };
        *total += u64::from(ticks);
        self.append(end, gap.position());
        gap.shorten(ticks);
        Ok(())
    }

    /// Appends the sound up to `end`, which begins at `position` in ticks.
    fn append(&mut self, end: usize, position: i64) {
        if self.filled == 0 {
            self.position = rescale(position, Packet::CLOCK_HZ, self.out.format().sample_rate_hz());
        }
        self.filled = end;
    }

    /// Takes on settings that [`Live::validate`] accepts.
    pub(crate) fn apply(&mut self, settings: OpusDecode) -> Result<()> {
        self.codec.set_complexity(settings.complexity)?;
        self.gain.set(level::db_to_gain(settings.gain_db), self.out.format().samples_in_ms(RAMP_MS));
        Ok(())
    }

    /// Reading so far.
    pub(crate) fn reading(&self) -> OpusDecodeReading {
        let ms = |ticks: u64| ticks * 1000 / u64::from(Packet::CLOCK_HZ);
        let Totals { decoded, fec, dred, concealed, comfort, refused } = self.totals;
        OpusDecodeReading {
            decoded_ms: ms(decoded),
            fec_ms: ms(fec),
            dred_ms: ms(dred),
            concealed_ms: ms(concealed),
            comfort_ms: ms(comfort),
            refused,
        }
    }

    /// Whether the last 10 ms received were no louder than the background.
    pub(crate) fn heard_background(&self) -> bool {
        self.noise.ends_in_background()
    }

    /// Whether sound of this mean square, before the gain, is no louder than the background of a channel.
    pub(crate) fn is_background(&self, channel: usize, power: f32) -> bool {
        self.noise.is_background(channel, power)
    }

    /// Begins another stream behind the last: the codec is reset, comfort noise goes on until sound comes.
    pub(crate) fn restart(&mut self) {
        let done = self.codec.reset();
        debug_assert!(done.is_ok(), "libopus always resets");
        self.filled = 0;
        self.concealed = 0;
    }
}

impl Processor for OpusDecodeProcessor {
    type Input = Packet;
    type Output = Frame;

    fn process<'a>(&'a mut self, packet: &'a mut Packet) -> Result<Option<&'a mut Frame>> {
        let format = self.out.format();
        let wanted = self.out.samples().len();
        if let Some(settings) = self.port.changed() {
            self.apply(settings)?;
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
            // A packet is decoded once, even in vain; only a full buffer may be tried again.
            if decoded != Err(Error::Full) {
                packet.consume(0);
                self.totals.refused += u64::from(decoded.is_err());
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
            GainCurve::Moving(gains) => self.out.channels_mut().for_each(|channel| gains.multiply(channel)),
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
        self.limiter = ConcealmentLimiter::START;
        self.noise.reset();
        self.gain.finish();
        self.totals = Totals::default();
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
