//! Error of Ogg Opus files.

use std::{fmt, io};

use crate::core::{Error, FormatError};

/// Reason why an Ogg Opus file could not be read or written.
///
/// Apart from [`Error`], because files are no place for realtime code: this one holds an [`io::Error`].
#[derive(Debug)]
#[non_exhaustive]
pub enum OggError {
    /// Failure to read or write the bytes. Reading may be tried again; what is written is of no use any more.
    Io(io::Error),
    /// Input without an Ogg page in its first 64 KiB: another kind of file.
    NotOgg,
    /// Ogg file in which no stream is Opus.
    NotOpus {
        /// Codec of the first stream, where that is well known.
        codec: Option<&'static str>,
    },
    /// Input that ends before both headers of the first stream are complete.
    Truncated,
    /// Identification header (RFC 7845, section 5.1) that is too short.
    ShortHeader {
        /// Its length.
        bytes: usize,
    },
    /// Version of the format that is not known.
    Version {
        /// Version in the header; known are those below 16.
        version: u8,
    },
    /// Channels that are not decoded here: none at all, more than two, or a mapping that needs several decoders.
    Channels {
        /// Channels by the header.
        channels: u8,
        /// Channel mapping family (RFC 7845, section 5.1.1).
        family: u8,
    },
    /// Stream whose second packet is not its comment header (RFC 7845, section 5.2).
    NoTags,
    /// First packet to be written at a position not from −65 535 to 0: what is before 0 is the pre-skip, and counts 16
    /// bits. Nothing was written.
    StartPosition {
        /// Its position, in ticks.
        position: i64,
    },
    /// Packet to be written that begins before the end of the one before it, or more than a day behind it. Nothing was
    /// written.
    Position {
        /// Position it should have, in ticks.
        expected: i64,
        /// Position it has.
        actual: i64,
    },
    /// End position in what is written already, or a day behind it.
    EndPosition {
        /// End asked for, in ticks.
        end: i64,
        /// Earliest one possible.
        earliest: i64,
        /// Latest one possible.
        latest: i64,
    },
    /// Error of the rest of the crate: a setting out of range, a packet to be written that is no Opus packet, or what a
    /// stage returned to a closure that also writes.
    Voxframe(Error),
}

impl fmt::Display for OggError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            OggError::Io(ref error) => error.fmt(f),
            OggError::NotOgg => f.write_str("not an Ogg file"),
            OggError::NotOpus { codec } => write!(f, "not Opus but {} in Ogg", codec.unwrap_or("something else")),
            OggError::Truncated => f.write_str("ends within its headers"),
            OggError::ShortHeader { bytes } => write!(f, "its identification header has only {bytes} bytes"),
            OggError::Version { version } => write!(f, "version {version} of Opus in Ogg is not known"),
            OggError::Channels { channels, family } => {
                write!(f, "{channels} channels in mapping family {family}: only mono and stereo are supported")
            }
            OggError::NoTags => f.write_str("its second packet is not a comment header"),
            OggError::StartPosition { position } => {
                write!(f, "the first packet must begin from 65535 ticks before position 0 to 0, not at {position}")
            }
            OggError::Position { expected, actual } => {
                write!(f, "a packet must begin at {expected}, or at most a day later, not at {actual}")
            }
            OggError::EndPosition { end, earliest, latest } => {
                write!(f, "the file can end from {earliest} to {latest}, not at {end}")
            }
            OggError::Voxframe(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for OggError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            OggError::Io(error) => Some(error),
            OggError::Voxframe(error) => Some(error),
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
        OggError::Voxframe(error)
    }
}

impl From<FormatError> for OggError {
    fn from(error: FormatError) -> Self {
        OggError::Voxframe(error.into())
    }
}
