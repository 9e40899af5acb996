//! Bytes of a WAV file, with whatever sizes and format one likes.

use std::path::Path;

/// WAV file as its fields; [`bytes`](Self::bytes) puts them together unchecked.
#[derive(Clone)]
pub struct RawWav {
    pub riff_size: Option<u32>,
    pub tag: u16,
    pub channels: u16,
    pub rate_hz: u32,
    pub block: u16,
    pub bits: u16,
    /// What follows the first 16 bytes of the fmt chunk.
    pub extra: Vec<u8>,
    /// Whole chunks before the data chunk.
    pub before: Vec<u8>,
    pub data_size: Option<u32>,
    pub data: Vec<u8>,
    /// Whatever follows the data.
    pub after: Vec<u8>,
}

impl RawWav {
    /// 16-bit mono at 48 kHz.
    pub fn new(data: Vec<u8>) -> Self {
        Self {
            riff_size: None,
            tag: 1,
            channels: 1,
            rate_hz: 48_000,
            block: 2,
            bits: 16,
            extra: vec![],
            before: vec![],
            data_size: None,
            data,
            after: vec![],
        }
    }

    /// The same, with a data chunk that says it has `size` bytes.
    pub fn with_data_size(self, size: u32) -> Self {
        Self { data_size: Some(size), ..self }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut body = b"WAVEfmt ".to_vec();
        body.extend((16 + self.extra.len() as u32).to_le_bytes());
        body.extend(self.tag.to_le_bytes());
        body.extend(self.channels.to_le_bytes());
        body.extend(self.rate_hz.to_le_bytes());
        body.extend(self.rate_hz.wrapping_mul(self.block.into()).to_le_bytes());
        body.extend(self.block.to_le_bytes());
        body.extend(self.bits.to_le_bytes());
        body.extend(&self.extra);
        body.extend(&self.before);
        body.extend(b"data");
        body.extend(self.data_size.unwrap_or(self.data.len() as u32).to_le_bytes());
        body.extend(&self.data);
        body.extend(&self.after);
        let mut bytes = b"RIFF".to_vec();
        bytes.extend(self.riff_size.unwrap_or(body.len() as u32).to_le_bytes());
        bytes.extend(body);
        bytes
    }

    pub fn write(&self, path: &Path) {
        std::fs::write(path, self.bytes()).unwrap();
    }
}
