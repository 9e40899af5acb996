//! Identification header of an Ogg Opus stream (RFC 7845, section 5.1).

use super::error::OggError;
use crate::core::Result;
use crate::core::error::in_range;

/// Signature: the first bytes of every identification header.
const MAGIC: &[u8] = b"OpusHead";

/// Identification header of a stream, apart from its pre-skip: that is in the position of its first packet.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct OggHead {
    /// Channels, 1 or 2. Default 1. A decoder may have another number.
    pub channels: usize,
    /// Sample rate of the sound before it was encoded, in Hz; 0 if unknown. Default 0. A decoder need not run at it.
    pub input_rate_hz: u32,
    /// Output gain that the decoder is to apply (`OpusDecode::gain_db`), in dB, −128 to 127.99 in steps of 1/256.
    /// Default 0.
    pub gain_db: f32,
}

impl Default for OggHead {
    fn default() -> Self {
        Self { channels: 1, input_rate_hz: 0, gain_db: 0.0 }
    }
}

impl OggHead {
    /// Header, and pre-skip in ticks, of a stream that begins with this packet; `None` if that is not Opus.
    pub(super) fn parse(bytes: &[u8]) -> Option<Result<(Self, u16), OggError>> {
        bytes.starts_with(MAGIC).then(|| Self::parse_fields(bytes))
    }

    fn parse_fields(bytes: &[u8]) -> Result<(Self, u16), OggError> {
        let Some(&[version, channels, skip0, skip1, rate0, rate1, rate2, rate3, gain0, gain1, family]) =
            bytes.get(MAGIC.len()..).and_then(<[u8]>::first_chunk)
        else {
            return Err(OggError::ShortHeader { bytes: bytes.len() });
        };
        if version >> 4 != 0 {
            return Err(OggError::Version { version });
        }
        // Family 1 with one or two channels is family 0, if its table says so: one stream, coupled if it is stereo,
        // and the channels in order.
        let known = match (family, channels) {
            (0, 1 | 2) => true,
            (1, 1) => bytes[19..] == [1, 0, 0],
            (1, 2) => bytes[19..] == [1, 1, 0, 1],
            _ => false,
        };
        if !known {
            return Err(OggError::Channels { channels, family });
        }
        let head = Self {
            channels: channels.into(),
            input_rate_hz: u32::from_le_bytes([rate0, rate1, rate2, rate3]),
            gain_db: f32::from(i16::from_le_bytes([gain0, gain1])) / 256.0,
        };
        Ok((head, u16::from_le_bytes([skip0, skip1])))
    }

    pub(super) fn validate(&self) -> Result<()> {
        in_range("OggHead::channels", self.channels as f32, 1.0, 2.0)?;
        in_range("OggHead::gain_db", self.gain_db, -128.0, f32::from(i16::MAX) / 256.0)
    }

    /// The header as a packet, for valid fields.
    pub(super) fn to_bytes(self, pre_skip: u16) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend([1, self.channels as u8]);
        bytes.extend(pre_skip.to_le_bytes());
        bytes.extend(self.input_rate_hz.to_le_bytes());
        bytes.extend(((self.gain_db * 256.0).round() as i16).to_le_bytes());
        bytes.push(0); // channel mapping family
        bytes
    }
}

/// Codec of a stream that is not Opus, by its first packet.
pub(super) fn codec_of(bytes: &[u8]) -> Option<&'static str> {
    let known: [(&[u8], &str); 7] = [
        (b"\x01vorbis", "Vorbis"),
        (b"\x7fFLAC", "FLAC"),
        (b"Speex   ", "Speex"),
        (b"\x80theora", "Theora video"),
        (b"BBCD", "Dirac video"),
        (b"OVP80", "VP8 video"),
        (b"fishead", "Skeleton"),
    ];
    known.iter().find(|(magic, _)| bytes.starts_with(magic)).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_as_it_was_written() {
        for (gain_db, channels, pre_skip) in
            [(0.0, 1, 312), (-6.5, 2, 0), (32_767.0 / 256.0, 1, u16::MAX), (-128.0, 2, 1)]
        {
            let head = OggHead { channels, input_rate_hz: 44_100, gain_db };
            head.validate().unwrap();
            let bytes = head.to_bytes(pre_skip);
            assert_eq!(bytes.len(), 19);
            assert_eq!(OggHead::parse(&bytes).unwrap().unwrap(), (head, pre_skip));
        }
        assert!(OggHead { channels: 3, ..OggHead::default() }.validate().is_err());
        assert!(OggHead { gain_db: 128.0, ..OggHead::default() }.validate().is_err());
        assert!(OggHead { gain_db: f32::NAN, ..OggHead::default() }.validate().is_err());
    }

    #[test]
    fn what_cannot_be_decoded_is_named() {
        let good = OggHead::default().to_bytes(312);
        let parse = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = good.clone();
            change(&mut bytes);
            OggHead::parse(&bytes)
        };
        let error = |change: &dyn Fn(&mut Vec<u8>)| parse(change).unwrap().unwrap_err().to_string();
        assert!(parse(&|bytes| bytes[0] = b'o').is_none());
        assert!(parse(&|bytes| bytes.truncate(7)).is_none());
        assert!(error(&|bytes| bytes.truncate(18)).contains("18 bytes"));
        assert!(error(&|bytes| bytes[8] = 0x10).contains("version 16"));
        assert!(parse(&|bytes| bytes[8] = 0x0f).unwrap().is_ok());
        assert!(error(&|bytes| bytes[9] = 0).contains("0 channels in mapping family 0"));
        assert!(error(&|bytes| (bytes[9], bytes[18]) = (6, 1)).contains("6 channels in mapping family 1"));
        assert!(error(&|bytes| bytes[18] = 255).contains("1 channels in mapping family 255"));
        // Stereo of two mono streams would need two decoders.
        let family_1 = |table: [u8; 4]| {
            parse(&|bytes| {
                (bytes[9], bytes[18]) = (2, 1);
                bytes.extend(table);
            })
            .unwrap()
        };
        assert!(family_1([1, 1, 0, 1]).is_ok());
        assert!(family_1([2, 0, 0, 1]).is_err());
        assert!(family_1([1, 1, 1, 0]).is_err());
    }
}
