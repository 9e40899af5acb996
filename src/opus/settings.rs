//! Settings and readings of encoder and decoder. They need no codec.

use crate::core::error::in_range;
use crate::core::{Error, Result};

/// Application of the encoder: what it is tuned for. Default [`Voip`](Self::Voip).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Application {
    /// Speech: intelligibility before fidelity, in-band FEC. Lookahead 6.5 ms.
    #[default]
    Voip,
    /// Any sound: fidelity first, in-band FEC. Lookahead 6.5 ms.
    Audio,
    /// Any sound with a lookahead of 2.5 ms: no in-band FEC, no narrow bands at low rates.
    LowDelay,
}

/// Rate control of the encoder. Default [`Vbr`](Self::Vbr).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum RateControl {
    /// Variable bit rate: each packet takes what it needs; the bit rate is an average.
    #[default]
    Vbr,
    /// Constrained variable bit rate: no more than one packet of buffering above the bit rate.
    Cvbr,
    /// Constant bit rate: all packets have the same length.
    Cbr,
}

/// Signal type, a hint to the encoder. Default [`Auto`](Self::Auto).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Signal {
    /// Detected by the encoder.
    #[default]
    Auto,
    /// Speech.
    Voice,
    /// Music.
    Music,
}

/// Audio bandwidth (RFC 6716, section 2). Default [`Full`](Self::Full).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Bandwidth {
    /// Narrowband: 4 kHz.
    Narrow,
    /// Medium-band: 6 kHz.
    Medium,
    /// Wideband: 8 kHz.
    Wide,
    /// Super-wideband: 12 kHz.
    SuperWide,
    /// Fullband: 20 kHz.
    #[default]
    Full,
}

/// Whether the neural parts of libopus were built.
pub(super) const NEURAL: bool = cfg!(feature = "deep-plc");

/// Packet lengths of Opus, in ms.
pub(super) const PACKET_MS: [f32; 9] = [2.5, 5.0, 10.0, 20.0, 40.0, 60.0, 80.0, 100.0, 120.0];
pub(super) const MAX_PACKET_MS: f32 = PACKET_MS[PACKET_MS.len() - 1];

/// Longest DRED that libopus codes: 104 steps of 10 ms.
const MAX_DRED_MS: u32 = 1040;

/// Opus encoder (RFC 6716, by libopus): frames to packets.
///
/// Frames are gathered until they fill a packet. Opus frames shorter than the frame (2.5 and 5 ms) share a packet as
/// long as the frame, because none could leave before the frame is complete.
///
/// Changes take effect with the next packet. A change of [`application`](Self::application) resets the codec, as libopus
/// demands, which can be heard as a short dip. A change to or from [`Application::LowDelay`], or of
/// [`packet_ms`](Self::packet_ms), changes the latency. A `packet_ms` of 10 in frames of 20 ms is refused: Opus frames
/// that share a packet must have one mode, which only those below 10 ms always have (RFC 6716, section 3.2).
///
/// Format: 8, 12, 16, 24 or 48 kHz, mono or stereo. Feature `opus`.
///
/// Latency: the lookahead, 6.5 ms ([`Application::LowDelay`]: 2.5 ms). From microphone to packet: the lookahead and the
/// packet length.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct OpusEncode {
    /// Application. Default [`Application::Voip`].
    pub application: Application,
    /// Packet length in ms: 2.5, 5, 10, 20, 40, 60, 80, 100 or 120. Default 20 (RFC 7587, section 3.3).
    pub packet_ms: f32,
    /// Bit rate in bit/s, 6 000 to 510 000 (RFC 6716, section 2.1.1). Default 32 000 (WebRTC).
    pub bitrate_bps: u32,
    /// Rate control. Default [`RateControl::Vbr`].
    pub rate_control: RateControl,
    /// Complexity of the encoder, 0 to 10: CPU spent on quality. Default 9 (WebRTC on desktops).
    pub complexity: u8,
    /// Signal type. Default [`Signal::Auto`].
    pub signal: Signal,
    /// Maximum audio bandwidth. Default [`Bandwidth::Full`]. The encoder narrows the band by itself when the bit rate is
    /// low.
    pub max_bandwidth: Bandwidth,
    /// In-band forward error correction (FEC): each packet carries a coarse copy of the voice before it. Default off.
    ///
    /// FEC rests while [`loss_percent`](Self::loss_percent) is 0, so that it can stay on while the loss follows what the far
    /// side reports. It rests, too, with [`Application::LowDelay`] and in packets below 10 ms.
    ///
    /// libopus leaves FEC out, too, where it takes the sound for music, and below a bit rate that falls with
    /// `loss_percent`: from about 28 kb/s in fullband to 13 kb/s in narrowband (above 5 % it narrows the band to get
    /// there). [`OpusEncodeReading::fec_effective`] tells whether there is any.
    pub fec: bool,
    /// Length of deep redundancy (DRED) in ms, 0 to 1040 in steps of 10. Default 0. Feature `deep-plc`.
    ///
    /// Each packet carries a very coarse copy of that much speech before it. From it a neural vocoder rebuilds many lost
    /// packets in a row, where the codec runs in wideband or more.
    ///
    /// DRED is paid for out of [`bitrate_bps`](Self::bitrate_bps). libopus gives it a share of what is above 12 kb/s
    /// (above 20 kb/s beside `fec`) that grows with `loss_percent`, and reaches back only as far as that lasts; at 0 % loss
    /// it gives nothing.
    /// [`OpusEncodeReading::dred_effective`] tells whether there is any.
    pub dred_ms: u32,
    /// Expected packet loss in percent, 0 to 100. Default 0.
    pub loss_percent: u8,
    /// Discontinuous transmission (DTX): packets of silence become [`Packet::is_dtx`](crate::Packet::is_dtx). Default
    /// off (RFC 7587, section 3.1.3 prefers continuous transmission).
    pub dtx: bool,
}

impl OpusEncode {
    /// Encoder for speech: the default.
    pub fn voip() -> Self {
        Self::default()
    }

    /// Checks the range of each setting, and that it was built.
    pub(super) fn check(&self) -> Result<()> {
        if !PACKET_MS.contains(&self.packet_ms) {
            return Err(self.bad_packet_ms(PACKET_MS[0]));
        }
        in_range("OpusEncode::bitrate_bps", self.bitrate_bps as f32, 6_000.0, 510_000.0)?;
        in_range("OpusEncode::complexity", f32::from(self.complexity), 0.0, 10.0)?;
        in_range("OpusEncode::loss_percent", f32::from(self.loss_percent), 0.0, 100.0)?;
        in_range("OpusEncode::dred_ms", self.dred_ms as f32, 0.0, MAX_DRED_MS as f32)?;
        if self.dred_ms > 0 && !NEURAL {
            return Err(Error::Unavailable { setting: "OpusEncode::dred_ms", feature: "deep-plc" });
        }
        Ok(())
    }

    /// Refusal of the packet length, where the shortest that would do is `min`.
    pub(super) fn bad_packet_ms(&self, min: f32) -> Error {
        Error::OutOfRange { setting: "OpusEncode::packet_ms", value: self.packet_ms, min, max: MAX_PACKET_MS }
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

/// Reading of an [`OpusEncode`]. Counts run from the start or the last reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct OpusEncodeReading {
    /// Number of packets made.
    pub packets: u64,
    /// Number of bytes in them.
    pub bytes: u64,
    /// Number of DTX packets: only the first of a pause need be sent.
    pub dtx_packets: u64,
    /// Number of packets that carry in-band FEC.
    pub fec_packets: u64,
    /// Number of packets that carry DRED.
    pub dred_packets: u64,
    /// FEC is on and was in at least one of the last ten packets of voice. (There is none for silence.)
    pub fec_effective: bool,
    /// DRED is on and was in at least one of the last ten packets of voice.
    pub dred_effective: bool,
}

/// Opus decoder (by libopus) with loss concealment: packets of any length to frames.
///
/// The format it is prepared with is that of the frames that come out: 8, 12, 16, 24 or 48 kHz, mono or stereo, whatever
/// the sender used. Feature `opus`.
///
/// A packet longer than a frame holds several; the decoder is called with it until it is empty. Packets shorter than a
/// frame are gathered until they fill one.
///
/// ```
/// # #[cfg(feature = "opus")] {
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
/// # }
/// # Ok::<(), voxframe::Error>(())
/// ```
///
/// # Losses and silences
/// A packet made by [`Packet::set_lost`](crate::Packet::set_lost) is a gap. It is filled by the best recovery there is,
/// 20 ms at a time:
/// 1. In-band FEC, if the packet right after the gap has arrived and carries it.
/// 2. DRED, if a packet up to 220 ms after the loss has arrived and carries it (feature `deep-plc`).
/// 3. Concealment: the voice goes on and fades. After 120 ms comfort noise like the background fades in, within 60 ms.
///    From a [`complexity`](Self::complexity) of 5 a neural vocoder speaks on.
///
/// A packet made by [`Packet::set_silence`](crate::Packet::set_silence), or one of DTX
/// ([`Packet::is_dtx`](crate::Packet::is_dtx)), is filled with comfort noise like that background. The codec's own would
/// be up to 12 dB too low.
///
/// # Latency
/// None (the encoder accounts for the codec's).
///
/// # Errors
/// [`Error::Codec`] where the bytes are not an Opus packet; [`Error::Full`] if packets keep coming while earlier ones
/// were not emptied.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct OpusDecode {
    /// Gain in dB, −128 to 128, as in the header of an Ogg Opus file (RFC 7845, section 5.1). Default 0.
    pub gain_db: f32,
    /// Complexity of the decoder, 0 to 10: CPU spent on quality. Default 0 (libopus).
    ///
    /// From 5 concealment is neural, from 6 LACE and from 7 NoLACE enhance voice coded at low rates. Above 0: feature
    /// `deep-plc`.
    pub complexity: u8,
}

impl OpusDecode {
    /// Checks the range of each setting, and that it was built.
    pub(super) fn check(&self) -> Result<()> {
        in_range("OpusDecode::gain_db", self.gain_db, -128.0, 128.0)?;
        in_range("OpusDecode::complexity", f32::from(self.complexity), 0.0, 10.0)?;
        match self.complexity {
            1.. if !NEURAL => Err(Error::Unavailable { setting: "OpusDecode::complexity", feature: "deep-plc" }),
            _ => Ok(()),
        }
    }
}

/// Reading of an [`OpusDecode`], from the start or the last reset. The times add up to all the sound made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct OpusDecodeReading {
    /// Sound decoded from packets, in ms.
    pub decoded_ms: u64,
    /// Sound rebuilt from in-band FEC, in ms.
    pub fec_ms: u64,
    /// Sound rebuilt from DRED, in ms.
    pub dred_ms: u64,
    /// Sound concealed where packets were lost, in ms.
    pub concealed_ms: u64,
    /// Comfort noise in ms: where the sender was silent, and where concealment has faded.
    pub comfort_ms: u64,
    /// Number of packets that were not Opus.
    pub refused: u64,
}
