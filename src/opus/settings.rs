//! Settings of the encoder, and the terms of Opus they are made of. No codec is needed for them.

use crate::core::error::in_range;
use crate::core::{Error, Result};

/// What an encoder is tuned for. Default [`Voip`](Self::Voip).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Application {
    /// Speech, made intelligible before faithful; forward error correction. Lookahead 6.5 ms.
    #[default]
    Voip,
    /// Anything, as faithful as can be; forward error correction. Lookahead 6.5 ms.
    Audio,
    /// Anything, at a lookahead of 2.5 ms; no forward error correction, no narrow bands at low rates.
    LowDelay,
}

/// How the bit rate is kept. Default [`Vbr`](Self::Vbr).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum RateControl {
    /// Variable: what each packet needs; the rate is an average.
    #[default]
    Vbr,
    /// Constrained variable: no more than one packet of buffering above the rate.
    Cvbr,
    /// Constant: every packet the same length.
    Cbr,
}

/// A hint at what will be encoded. Default [`Auto`](Self::Auto).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Signal {
    /// The encoder finds out.
    #[default]
    Auto,
    /// Speech.
    Voice,
    /// Music.
    Music,
}

/// An audio bandwidth. Default [`Full`](Self::Full).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Bandwidth {
    /// 4 kHz.
    Narrow,
    /// 6 kHz.
    Medium,
    /// 8 kHz.
    Wide,
    /// 12 kHz.
    SuperWide,
    /// 20 kHz.
    #[default]
    Full,
}

/// The Opus packet lengths that can be chosen, in ms.
pub(super) const PACKET_MS: [f32; 9] = [2.5, 5.0, 10.0, 20.0, 40.0, 60.0, 80.0, 100.0, 120.0];
pub(super) const LONGEST_MS: f32 = PACKET_MS[PACKET_MS.len() - 1];

/// The most redundancy that libopus codes: 104 steps of 10 ms.
const MOST_DRED_MS: u32 = 1040;

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

    /// Fails unless every setting is in its range and can work beside the others.
    pub(super) fn check(&self) -> Result<()> {
        if !PACKET_MS.contains(&self.packet_ms) {
            return Err(self.bad_packet_ms());
        }
        in_range("OpusEncode::bitrate_bps", self.bitrate_bps as f32, 6_000.0, 510_000.0)?;
        in_range("OpusEncode::complexity", f32::from(self.complexity), 0.0, 10.0)?;
        in_range("OpusEncode::loss_percent", f32::from(self.loss_percent), 0.0, 100.0)?;
        in_range("OpusEncode::dred_ms", self.dred_ms as f32, 0.0, MOST_DRED_MS as f32)?;
        self.check_redundancy()
    }

    pub(super) fn bad_packet_ms(&self) -> Error {
        let (min, max) = (PACKET_MS[0], LONGEST_MS);
        Error::OutOfRange { setting: "OpusEncode::packet_ms", value: self.packet_ms, min, max }
    }

    /// Fails where what is asked for against losses cannot work.
    fn check_redundancy(&self) -> Result<()> {
        let refused = |setting, advice| Err(Error::NoEffect { setting, advice });
        let (fec, dred) = ("OpusEncode::fec", "OpusEncode::dred_ms");
        if self.dred_ms > 0 && !cfg!(feature = "deep-plc") {
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
