//! Opus encoder: frames to packets.

use super::libopus::{Encoder, check_rate};
use super::packet::Layout;
use super::settings::{MAX_PACKET_MS, OpusEncode, OpusEncodeReading};
use crate::control::{ControlPort, Live, LiveStage};
use crate::core::format::rescale;
use crate::core::{Format, Frame, Packet, Processor, Result, Stage};
use crate::dsp::kernels;

/// Packets of voice in a row without redundancy after which it counts as ineffective.
const MAX_MISSES: u32 = 10;

/// Maximum length of an Opus frame with its TOC, in bytes.
const FRAME_BYTES: usize = 1276;

/// Maximum number of Opus frames that share a packet: 2.5 ms in frames of 20 ms.
const MAX_SHORT_FRAMES: usize = 8;

/// Monitor of one kind of redundancy: whether packets of voice carry it.
#[derive(Clone, Copy, Debug)]
struct RedundancyMonitor {
    /// Packets of voice in a row without it.
    missed: u32,
}

impl RedundancyMonitor {
    const START: Self = Self { missed: MAX_MISSES };

    /// Takes in the next packet; returns whether the redundancy is effective.
    fn update(&mut self, present: bool, voice: bool) -> bool {
        if present {
            self.missed = 0;
        } else if voice {
            self.missed = (self.missed + 1).min(MAX_MISSES);
        }
        self.missed < MAX_MISSES
    }
}

impl Stage for OpusEncode {
    type Processor = OpusEncodeProcessor;

    fn prepare(self, input: Format) -> Result<OpusEncodeProcessor> {
        self.prepare_with(input, ControlPort::unconnected())
    }
}

impl Live for OpusEncode {
    type Reading = OpusEncodeReading;

    fn validate(&self) -> Result<()> {
        self.check()
    }

    fn validate_change(&self, _: &Self, format: Format) -> Result<()> {
        check_packet_ms(self, format)
    }
}

impl LiveStage for OpusEncode {
    fn prepare_with(self, input: Format, port: ControlPort<Self>) -> Result<OpusEncodeProcessor> {
        OpusEncodeProcessor::new(self, input, port)
    }
}

/// Whether Opus frames shorter than the frames of `format` share a packet.
fn has_short_frames(settings: &OpusEncode, format: Format) -> bool {
    settings.packet_ms < format.frame_ms() as f32
}

/// Checks that packets of this length can be made of frames of `format`: Opus frames that share a packet must have one
/// mode, which only those below 10 ms always have (RFC 6716, section 3.2).
fn check_packet_ms(settings: &OpusEncode, format: Format) -> Result<()> {
    if settings.packet_ms < 10.0 || !has_short_frames(settings, format) {
        Ok(())
    } else {
        Err(settings.bad_packet_ms(format.frame_ms() as f32))
    }
}

/// Applies everything but the application.
fn apply(codec: &mut Encoder, settings: &OpusEncode, format: Format) -> Result<()> {
    // Opus frames that share a packet must have one bandwidth and one channel count.
    codec.apply(settings, has_short_frames(settings, format).then_some(format))
}

/// Processor of [`OpusEncode`].
pub struct OpusEncodeProcessor {
    format: Format,
    port: ControlPort<OpusEncode>,
    settings: OpusEncode,
    codec: Encoder,
    repacketizer: opus::Repacketizer,
    lookahead: usize,
    /// Interleaved sound that waits for the packet to be full.
    gathered: Box<[f32]>,
    filled: usize,
    /// Position of the first of it.
    start: i64,
    /// Whether any of it holds speech; `None` while no frame says so.
    speech: Option<bool>,
    /// Opus frames that share a packet.
    short: Box<[[u8; FRAME_BYTES]]>,
    packet: Packet,
    fec: RedundancyMonitor,
    dred: RedundancyMonitor,
    reading: OpusEncodeReading,
}

impl OpusEncodeProcessor {
    fn new(settings: OpusEncode, input: Format, port: ControlPort<OpusEncode>) -> Result<Self> {
        settings.check()?;
        check_packet_ms(&settings, input)?;
        check_rate("OpusEncode", input)?;
        let mut codec = Encoder::new(input, settings.application)?;
        apply(&mut codec, &settings, input)?;
        let max = input.samples_in_ms(MAX_PACKET_MS) * input.channels();
        Ok(Self {
            format: input,
            port,
            settings,
            lookahead: codec.lookahead()?,
            codec,
            repacketizer: opus::Repacketizer::new()?,
            gathered: vec![0.0; max].into_boxed_slice(),
            filled: 0,
            start: 0,
            speech: None,
            short: vec![[0; FRAME_BYTES]; MAX_SHORT_FRAMES].into_boxed_slice(),
            packet: Packet::new(),
            fec: RedundancyMonitor::START,
            dred: RedundancyMonitor::START,
            reading: OpusEncodeReading::default(),
        })
    }

    /// Applies changed settings.
    fn change(&mut self, new: OpusEncode) -> Result<()> {
        if new.application != self.settings.application {
            self.codec.reset()?;
            self.codec.set_application(new.application)?;
            self.lookahead = self.codec.lookahead()?;
        }
        apply(&mut self.codec, &new, self.format)?;
        self.settings = new;
        Ok(())
    }

    /// Encodes the gathered sound; returns the number of bytes.
    fn encode(&mut self) -> Result<usize> {
        let gathered = &self.gathered[..self.filled];
        if !has_short_frames(&self.settings, self.format) {
            return self.codec.encode(gathered, self.packet.buffer_mut());
        }
        let samples = self.format.samples_in_ms(self.settings.packet_ms) * self.format.channels();
        let mut lengths = [0; MAX_SHORT_FRAMES];
        for ((part, bytes), length) in gathered.chunks_exact(samples).zip(&mut self.short).zip(&mut lengths) {
            *length = self.codec.encode(part, bytes)?;
        }
        let mut together = self.repacketizer.begin();
        for (bytes, &length) in self.short.iter().zip(&lengths).filter(|(_, length)| **length > 0) {
            together.cat(&bytes[..length])?;
        }
        Ok(together.out(self.packet.buffer_mut())?)
    }

    /// Takes the redundancy in a packet into the reading.
    fn inspect(&mut self, bytes: usize) {
        let Some(layout) = Layout::of(&self.packet.as_bytes()[..bytes]) else {
            return;
        };
        let (fec, dred) = (layout.has_fec(), layout.dred().is_some());
        let voice = layout.is_voice();
        self.reading.fec_packets += u64::from(fec);
        self.reading.dred_packets += u64::from(dred);
        self.reading.fec_effective = self.settings.fec && self.fec.update(fec, voice);
        self.reading.dred_effective = self.settings.dred_ms > 0 && self.dred.update(dred, voice);
    }
}

impl Processor for OpusEncodeProcessor {
    type Input = Frame;
    type Output = Packet;

    fn process<'a>(&'a mut self, frame: &'a mut Frame) -> Result<Option<&'a mut Packet>> {
        frame.check_and_sanitize(self.format)?;
        if self.filled == 0 {
            if let Some(settings) = self.port.changed() {
                self.change(settings)?;
            }
            self.start = frame.position();
            self.speech = None;
        }
        let length = frame.samples().len();
        frame.copy_to_interleaved(&mut self.gathered[self.filled..self.filled + length])?;
        self.filled += length;
        if let Some(probability) = frame.near_end_speech() {
            self.speech = Some(self.speech.unwrap_or(false) || probability >= 0.5);
        }

        let samples = self.filled / self.format.channels();
        if self.format.ms(samples) < f64::from(self.settings.packet_ms) {
            return Ok(None);
        }
        let power = kernels::energy(&self.gathered[..self.filled]) / self.filled as f32;
        let encoded = self.encode();
        self.filled = 0;
        let bytes = encoded?;
        let rate_hz = self.format.sample_rate_hz();
        let ticks = |samples: i64| rescale(samples, rate_hz, Packet::CLOCK_HZ);
        let dtx = bytes <= 2;
        self.packet.fill(
            bytes,
            ticks(self.start) - ticks(self.lookahead as i64),
            ticks(samples as i64) as u32,
            self.speech.unwrap_or(!dtx),
            power,
        );
        if !dtx {
            self.inspect(bytes);
        }
        self.reading.packets += 1;
        self.reading.bytes += bytes as u64;
        self.reading.dtx_packets += u64::from(dtx);
        self.port.publish(self.reading);
        Ok(Some(&mut self.packet))
    }

    fn reset(&mut self) {
        let done = self.codec.reset();
        debug_assert!(done.is_ok(), "libopus always resets");
        self.filled = 0;
        (self.fec, self.dred) = (RedundancyMonitor::START, RedundancyMonitor::START);
        self.reading = OpusEncodeReading::default();
        self.port.publish(self.reading);
    }

    fn input_format(&self) -> Format {
        self.format
    }

    fn latency(&self) -> usize {
        self.lookahead
    }

    fn latency_ms(&self) -> f64 {
        let packet_ms = f64::from(self.settings.packet_ms).max(f64::from(self.format.frame_ms()));
        packet_ms + self.format.ms(self.lookahead)
    }
}

impl std::fmt::Debug for OpusEncodeProcessor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OpusEncodeProcessor({}, {:?})", self.format, self.settings)
    }
}
