//! Frames to Opus packets.

use super::libopus::{Encoder, NEURAL};
use super::packet::Layout;
use super::settings::{Application, Bandwidth, RateControl, Signal, check_rate};
use crate::control::{ControlPort, record};
use crate::control::{Handle, Live};
use crate::core::in_range;
use crate::core::rescale;
use crate::core::{Error, Format, Frame, Packet, Processor, Result, Stage};

/// The Opus packet lengths that can be chosen, in ms.
const PACKET_MS: [f32; 9] = [2.5, 5.0, 10.0, 20.0, 40.0, 60.0, 80.0, 100.0, 120.0];
const LONGEST_MS: f32 = PACKET_MS[PACKET_MS.len() - 1];

/// The most redundancy that libopus codes: 104 steps of 10 ms.
const MOST_DRED_MS: u32 = 1040;

/// So many packets of voice in a row without what was asked for mean that it does not come.
const MISSES: u32 = 10;

/// The most bytes of one Opus frame, with its header.
const FRAME_BYTES: usize = 1276;

/// Opus frames of 2.5 ms in a frame of 20 ms.
const MOST_SHORT: usize = 8;

/// Encodes frames into Opus packets (RFC 6716, by libopus).
///
/// Frames are gathered until they fill a packet. A packet never leaves before its frame is complete, so Opus frames
/// shorter than the frame (2.5 and 5 ms) travel together, as many to a packet as one frame holds.
///
/// Every setting can be changed while it runs, between two packets. A change of [`application`](Self::application)
/// starts the codec afresh, as libopus demands, which can be heard as a short dip; a change to or from
/// [`Application::LowDelay`] or of [`packet_ms`](Self::packet_ms) changes the latency.
///
/// Runs at 8, 12, 16, 24 or 48 kHz. Latency: the lookahead, 6.5 ms ([`Application::LowDelay`]: 2.5 ms); from
/// microphone to packet, it is that and `packet_ms`.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct OpusEncode {
    /// What it is tuned for.
    pub application: Application,
    /// The length of a packet in ms: 2.5, 5, 10, 20, 40, 60, 80, 100 or 120. Default 20 (RFC 7587, section 3.3).
    pub packet_ms: f32,
    /// Bits a second, 6 000 to 510 000 (RFC 6716, section 2.1.1). Default 32 000 (WebRTC).
    pub bitrate_bps: u32,
    /// How the bit rate is kept.
    pub rate_control: RateControl,
    /// How much CPU is spent on quality, 0 to 10. Default 9 (WebRTC on desktops).
    pub complexity: u8,
    /// A hint at what will be encoded.
    pub signal: Signal,
    /// The widest audio band sent; the encoder narrows it by itself when the bit rate is low.
    pub max_bandwidth: Bandwidth,
    /// In-band forward error correction: each packet carries a coarse copy of the voice before it. Default off.
    ///
    /// Needs a `loss_percent` above 0 and packets of 10 ms or more, and there is none in [`Application::LowDelay`];
    /// what cannot work is refused. libopus further leaves it out, silently, where it takes the sound for music, and
    /// below a bit rate that falls with `loss_percent`: from about 28 kb/s for full band to 13 kb/s for narrow band
    /// (above 5 % it narrows the band to get there). [`OpusEncodeReading::fec_effective`] tells.
    pub fec: bool,
    /// Deep redundancy (DRED), 0 to 1040 ms in steps of 10: each packet carries a very coarse copy of so much of what
    /// was before it, from which a neural vocoder makes the voice again, over many lost packets in a row. Default 0.
    /// Feature `deep-plc`.
    ///
    /// It is paid for out of [`bitrate_bps`](Self::bitrate_bps): libopus gives it a share of what is above 12 kb/s
    /// (above 20 kb/s beside `fec`) that grows with `loss_percent`, and reaches back only as far as that lasts;
    /// [`OpusEncodeReading::dred_effective`] tells if it is there at all. Receivers rebuild it where the codec runs wide
    /// band or more.
    pub dred_ms: u32,
    /// The share of packets expected to be lost, in percent, 0 to 100. Default 0.
    pub loss_percent: u8,
    /// Discontinuous transmission: packets of silence become [`Packet::is_dtx`]. Default off (RFC 7587, section 3.1.3
    /// prefers continuous transmission).
    pub dtx: bool,
}

impl OpusEncode {
    /// For speech. The default.
    pub fn voip() -> Self {
        Self::default()
    }

    /// Whether Opus frames shorter than the frames of `format` share a packet.
    fn is_short(&self, format: Format) -> bool {
        self.packet_ms < format.frame_ms() as f32
    }

    /// Fails unless packets of this length can be made of frames of `format`: Opus frames that share a packet must
    /// be of one mode, which only those below 10 ms always are (RFC 6716, section 3.2).
    fn check_packet_ms(&self, format: Format) -> Result<()> {
        if self.packet_ms < 10.0 || !self.is_short(format) { Ok(()) } else { Err(self.bad_packet_ms()) }
    }

    fn bad_packet_ms(&self) -> Error {
        let (min, max) = (PACKET_MS[0], LONGEST_MS);
        Error::OutOfRange { setting: "OpusEncode::packet_ms", value: self.packet_ms, min, max }
    }

    /// Fails where what is asked for against losses cannot work.
    fn check_redundancy(&self) -> Result<()> {
        let refused = |setting, advice| Err(Error::NoEffect { setting, advice });
        let (fec, dred) = ("OpusEncode::fec", "OpusEncode::dred_ms");
        if self.dred_ms > 0 && !NEURAL {
            return Err(Error::Unavailable { setting: dred, feature: "deep-plc" });
        }
        if self.fec && self.application == Application::LowDelay {
            return refused(fec, "Application::LowDelay has no forward error correction, Voip and Audio have");
        }
        if self.fec && self.packet_ms < 10.0 {
            return refused(fec, "there is none in packets below 10 ms: choose a longer OpusEncode::packet_ms");
        }
        if (self.fec || self.dred_ms > 0) && self.loss_percent == 0 {
            let setting = if self.fec { fec } else { dred };
            return refused(
                setting,
                "libopus spends nothing on losses it does not expect: set OpusEncode::loss_percent",
            );
        }
        Ok(())
    }
}

impl Default for OpusEncode {
    fn default() -> Self {
        Self {
            application: Application::Voip,
            packet_ms: 20.0,
            bitrate_bps: 32_000,
            rate_control: RateControl::Vbr,
            complexity: 9,
            signal: Signal::Auto,
            max_bandwidth: Bandwidth::Full,
            fec: false,
            dred_ms: 0,
            loss_percent: 0,
            dtx: false,
        }
    }
}

record!(OpusEncode {
    application,
    packet_ms,
    bitrate_bps,
    rate_control,
    complexity,
    signal,
    max_bandwidth,
    fec,
    dred_ms,
    loss_percent,
    dtx,
});

/// What a running [`OpusEncode`] tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpusEncodeReading {
    /// Packets made since the start or the last reset.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How many of them need not be sent.
    pub dtx_packets: u64,
    /// How many of them carry forward error correction.
    pub fec_packets: u64,
    /// How many of them carry deep redundancy.
    pub dred_packets: u64,
    /// Whether forward error correction is on and does something: seen in the packets of voice lately. There is none
    /// for silence.
    pub fec_effective: bool,
    /// The same of deep redundancy.
    pub dred_effective: bool,
}

record!(OpusEncodeReading { packets, bytes, dtx_packets, fec_packets, dred_packets, fec_effective, dred_effective });

/// Watches whether a kind of redundancy is there when it is due.
#[derive(Clone, Copy, Debug)]
struct Watch {
    missed: u32,
}

impl Watch {
    const NOTHING_SEEN: Self = Self { missed: MISSES };

    /// Takes note of a packet; whether there has been some lately.
    fn see(&mut self, found: bool, due: bool) -> bool {
        if found {
            self.missed = 0;
        } else if due {
            self.missed = (self.missed + 1).min(MISSES);
        }
        self.missed < MISSES
    }
}

impl Stage for OpusEncode {
    type Processor = OpusEncodeProcessor;

    fn prepare(self, input: Format) -> Result<OpusEncodeProcessor> {
        self.live().0.prepare(input)
    }
}

impl Live for OpusEncode {
    type Reading = OpusEncodeReading;

    fn validate(&self) -> Result<()> {
        if !PACKET_MS.contains(&self.packet_ms) {
            return Err(self.bad_packet_ms());
        }
        in_range("OpusEncode::bitrate_bps", self.bitrate_bps as f32, 6_000.0, 510_000.0)?;
        in_range("OpusEncode::complexity", f32::from(self.complexity), 0.0, 10.0)?;
        in_range("OpusEncode::loss_percent", f32::from(self.loss_percent), 0.0, 100.0)?;
        in_range("OpusEncode::dred_ms", self.dred_ms as f32, 0.0, MOST_DRED_MS as f32)?;
        self.check_redundancy()
    }

    fn prepare_with(self, input: Format, handle: Handle<Self>) -> Result<OpusEncodeProcessor> {
        self.validate()?;
        self.check_packet_ms(input)?;
        check_rate("OpusEncode", input)?;
        let mut codec = Encoder::new(input, self.application)?;
        apply(&mut codec, &self, input)?;
        let most = input.samples_in_ms(LONGEST_MS) * input.channels();
        Ok(OpusEncodeProcessor {
            format: input,
            tap: ControlPort::new(handle),
            settings: self,
            lookahead: codec.lookahead()?,
            codec,
            repacketizer: opus::Repacketizer::new()?,
            gathered: vec![0.0; most].into_boxed_slice(),
            filled: 0,
            start: 0,
            speech: None,
            short: vec![[0; FRAME_BYTES]; MOST_SHORT].into_boxed_slice(),
            packet: Packet::new(),
            fec: Watch::NOTHING_SEEN,
            dred: Watch::NOTHING_SEEN,
            reading: OpusEncodeReading::default(),
        })
    }
}

/// Sets everything but the application.
fn apply(codec: &mut Encoder, settings: &OpusEncode, format: Format) -> Result<()> {
    // Opus frames that share a packet must not differ in bandwidth or channels.
    codec.apply(settings, settings.is_short(format).then_some(format))
}

/// A running [`OpusEncode`].
pub struct OpusEncodeProcessor {
    format: Format,
    tap: ControlPort<OpusEncode>,
    settings: OpusEncode,
    codec: Encoder,
    repacketizer: opus::Repacketizer,
    lookahead: usize,
    /// Interleaved frames, waiting for the packet to be full.
    gathered: Box<[f32]>,
    filled: usize,
    /// The position of the first of them.
    start: i64,
    /// Whether any of them holds speech, as far as is known.
    speech: Option<bool>,
    /// Opus frames that will share a packet.
    short: Box<[[u8; FRAME_BYTES]]>,
    packet: Packet,
    fec: Watch,
    dred: Watch,
    reading: OpusEncodeReading,
}

impl OpusEncodeProcessor {
    /// Takes on new settings; keeps the old ones where the codec or the format does not allow them.
    fn change(&mut self, new: OpusEncode) -> Result<()> {
        new.check_packet_ms(self.format)?;
        if new.application != self.settings.application {
            self.codec.reset()?;
            self.codec.set_application(new.application)?;
            self.lookahead = self.codec.lookahead()?;
        }
        apply(&mut self.codec, &new, self.format)?;
        self.settings = new;
        Ok(())
    }

    /// Encodes what was gathered; the number of bytes.
    fn encode(&mut self) -> Result<usize> {
        let gathered = &self.gathered[..self.filled];
        if !self.settings.is_short(self.format) {
            return self.codec.encode(gathered, self.packet.buffer_mut());
        }
        let samples = self.format.samples_in_ms(self.settings.packet_ms) * self.format.channels();
        let mut lengths = [0; MOST_SHORT];
        for ((part, bytes), length) in gathered.chunks_exact(samples).zip(&mut self.short).zip(&mut lengths) {
            *length = self.codec.encode(part, bytes)?;
        }
        let mut together = self.repacketizer.begin();
        for (bytes, &length) in self.short.iter().zip(&lengths).filter(|(_, length)| **length > 0) {
            together.cat(&bytes[..length])?;
        }
        Ok(together.out(self.packet.buffer_mut())?)
    }

    /// Takes note of a packet that is to be sent.
    fn inspect(&mut self, bytes: usize) {
        let Some(layout) = Layout::of(&self.packet.as_bytes()[..bytes]) else {
            return;
        };
        let (fec, dred) = (layout.has_fec(), layout.dred().is_some());
        let due = layout.is_voice();
        self.reading.fec_packets += u64::from(fec);
        self.reading.dred_packets += u64::from(dred);
        self.reading.fec_effective = self.settings.fec && self.fec.see(fec, due);
        self.reading.dred_effective = self.settings.dred_ms > 0 && self.dred.see(dred, due);
    }
}

impl Processor for OpusEncodeProcessor {
    type Input = Frame;
    type Output = Packet;

    fn process<'a>(&'a mut self, frame: &'a mut Frame) -> Result<Option<&'a mut Packet>> {
        frame.check_and_sanitize(self.format)?;
        if self.filled == 0 {
            if let Some(settings) = self.tap.changed() {
                self.change(settings)?;
            }
            self.start = frame.position();
            self.speech = None;
        }
        let length = frame.samples().len();
        frame.copy_to_interleaved(&mut self.gathered[self.filled..self.filled + length])?;
        self.filled += length;
        if let Some(probability) = frame.speech_probability() {
            self.speech = Some(self.speech.unwrap_or(false) || probability >= 0.5);
        }

        let samples = self.filled / self.format.channels();
        if self.format.ms(samples) < f64::from(self.settings.packet_ms) {
            return Ok(None);
        }
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
        );
        if !dtx {
            self.inspect(bytes);
        }
        self.reading.packets += 1;
        self.reading.bytes += bytes as u64;
        self.reading.dtx_packets += u64::from(dtx);
        self.tap.publish(self.reading);
        Ok(Some(&mut self.packet))
    }

    fn reset(&mut self) {
        let done = self.codec.reset();
        debug_assert!(done.is_ok(), "libopus always resets");
        self.filled = 0;
        (self.fec, self.dred) = (Watch::NOTHING_SEEN, Watch::NOTHING_SEEN);
        self.reading = OpusEncodeReading::default();
        self.tap.publish(self.reading);
    }

    fn input_format(&self) -> Format {
        self.format
    }

    fn latency(&self) -> usize {
        self.lookahead
    }
}

impl std::fmt::Debug for OpusEncodeProcessor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OpusEncodeProcessor({}, {:?})", self.format, self.settings)
    }
}
