//! State of one logical Ogg bitstream with Opus in it: packets, and where they lie by the granule positions.

use ::ogg::reading::BasePacketReader;

use super::page::Page;
use crate::core::Packet;

/// Longest gap that is filled: a minute, in ticks.
const MAX_GAP_TICKS: i64 = 60 * Packet::CLOCK_HZ as i64;

/// Grid of all Opus lengths: 2.5 ms, in ticks.
const GRID_TICKS: i64 = 120;

/// Length of a packet until one was read: 20 ms, as most have.
const DEFAULT_PACKET_TICKS: u32 = 960;

/// Opus stream that is read.
pub(super) struct OpusStream {
    pub serial: u32,
    pub pre_skip: i64,
    pub packets: BasePacketReader,
    /// Number of the next page.
    pub next_page: u32,
    /// Whether a page after the first was there.
    pub is_past_first_page: bool,
    /// Whether the comment header, OpusTags, was there.
    pub has_tags: bool,
    /// Whether pages are missing since the last granule position.
    pub has_gap: bool,
    /// Length of one of its packets, in ticks.
    pub packet_ticks: u32,
    /// Bytes kept of a packet that goes over several pages.
    pub partial_bytes: usize,
    /// Length of all packets so far, in ticks.
    pub ticks: i64,
    /// Granule position, and the [`ticks`](Self::ticks) at which it was.
    pub anchor: Option<(i64, i64)>,
}

impl OpusStream {
    /// A stream that begins with this page, whose packets are taken out already.
    pub fn new(serial: u32, first_page: u32, pre_skip: u16, packets: BasePacketReader) -> Self {
        Self {
            serial,
            pre_skip: pre_skip.into(),
            packets,
            next_page: first_page.wrapping_add(1),
            is_past_first_page: false,
            has_tags: false,
            has_gap: false,
            packet_ticks: DEFAULT_PACKET_TICKS,
            partial_bytes: 0,
            ticks: 0,
            anchor: None,
        }
    }

    /// Takes note of the number of a page: how many pages are missing before it.
    pub fn count_page(&mut self, page: &Page) -> u32 {
        let missing = page.sequence.wrapping_sub(self.next_page);
        self.next_page = page.sequence.wrapping_add(1);
        if missing == 0 {
            return 0;
        }
        self.has_gap = true;
        self.forget_partial();
        // Numbers that go back are no numbers; and a live stream is joined anywhere.
        if missing <= u32::MAX / 2 && self.anchor.is_some() { missing } else { 0 }
    }

    /// Forgets what there is of a packet whose other part is missing, or too long.
    pub fn forget_partial(&mut self) {
        self.packets.update_after_seek();
        self.partial_bytes = 0;
    }

    /// Ticks that are missing before the packets that end on a page, which have `length` ticks.
    pub fn gap_ticks(&self, granule: i64, is_last: bool, length: i64) -> u32 {
        let (true, 0.., Some((anchor, at))) = (self.has_gap, granule, self.anchor) else { return 0 };
        let expected = anchor.saturating_add(self.ticks - at);
        let mut gap = granule.saturating_sub(length).saturating_sub(expected);
        if is_last {
            // By the granule position the sound ends within a packet, and the packets themselves a little later.
            let packet = i64::from(self.packet_ticks);
            gap = gap.saturating_add(packet - 1) / packet * packet;
        }
        if (0..=MAX_GAP_TICKS).contains(&gap) { (gap / GRID_TICKS * GRID_TICKS) as u32 } else { 0 }
    }

    /// Position at which the sound ends by the granule position of the last page, of which `length` ticks are not
    /// counted yet.
    pub fn end_position(&self, granule: i64, length: i64) -> i64 {
        if granule < 0 {
            return i64::MAX;
        }
        // On the only page nothing says where counting began, unless packets would have been cut at the beginning.
        let (anchor, at) = self.anchor.unwrap_or((granule.saturating_sub(length).max(0), self.ticks));
        granule.saturating_sub(anchor).saturating_add(at).saturating_sub(self.pre_skip)
    }
}
