//! Sound in that is no WAV: AIFF, FLAC, MP3, M4A, AAC, Ogg Vorbis and Ogg FLAC, decoded by symphonia.

use std::error::Error;
use std::fs::File;
use std::path::Path;

use symphonia::core::codecs::audio::AudioDecoder;
use symphonia::core::errors::Error as DecodeError;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatReader, TrackType};
use symphonia::core::io::MediaSourceStream;
use voxframe_testkit::wav::{Encoding, Header, check_readable};

use super::Of;
use super::input::{Opened, SoundSource};

type Result<T = ()> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// A compressed file being read.
pub struct CompressedSource(Stream);

impl CompressedSource {
    /// Opens a file, and decodes it once, so that its length is known and nothing comes as a surprise.
    ///
    /// # Errors
    /// What is wrong with it, without its name.
    pub fn open(path: &Path) -> Result<Opened> {
        let mut stream = Stream::open(path)?;
        let mut frames = 0;
        let mut spec = None;
        while let Some(block) = stream.next_block()? {
            if *spec.get_or_insert(block.spec) != block.spec {
                return Err("its rate or its number of channels changes".into());
            }
            frames += block.frames;
        }
        let (sample_rate_hz, channels) = spec.ok_or("no sound in it")?;
        check_readable(sample_rate_hz, channels)?;
        let notes = match stream.damaged {
            0 => vec![],
            damaged => vec![format!("{damaged} packets are damaged, and left out")],
        };
        // What is no integer has more than 16 bits.
        let (bytes, bits, encoding) = match stream.bits {
            Some(bits) => (bits.div_ceil(8) as u16, bits as u16, Encoding::Integer),
            None => (4, 32, Encoding::Float),
        };
        let header = Header { sample_rate_hz, channels, bytes, bits, encoding, samples: frames };
        Ok(Opened { header, notes, source: Box::new(Self(Stream::open(path)?)) })
    }

    /// Whether a file begins as one of those that are decoded here.
    pub fn is_compressed(head: &[u8]) -> bool {
        let holds = |name: &[u8]| head.windows(name.len()).any(|bytes| bytes == name);
        let in_ogg = head.starts_with(b"OggS") && (holds(b"\x01vorbis") || holds(b"\x7fFLAC"));
        let in_mp4 = head.get(4..8) == Some(b"ftyp");
        let is_aiff = head.starts_with(b"FORM") && matches!(head.get(8..12), Some(b"AIFF" | b"AIFC"));
        // Frames of MPEG audio, layer III, begin with eleven bits set, and those of AAC with twelve.
        let is_mpeg = match head {
            [0xff, second, _, ..] => second & 0xe6 == 0xe2 || second & 0xf6 == 0xf0,
            _ => head.starts_with(b"ID3"),
        };
        head.starts_with(b"fLaC") || in_ogg || in_mp4 || is_aiff || is_mpeg
    }
}

impl SoundSource for CompressedSource {
    fn read(&mut self, path: &Path, block: &mut Vec<f32>) -> super::Result {
        if self.0.next_block().of(path)?.is_some() {
            block.extend_from_slice(&self.0.samples);
        }
        Ok(())
    }
}

/// Decoded samples of a packet.
struct Block {
    /// Rate in Hz and number of channels.
    spec: (u32, usize),
    frames: u64,
}

struct Stream {
    reader: Box<dyn FormatReader>,
    decoder: Box<dyn AudioDecoder>,
    track: u32,
    /// Bits of a sample that is an integer.
    bits: Option<u32>,
    samples: Vec<f32>,
    damaged: u64,
}

impl Stream {
    fn open(path: &Path) -> Result<Self> {
        let source = MediaSourceStream::new(Box::new(File::open(path)?), Default::default());
        let (options, metadata) = Default::default();
        let reader = symphonia::default::get_probe().probe(&Hint::new(), source, options, metadata);
        let reader = reader.map_err(name_what_is_read)?;
        let track = reader.default_track(TrackType::Audio).ok_or("no sound in it")?;
        let parameters = track.codec_params.as_ref().and_then(|codec| codec.audio()).ok_or("no sound in it")?;
        let decoder = symphonia::default::get_codecs().make_audio_decoder(parameters, &Default::default());
        let decoder = decoder.map_err(name_what_is_read)?;
        let (track, bits) = (track.id, parameters.bits_per_sample);
        Ok(Self { track, bits, decoder, reader, samples: Vec::new(), damaged: 0 })
    }

    /// Decodes the next packet with sound.
    fn next_block(&mut self) -> Result<Option<Block>> {
        loop {
            let Some(packet) = self.reader.next_packet()? else { return Ok(None) };
            if packet.track_id != self.track {
                continue;
            }
            match self.decoder.decode(&packet) {
                Ok(sound) if sound.is_empty() => {}
                Ok(sound) => {
                    self.samples.resize(sound.samples_interleaved(), 0.0);
                    sound.copy_to_slice_interleaved(&mut self.samples);
                    let spec = (sound.spec().rate(), sound.spec().channels().count());
                    return Ok(Some(Block { spec, frames: sound.frames() as u64 }));
                }
                Err(DecodeError::DecodeError(_)) => self.damaged += 1,
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// What symphonia has no code for is told by what there is code for.
fn name_what_is_read(error: DecodeError) -> Box<dyn Error + Send + Sync> {
    match error {
        DecodeError::Unsupported(_) => {
            "a codec that is not read: AAC (LC), ALAC, FLAC, MP3, Opus in Ogg, PCM and Vorbis are".into()
        }
        error => error.into(),
    }
}
