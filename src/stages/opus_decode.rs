//! Opus packets to frames.

use super::opus_codec::{channels, check_rate};
use crate::error::in_range;
use crate::format::rescale;
use crate::{Error, Format, Frame, Packet, Processor, Result, Stage};

/// The most sound in one packet (RFC 6716, section 3.2): 120 ms, in ticks.
const LONGEST_PACKET_TICKS: u32 = 5760;

/// The grid of all Opus lengths: 2.5 ms, in ticks.
const GRID_TICKS: u32 = 120;

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
/// Packets shorter than a frame are gathered until they fill one. A packet made by [`Packet::set_lost`] is rebuilt
/// from the forward error correction in its successor, if that was given, or else concealed: the voice goes on and
/// fades.
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
}

impl Stage for OpusDecode {
    type Processor = OpusDecoder;

    fn prepare(self, output: Format) -> Result<OpusDecoder> {
        in_range("OpusDecode::gain_db", self.gain_db, -128.0, 128.0)?;
        check_rate("OpusDecode", output)?;
        let mut codec = opus::Decoder::new(output.sample_rate_hz(), channels(output))?;
        codec.set_gain((self.gain_db * 256.0).round().clamp(-32_768.0, 32_767.0) as i32)?;
        // The longest packet, and what is left of the one before.
        let most = output.samples_in_ms(120.0) + output.samples_per_channel();
        Ok(OpusDecoder {
            codec,
            decoded: vec![0.0; most * output.channels()].into_boxed_slice(),
            filled: 0,
            position: 0,
            out: Frame::new(output),
        })
    }
}

/// A running [`OpusDecode`].
pub struct OpusDecoder {
    codec: opus::Decoder,
    /// Interleaved sound that is not yet handed out.
    decoded: Box<[f32]>,
    filled: usize,
    /// The position of the first of it.
    position: i64,
    out: Frame,
}

impl OpusDecoder {
    /// Decodes or conceals a packet behind what is there already.
    fn decode(&mut self, packet: &Packet) -> Result<()> {
        let format = self.out.format();
        let bytes = packet.as_bytes();
        let samples = if packet.is_lost() {
            let ticks = (packet.duration() / GRID_TICKS * GRID_TICKS).clamp(GRID_TICKS, LONGEST_PACKET_TICKS);
            rescale(ticks.into(), Packet::CLOCK_HZ, format.sample_rate_hz()) as usize
        } else {
            self.codec.get_nb_samples(bytes)?
        };
        let end = self.filled + samples * format.channels();
        let room = self.decoded.get_mut(self.filled..end).ok_or(Error::Full)?;
        let done = match (packet.is_lost(), bytes.is_empty()) {
            (false, _) => self.codec.decode_float(bytes, room, false),
            (true, true) => self.codec.decode_float(&[], room, false),
            // A successor that is no packet helps nobody: conceal without it.
            (true, false) => match self.codec.decode_float(bytes, room, true) {
                Err(_) => self.codec.decode_float(&[], room, false),
                rebuilt => rebuilt,
            },
        };
        let decoded = done?;
        if self.filled == 0 {
            self.position = rescale(packet.position(), Packet::CLOCK_HZ, format.sample_rate_hz());
        }
        self.filled += decoded * format.channels();
        Ok(())
    }
}

impl Processor for OpusDecoder {
    type Input = Packet;
    type Output = Frame;

    fn process<'a>(&'a mut self, packet: &'a mut Packet) -> Result<Option<&'a mut Frame>> {
        let format = self.out.format();
        if packet.is_lost() || !packet.as_bytes().is_empty() {
            let decoded = self.decode(packet);
            // Whatever happened, this packet will not be decoded again; only a full buffer may be tried anew.
            if decoded != Err(Error::Full) {
                packet.consume(0);
            }
            decoded?;
        }
        let wanted = self.out.samples().len();
        if self.filled < wanted {
            packet.consume(0);
            return Ok(None);
        }
        self.out.copy_from_interleaved(&self.decoded[..wanted])?;
        self.out.set_position(self.position);
        self.position += format.samples_per_channel() as i64;
        self.decoded.copy_within(wanted..self.filled, 0);
        self.filled -= wanted;
        let whole_frames = self.filled / wanted * format.frame_ms() as usize;
        packet.consume(whole_frames as u32 * Packet::CLOCK_HZ / 1000);
        Ok(Some(&mut self.out))
    }

    fn reset(&mut self) {
        let done = self.codec.reset_state();
        debug_assert!(done.is_ok(), "libopus always resets");
        self.filled = 0;
    }

    fn input_format(&self) -> Format {
        self.out.format()
    }
}

impl std::fmt::Debug for OpusDecoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OpusDecoder({})", self.out.format())
    }
}
