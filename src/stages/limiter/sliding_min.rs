//! Sliding minimum of gains.

use crate::dsp::kernels;
use crate::dsp::kernels::lower;

/// Values that are worked on side by side.
pub(super) const GROUP: usize = 8;

/// Values that are smoothed at a time, a whole number of groups: the longer, the more memory it takes, and the shorter, the more
/// often the past is moved.
pub(super) const PART: usize = 240;

/// Sliding minimum at a constant cost (van Herk, Gil and Werman).
///
/// Of values that lie a [`GROUP`] apart, the sliding minima are found for the whole group side by side: they are cut into runs as long as the
/// window, which then always is the end of one run and the beginning of the next. Minima of neighbours make it a window of whole groups, and
/// two of those that overlap one of any length.
#[derive(Clone, Debug)]
pub(super) struct SlidingMin {
    length: usize,
    /// The run that is being filled, up to `at`; then, of the run before, the minimum of the values behind each one.
    run: Box<[f32]>,
    at: usize,
    /// Minima of the run that is being filled.
    min: [f32; GROUP],
    /// The last minima of values a group apart.
    last: [f32; 2 * GROUP],
}

impl SlidingMin {
    /// Minimum of so many values, a [`GROUP`] or more.
    pub fn new(length: usize) -> Self {
        assert!(length >= GROUP);
        let mut min = Self {
            length,
            run: vec![1.0; length / GROUP * GROUP].into(),
            at: 0,
            min: [1.0; GROUP],
            last: [1.0; 2 * GROUP],
        };
        min.reset();
        min
    }

    /// Number of values of which it finds the minimum.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Replaces values, [`PART`] at most, by their minima; none is above 1.
    pub fn process(&mut self, values: &mut [f32]) {
        let minima = &mut [0.0; 2 * GROUP + PART][..2 * GROUP + values.len()];
        let (last, mut now) = minima.split_at_mut(2 * GROUP);
        last.copy_from_slice(&self.last);
        let mut new = &values[..];
        while !new.is_empty() {
            // Up to the end of a group or, from its beginning, of as many groups as there are.
            let lane = self.at % GROUP;
            let count = if lane > 0 { new.len().min(GROUP - lane) } else { new.len().min(self.run.len() - self.at) };
            running_min(&mut now[..count], &new[..count], &mut self.run[self.at..], &mut self.min, lane);
            (now, new) = (&mut std::mem::take(&mut now)[count..], &new[count..]);
            self.at += count;
            if self.at == self.run.len() {
                min_behind(&mut self.run);
                (self.at, self.min) = (0, [1.0; GROUP]);
            }
        }
        self.last.copy_from_slice(&minima[values.len()..]);
        window_min(values, minima, self.length % GROUP);
    }

    pub fn reset(&mut self) {
        self.run.fill(1.0);
        (self.at, self.min, self.last) = (0, [1.0; GROUP], [1.0; 2 * GROUP]);
    }
}

kernels! {
    /// Minimum of each value and those whole groups before it, `min` among them, and the one of `behind`, whose place the value takes.
    /// The first value is in that lane.
    fn running_min(minima: &mut [f32], values: &[f32], behind: &mut [f32], min: &mut [f32; GROUP], lane: usize) {
        let (groups, rest) = minima.as_chunks_mut::<GROUP>();
        let (values, rest_values) = values.as_chunks::<GROUP>();
        let (behind, rest_behind) = behind.split_at_mut(groups.len() * GROUP);
        let mut running = *min;
        for ((minima, values), behind) in groups.iter_mut().zip(values).zip(behind.as_chunks_mut::<GROUP>().0) {
            for i in 0..GROUP {
                running[i] = lower(running[i], values[i]);
                minima[i] = lower(running[i], behind[i]);
                behind[i] = values[i];
            }
        }
        *min = running;
        let rest = rest.iter_mut().zip(rest_values).zip(rest_behind);
        for (((minimum, value), behind), min) in rest.zip(&mut min[lane..]) {
            *min = lower(*min, *value);
            *minimum = lower(*min, *behind);
            *behind = *value;
        }
    }

    /// Replaces each value by the minimum of those whole groups behind it.
    fn min_behind(values: &mut [f32]) {
        let mut min = [1.0; GROUP];
        for group in values.as_chunks_mut::<GROUP>().0.iter_mut().rev() {
            for i in 0..GROUP {
                let value = group[i];
                group[i] = min[i];
                min[i] = lower(min[i], value);
            }
        }
    }

    /// Minima of a [`GROUP`] and `more` of neighbours; two groups are before the first. `minima` become those of four.
    fn window_min(to: &mut [f32], minima: &mut [f32], more: usize) {
        const FOUR: usize = GROUP / 2;
        for i in 0..minima.len() - (FOUR - 1) {
            minima[i] = lower(lower(minima[i], minima[i + 1]), lower(minima[i + 2], minima[i + 3]));
        }
        let count = to.len();
        let back = |back: usize| &minima[2 * GROUP - (FOUR - 1) - back..][..count];
        let (now, before, far, farther) = (back(0), back(FOUR), back(more), back(more + FOUR));
        for i in 0..count {
            to[i] = lower(lower(now[i], before[i]), lower(far[i], farther[i]));
        }
    }
}
