//! What can go wrong with a file.

use std::{fmt, io};

use crate::core::{Error, FormatError};

/// Why an Ogg Opus file could not be read or written.
///
/// Apart from [`Error`], because files are no place for realtime code: this one holds an [`io::Error`].
#[derive(Debug)]
#[non_exhaustive]
pub enum OggError {
    /// Reading or writing the bytes failed.
    Io(io::Error),
    /// No Ogg page in the first 64 KiB: another kind of file.
    NotOgg,
    /// Ogg, but no stream in it is Opus.
    NotOpus {
        /// What the first stream is, where that is well known.
        codec: Option<&'static str>,
    },
    /// The input ends before both headers of the first stream are complete.
    CutShort,
    /// An identification header (RFC 7845, section 5.1) too short to be one.
    ShortHead {
        /// Its length.
        bytes: usize,
    },
    /// A version of the format that is not known.
    Version {
        /// The version in the header; known are those below 16.
        version: u8,
    },
    /// Channels that are not decoded here: none at all, more than two, or a mapping that needs several decoders.
    Channels {
        /// The channels by the header.
        channels: u8,
        /// The channel mapping family (RFC 7845, section 5.1.1).
        family: u8,
    },
    /// The second packet of a stream is not its comment header (RFC 7845, section 5.2).
    NoTags,
    /// A packet to be written first whose position is not from −65 535 to 0: what is before 0 is the pre-skip, and
    /// counts 16 bits.
    Start {
        /// Its position, in ticks.
        position: i64,
    },
    /// A packet to be written that begins before the end of the one before it, or more than a day behind it.
    Position {
        /// The position it should have, in ticks.
        expected: i64,
        /// The position it has.
        actual: i64,
    },
    /// An end in what is written already, or a day behind it.
    End {
        /// The end asked for, in ticks.
        end: i64,
        /// The earliest one possible.
        earliest: i64,
        /// The latest one possible.
        latest: i64,
    },
    /// An error of the rest of the crate: a setting out of range, a packet to be written that is no Opus packet, or
    /// what a stage returned to a closure that also writes.
    Voice(Error),
}

impl fmt::Display for OggError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            OggError::Io(ref error) => error.fmt(f),
            OggError::NotOgg => f.write_str("not an Ogg file"),
            OggError::NotOpus { codec } => write!(f, "not Opus but {} in Ogg", codec.unwrap_or("something else")),
            OggError::CutShort => f.write_str("ends within its headers"),
            OggError::ShortHead { bytes } => write!(f, "its identification header has only {bytes} bytes"),
            OggError::Version { version } => write!(f, "version {version} of Opus in Ogg is not known"),
            OggError::Channels { channels, family } => {
                write!(f, "{channels} channels in mapping family {family}: only mono and stereo are supported")
            }
            OggError::NoTags => f.write_str("its second packet is not a comment header"),
            OggError::Start { position } => {
                write!(f, "the first packet must begin from 65535 ticks before position 0 to 0, not at {position}")
            }
            OggError::Position { expected, actual } => {
                write!(f, "a packet must begin at {expected}, or at most a day later, not at {actual}")
            }
            OggError::End { end, earliest, latest } => {
                write!(f, "the file can end from {earliest} to {latest}, not at {end}")
            }
            OggError::Voice(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for OggError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            OggError::Io(error) => Some(error),
            OggError::Voice(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for OggError {
    fn from(error: io::Error) -> Self {
        OggError::Io(error)
    }
}

impl From<Error> for OggError {
    fn from(error: Error) -> Self {
        OggError::Voice(error)
    }
}

impl From<FormatError> for OggError {
    fn from(error: FormatError) -> Self {
        OggError::Voice(error.into())
    }
}
