//! What the bytes of an Opus packet tell without decoding them (RFC 6716, section 3).

/// The grid of all Opus lengths: 2.5 ms, in ticks of 48 kHz.
pub const GRID_TICKS: u32 = 120;

/// The most sound in one packet: 120 ms.
pub const LONGEST_TICKS: u32 = 5760;

/// The parts of a packet.
#[derive(Clone, Copy, Debug)]
pub struct Layout<'a> {
    toc: u8,
    frames: u32,
    first: &'a [u8],
    padding: &'a [u8],
}

/// Deep redundancy found in a packet.
#[derive(Clone, Copy, Debug)]
pub struct Redundancy<'a> {
    payload: &'a [u8],
    /// How far into the packet the moment is from which it counts back, in steps of 2.5 ms.
    start: u32,
}

/// Takes the first `count` off `bytes`.
fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (head, tail) = bytes.split_at_checked(count)?;
    *bytes = tail;
    Some(head)
}

fn take_byte(bytes: &mut &[u8]) -> Option<usize> {
    take(bytes, 1).map(|byte| usize::from(byte[0]))
}

/// A length of one or two bytes (section 3.2.1).
fn take_length(bytes: &mut &[u8]) -> Option<usize> {
    match take_byte(bytes)? {
        short @ 0..=251 => Some(short),
        low => Some(low + 4 * take_byte(bytes)?),
    }
}

impl<'a> Layout<'a> {
    /// `None` where the bytes are not an Opus packet.
    pub fn of(packet: &'a [u8]) -> Option<Self> {
        let mut rest = packet;
        let toc = take_byte(&mut rest)? as u8;
        let whole = |frames, first| Some(Self { toc, frames, first, padding: &[] });
        match toc & 3 {
            0 => whole(1, rest),
            1 => whole(2, rest.get(..rest.len() / 2).filter(|_| rest.len().is_multiple_of(2))?),
            2 => {
                let length = take_length(&mut rest)?;
                whole(2, rest.get(..length)?)
            }
            _ => Self::of_many(toc, rest),
        }
    }

    /// A packet of any number of frames, with padding (section 3.2.5).
    fn of_many(toc: u8, mut rest: &'a [u8]) -> Option<Self> {
        let count = take_byte(&mut rest)?;
        let frames = (count & 0x3f) as u32;
        if frames == 0 || frames * ticks_per_frame(toc) > LONGEST_TICKS {
            return None;
        }
        let mut padded = 0;
        if count & 0x40 != 0 {
            loop {
                match take_byte(&mut rest)? {
                    255 => padded += 254,
                    last => break padded += last,
                }
            }
        }
        let mut first = None;
        let mut coded = 0;
        if count & 0x80 != 0 {
            for _ in 1..frames {
                let length = take_length(&mut rest)?;
                first.get_or_insert(length);
                coded += length;
            }
        }
        let (frame_bytes, padding) = rest.split_at_checked(rest.len().checked_sub(padded)?)?;
        let last = frame_bytes.len().checked_sub(coded)?;
        let first = match first {
            Some(length) => length,
            None if last.is_multiple_of(frames as usize) => last / frames as usize,
            None => return None,
        };
        Some(Self { toc, frames, first: frame_bytes.get(..first)?, padding })
    }

    /// The length of each of its frames, in ticks of 48 kHz.
    pub fn ticks_per_frame(&self) -> u32 {
        ticks_per_frame(self.toc)
    }

    /// The length of all its sound, in ticks of 48 kHz.
    pub fn ticks(&self) -> u32 {
        self.frames * self.ticks_per_frame()
    }

    /// Whether its encoder found voice in it. In CELT packets it does not say: then yes.
    pub fn is_voice(&self) -> bool {
        let voiced = (self.ticks_per_frame() / 960).max(1);
        self.toc & 0x80 != 0 || self.first.first().is_some_and(|flags| flags >> (8 - voiced) != 0)
    }

    /// Whether it holds forward error correction: for the sound just before it, as long as one of its frames.
    pub fn has_fec(&self) -> bool {
        let (false, Some(&flags)) = (self.toc & 0x80 != 0, self.first.first()) else {
            return false; // CELT has none.
        };
        // In front of each channel's speech stand a flag for each 20 ms, and one for the correction (section 4.2.3).
        let voiced = (self.ticks_per_frame() / 960).max(1);
        let side = self.toc & 0x04 != 0 && (flags >> (6 - 2 * voiced)) & 1 != 0;
        (flags >> (7 - voiced)) & 1 != 0 || side
    }

    /// The deep redundancy it holds.
    ///
    /// It is an extension in the padding (draft-ietf-mlcodec-opus-extension): number and version are libopus 1.6's,
    /// before the number is assigned.
    pub fn dred(&self) -> Option<Redundancy<'a>> {
        const ID: usize = 126;
        const VERSION: [u8; 2] = [b'D', 12];
        let mut rest = self.padding;
        let mut frame = 0;
        loop {
            let head = take_byte(&mut rest)?;
            match (head >> 1, head & 1 != 0) {
                (0, true) => {}
                (0, false) | (2, _) => return None,
                (1, false) => frame += 1,
                (1, true) => frame += take_byte(&mut rest)? as u32,
                (3..32, payload) => drop(take(&mut rest, payload.into())?),
                (id, sized) => {
                    let mut length = if sized { 0 } else { rest.len() };
                    while sized {
                        let more = take_byte(&mut rest)?;
                        length += more;
                        if more < 255 {
                            break;
                        }
                    }
                    let payload = take(&mut rest, length)?;
                    if id == ID && payload.starts_with(&VERSION) && frame < self.frames {
                        return Some(Redundancy { payload, start: frame * self.ticks_per_frame() / GRID_TICKS });
                    }
                }
            }
        }
    }
}

fn ticks_per_frame(toc: u8) -> u32 {
    match toc >> 3 {
        silk @ 0..12 => [480, 960, 1920, 2880][usize::from(silk & 3)],
        hybrid @ 12..16 => 480 << (hybrid & 1),
        celt => GRID_TICKS << (celt & 3),
    }
}

impl Redundancy<'_> {
    /// The most bytes that [`moved`](Self::moved) writes beside the redundancy itself.
    pub const MOST_BYTES_MORE: usize = 64;

    /// By how much it can be moved at most, in steps of 2.5 ms.
    pub fn most(&self) -> u32 {
        (LONGEST_TICKS / GRID_TICKS - 1).saturating_sub(self.start)
    }

    /// Writes a packet that begins `steps` of 2.5 ms before the one this is from, and holds nothing but this; the
    /// number of bytes, if there is room.
    ///
    /// libopus decodes the DRED of a packet only for what lies right before that packet. But the redundancy of a
    /// packet with many frames counts from the frame it is attached to. So one with empty frames in front reaches
    /// what lies further back.
    pub fn moved(&self, steps: u32, packet: &mut [u8]) -> Option<usize> {
        let steps = (self.start + steps) as u8;
        let padded = self.payload.len() + 3;
        let mut written = 0;
        let mut put = |bytes: &[u8]| -> Option<()> {
            packet.get_mut(written..written + bytes.len())?.copy_from_slice(bytes);
            written += bytes.len();
            Some(())
        };
        // 48 empty CELT frames of 2.5 ms, and padding.
        put(&[16 << 3 | 3, 0x40 | 48])?;
        let mut left = padded;
        while left > 254 {
            put(&[255])?;
            left -= 254;
        }
        put(&[left as u8])?;
        // A separator with a number of frames, then the extension up to the end.
        put(&[1 << 1 | 1, steps, 126 << 1])?;
        put(self.payload)?;
        Some(written)
    }
}
