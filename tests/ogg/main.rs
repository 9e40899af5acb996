//! Ogg Opus files, written and read: whole, damaged and hostile.
#![cfg(all(feature = "opus", feature = "ogg"))]

mod damage;
mod files;
mod hostile;
mod reader;
mod writer;

use files::{encode, write};
use voxframe::OpusEncode;
use voxframe::ogg::{OggHead, OggReader};

const MONO: OggHead = OggHead { channels: 1, input_rate_hz: 48_000, gain_db: 0.0 };

/// The file of all packets that `settings` make of mono sound, which ends with the sound.
fn file_of(settings: OpusEncode, sound: &[f32]) -> Vec<u8> {
    write(MONO, &encode(settings, 1, sound), sound.len() as i64)
}

#[track_caller]
fn refused(bytes: &[u8]) -> String {
    OggReader::new(bytes).unwrap_err().to_string()
}
