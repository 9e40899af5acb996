//! Search for the blocks whose true peaks the gain smoother must know.

use super::held::HeldPeak;
use super::interpolation::{BLOCK, Interpolators, LONG, SHORT};
use crate::dsp::kernels;
use crate::dsp::kernels::higher;

/// Samples of all channels.
pub(super) struct Channels<'a> {
    pub samples: &'a [f32],
    /// Distance between the same samples of two channels.
    pub stride: usize,
    pub count: usize,
}

impl<'a> Channels<'a> {
    /// Samples of a channel from `start` on.
    #[inline(always)]
    pub fn of(&self, channel: usize, start: usize) -> &'a [f32] {
        &self.samples[channel * self.stride + start..]
    }
}

kernels! {
    /// Blocks whose bounds are above the ceiling where the peaks before them leave more, a bit for each, and those of them whose bounds of
    /// long filters are. Peaks of samples are what is known of those before them.
    fn find_wanted(all: &[f32], long: &[f32], peaks: &[f32], ceiling: f32, held: &mut HeldPeak, decay: f32) -> [u32; 2] {
        let (mut last, mut wanted, mut bit) = (held.clone(), [0; 2], 1u32);
        let blocks = all.as_chunks::<BLOCK>().0.iter().zip(long.as_chunks::<BLOCK>().0).zip(peaks.as_chunks::<BLOCK>().0);
        for ((all, long), peaks) in blocks {
            let gain = last.next_gain(decay);
            let is_above = |values: &[f32; BLOCK]| values.iter().fold(false, |above, value| above | (value * gain > ceiling));
            if is_above(all) {
                wanted[0] |= bit;
                if is_above(long) {
                    wanted[1] |= bit;
                }
                if is_above(peaks) {
                    last.set(1.0 - ceiling / peaks.iter().fold(0.0, |max, peak| higher(max, *peak)), decay);
                }
            }
            bit <<= 1;
        }
        *held = last;
        wanted
    }

    /// Raises the peaks in those blocks, and makes gains of them where that is wanted; the others need none. Returns the highest, `max_peak`
    /// among them.
    fn raise_peaks(
        peaks: &mut [f32], channels: &Channels<'_>, first: usize, wanted: [u32; 2], filters: &Interpolators, max_peak: f32, ceiling: Option<f32>
    ) -> f32 {
        let mut max_peaks = [max_peak; BLOCK];
        let peaks = peaks.as_chunks_mut::<BLOCK>().0;
        let [mut all, long] = wanted;
        while all != 0 {
            let block = all.trailing_zeros() as usize;
            all &= all - 1;
            // Seen anew for each block, the taps are read where they are, instead of being copied to the stack before the first one.
            let filters = std::hint::black_box(filters);
            let (mut highest, first) = (peaks[block], first + block * BLOCK);
            for channel in 0..channels.count {
                filters.short.raise_peaks(&mut highest, channels.of(channel, first + LONG - SHORT));
            }
            if long >> block & 1 > 0 {
                for channel in 0..channels.count {
                    filters.long.raise_peaks(&mut highest, channels.of(channel, first));
                }
            }
            for lane in 0..BLOCK {
                max_peaks[lane] = higher(max_peaks[lane], highest[lane]);
                peaks[block][lane] = ceiling.map_or(highest[lane], |ceiling| ceiling / higher(highest[lane], ceiling));
            }
        }
        let rest = if ceiling.is_some() { 1.0f32 } else { 0.0 }.to_bits();
        for (block, peaks) in peaks.iter_mut().enumerate() {
            let kept = (wanted[0] >> block & 1).wrapping_neg();
            for peak in peaks {
                *peak = f32::from_bits(peak.to_bits() & kept | rest & !kept);
            }
        }
        max_peaks.into_iter().fold(0.0, higher)
    }
}
