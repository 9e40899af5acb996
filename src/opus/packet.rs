//! Layout of Opus packets (RFC 6716, section 3): TOC byte, frames, padding, and the redundancy in them. No codec is
//! needed.

// Without the codec and RTP, only the length of a packet is asked for.
#![cfg_attr(not(feature = "opus"), allow(dead_code))]

/// Grid of all Opus lengths: 2.5 ms, in ticks of 48 kHz.
pub const GRID_TICKS: u32 = 120;

/// Maximum length of a packet: 120 ms, in ticks of 48 kHz.
pub const MAX_TICKS: u32 = 5760;

/// Maximum length of a frame in bytes (section 3.4).
const MAX_FRAME_BYTES: usize = 1275;

/// Length of a packet's sound in ticks of 48 kHz, from its first two bytes (sections 3.1 and 3.2); 0 if that is
/// impossible.
pub(crate) fn ticks_of(bytes: &[u8]) -> u32 {
    let Some(&first) = bytes.first() else { return 0 };
    let frame = ticks_per_frame(first);
    let frames = match first & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => bytes.get(1).map_or(0, |second| u32::from(second & 0x3f)),
    };
    if frame * frames <= MAX_TICKS { frame * frames } else { 0 }
}

/// Length of each frame in ticks of 48 kHz, from the TOC byte (section 3.1).
fn ticks_per_frame(toc: u8) -> u32 {
    match toc >> 3 {
        silk @ 0..12 => [480, 960, 1920, 2880][usize::from(silk % 4)],
        hybrid @ 12..16 => 480 << (hybrid % 2),
        celt => 120 << (celt % 4),
    }
}

/// Layout of a packet.
#[derive(Clone, Copy, Debug)]
pub struct Layout<'a> {
    toc: u8,
    frames: u32,
    /// First frame.
    first: &'a [u8],
    padding: &'a [u8],
}

/// Deep redundancy (DRED) in a packet.
#[derive(Clone, Copy, Debug)]
pub struct Dred<'a> {
    payload: &'a [u8],
    /// Start of the frame it is attached to, from which it counts back, in steps of 2.5 ms.
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

/// Frame length of one or two bytes (section 3.2.1).
fn take_length(bytes: &mut &[u8]) -> Option<usize> {
    match take_byte(bytes)? {
        short @ 0..=251 => Some(short),
        low => Some(low + 4 * take_byte(bytes)?),
    }
}

impl<'a> Layout<'a> {
    /// Layout of `packet`; `None` where the bytes are not an Opus packet.
    pub fn of(packet: &'a [u8]) -> Option<Self> {
        let mut rest = packet;
        let toc = take_byte(&mut rest)? as u8;
        let (frames, first, last) = match toc & 3 {
            0 => (1, rest, rest.len()),
            1 if rest.len().is_multiple_of(2) => (2, &rest[..rest.len() / 2], rest.len() / 2),
            1 => return None,
            2 => {
                let length = take_length(&mut rest)?;
                (2, rest.get(..length)?, rest.len() - length)
            }
            _ => return Self::of_code_3(toc, rest),
        };
        (last <= MAX_FRAME_BYTES).then_some(Self { toc, frames, first, padding: &[] })
    }

    /// Layout of a packet with any number of frames, and padding (code 3, section 3.2.5).
    fn of_code_3(toc: u8, mut rest: &'a [u8]) -> Option<Self> {
        let count = take_byte(&mut rest)?;
        let frames = (count & 0x3f) as u32;
        if frames == 0 || frames * ticks_per_frame(toc) > MAX_TICKS {
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
        let (first, last) = match (first, count & 0x80 != 0) {
            (Some(first), _) => (first, last),
            (None, true) => (last, last),
            (None, false) if last.is_multiple_of(frames as usize) => (last / frames as usize, last / frames as usize),
            (None, false) => return None,
        };
        (last <= MAX_FRAME_BYTES).then_some(Self { toc, frames, first: frame_bytes.get(..first)?, padding })
    }

    /// Length of each frame, in ticks of 48 kHz.
    pub fn ticks_per_frame(&self) -> u32 {
        ticks_per_frame(self.toc)
    }

    /// Length of all frames together, in ticks of 48 kHz.
    pub fn ticks(&self) -> u32 {
        self.frames * self.ticks_per_frame()
    }

    /// Whether the encoder found voice: a VAD flag of SILK. CELT packets have none, and count as voice.
    pub fn is_voice(&self) -> bool {
        let voiced = (self.ticks_per_frame() / 960).max(1);
        self.toc & 0x80 != 0 || self.first.first().is_some_and(|flags| flags >> (8 - voiced) != 0)
    }

    /// Whether the packet carries in-band FEC: for the sound right before it, one frame long.
    pub fn has_fec(&self) -> bool {
        let (false, Some(&flags)) = (self.toc & 0x80 != 0, self.first.first()) else {
            return false; // CELT has no FEC.
        };
        // Each channel begins with a VAD flag for each 20 ms, and an LBRR flag: that of FEC (section 4.2.3).
        let voiced = (self.ticks_per_frame() / 960).max(1);
        let side = self.toc & 0x04 != 0 && (flags >> (6 - 2 * voiced)) & 1 != 0;
        (flags >> (7 - voiced)) & 1 != 0 || side
    }

    /// DRED in the packet.
    ///
    /// It is an extension in the padding (draft-ietf-mlcodec-opus-extension). Number and version are those of libopus
    /// 1.6, used until a number is assigned.
    pub fn dred(&self) -> Option<Dred<'a>> {
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
                (3..32, payload) => {
                    take(&mut rest, payload.into())?;
                }
                (id, sized) => {
                    let mut length = if sized { 0 } else { rest.len() };
                    let mut more = if sized { 255 } else { 0 };
                    while more == 255 {
                        more = take_byte(&mut rest)?;
                        length += more;
                    }
                    let payload = take(&mut rest, length)?;
                    if id == ID && payload.starts_with(&VERSION) && frame < self.frames {
                        return Some(Dred { payload, start: frame * self.ticks_per_frame() / GRID_TICKS });
                    }
                }
            }
        }
    }
}

impl Dred<'_> {
    /// Maximum length of what [`shifted`](Self::shifted) writes, beyond the redundancy itself, in bytes.
    pub const MAX_OVERHEAD_BYTES: usize = 64;

    /// Maximum shift, in steps of 2.5 ms.
    pub fn max_shift(&self) -> u32 {
        (MAX_TICKS / GRID_TICKS - 1).saturating_sub(self.start)
    }

    /// Writes a packet that begins `steps` of 2.5 ms before the one this is from and holds nothing but this redundancy;
    /// returns the number of bytes, if there is room.
    ///
    /// libopus decodes the DRED of a packet only for what lies right before that packet. But in a packet of many frames
    /// the redundancy counts from the frame it is attached to. So empty frames in front of that reach what lies further
    /// back.
    pub fn shifted(&self, steps: u32, packet: &mut [u8]) -> Option<usize> {
        let steps = (self.start + steps) as u8;
        let padded = self.payload.len() + 3;
        let mut written = 0;
        let mut put = |bytes: &[u8]| -> Option<()> {
            packet.get_mut(written..written + bytes.len())?.copy_from_slice(bytes);
            written += bytes.len();
            Some(())
        };
        // 48 empty CELT frames of 2.5 ms, and the length of the padding.
        put(&[16 << 3 | 3, 0x40 | 48])?;
        let mut left = padded;
        while left > 254 {
            put(&[255])?;
            left -= 254;
        }
        put(&[left as u8])?;
        // A separator that skips so many frames, then the extension up to the end.
        put(&[1 << 1 | 1, steps, 126 << 1])?;
        put(self.payload)?;
        Some(written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(feature = "opus")]
    use proptest::prelude::*;

    /// A packet of three SILK frames of 20 ms whose padding holds `extensions`.
    fn padded(extensions: &[u8]) -> Vec<u8> {
        let mut packet = vec![1 << 3 | 3, 0x40 | 3, extensions.len() as u8, 9, 9, 9];
        packet.extend(extensions);
        packet
    }

    #[test]
    fn dred_is_found_behind_other_extensions() {
        let found = |extensions: &[u8]| {
            let packet = padded(extensions);
            Layout::of(&packet).unwrap().dred().map(|dred| (dred.payload.to_vec(), dred.start))
        };
        assert_eq!(found(&[252, b'D', 12, 7]), Some((vec![b'D', 12, 7], 0)));
        assert_eq!(found(&[253, 3, b'D', 12, 7, 99, 99]), Some((vec![b'D', 12, 7], 0)));
        // Padding, short extensions without and with a byte, a long one of 256 bytes less one, and two frames on.
        let mut many = vec![1, 8, 9, 77];
        many.extend([100 << 1 | 1, 2, 0, 0, 2, 3, 1, 252, b'D', 12, 7]);
        assert_eq!(found(&many), Some((vec![b'D', 12, 7], 2 * 960 / GRID_TICKS)));
        for none in
            [&[][..], &[0, 252, b'D', 12], &[252, b'D', 11, 7], &[253, 9, b'D', 12], &[3, 3, 252, b'D', 12], &[3]]
        {
            assert_eq!(found(none), None, "{none:?}");
        }
    }

    #[test]
    fn shifted_dred_is_a_packet_that_says_so() {
        for length in [3, 249, 250, 251, 252, 253, 254, 255, 505, 506, 507, 508, 1000] {
            let mut payload = vec![b'D', 12];
            payload.resize(length, 0x55);
            let mut packet = [0; 1100];
            let written = Dred { payload: &payload, start: 3 }.shifted(44, &mut packet).unwrap();
            let layout = Layout::of(&packet[..written]).unwrap();
            assert_eq!((layout.ticks(), layout.first.len()), (MAX_TICKS, 0));
            let dred = layout.dred().unwrap();
            assert_eq!((dred.payload, dred.start, dred.max_shift()), (&payload[..], 47, 0));
            assert!(written <= length + Dred::MAX_OVERHEAD_BYTES);
            assert_eq!(Dred { payload: &payload, start: 3 }.shifted(44, &mut packet[..written - 1]), None);
        }
    }

    #[cfg(feature = "opus")]
    proptest! {
        #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn packets_are_taken_apart_as_libopus_does(
            mut bytes in prop::collection::vec(any::<u8>(), 1..60), code in 0u8..5, more in prop::option::of(0usize..3000),
        ) {
            if code < 4 {
                bytes[0] = bytes[0] & !3 | code;
            }
            if let Some(more) = more {
                bytes.resize(bytes.len() + more, 1);
            }
            let ours = Layout::of(&bytes);
            match opus::packet::parse(&bytes) {
                Ok(theirs) => {
                    let ours = ours.unwrap();
                    prop_assert_eq!(ours.first, theirs.frames[0]);
                    prop_assert_eq!(ours.frames as usize, theirs.frames.len());
                    prop_assert_eq!(ours.ticks() as usize, opus::packet::get_nb_samples(&bytes, 48_000).unwrap());
                }
                Err(_) => prop_assert!(ours.is_none()),
            }
            if let Some(ours) = ours {
                std::hint::black_box((ours.has_fec(), ours.is_voice(), ours.dred().map(|dred| dred.max_shift())));
            }
        }
    }
}
