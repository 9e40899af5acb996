//! As much of the crate's `core` as the files under test use.

pub type Result<T> = std::result::Result<T, Error>;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Error {
    OutOfRange,
    Fixed,
    Full,
    PacketTooLong { bytes: usize, max: usize },
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Format;

pub trait Stage: Sized {
    type Processor;

    fn prepare(self, input: Format) -> Result<Self::Processor>;
}

/// Packet whose content is a number, twice; on the heap, so that it has to be dropped.
#[derive(Debug, PartialEq)]
pub struct Packet(Box<[u32; 2]>);

impl Packet {
    pub fn new() -> Self {
        Self::with(0)
    }

    pub fn with(number: u32) -> Self {
        Self(Box::new([number; 2]))
    }

    pub fn copy_from(&mut self, other: &Self) {
        *self.0 = *other.0;
    }
}
