//! Streams that run through a network in lockstep, layer by layer, so that the weights are read once for all of them.
//!
//! A layer is given an iterator over the streams, each with its output and its input. Some layers take the streams a few at a
//! time, as many as are multiplied side by side; a stream that is alone is multiplied alone.

use super::products::STREAMS;

/// Hands out streams a few at a time; `alone` gets the last one, where it is a single one.
#[inline]
pub fn few_at_a_time<T>(
    streams: impl Iterator<Item = T>,
    mut alone: impl FnMut([Option<T>; 1]),
    mut several: impl FnMut([Option<T>; STREAMS]),
) {
    let mut streams = streams.fuse();
    loop {
        let few: [Option<T>; STREAMS] = std::array::from_fn(|_| streams.next());
        match few {
            [None, ..] => return,
            [only, None, ..] => return alone([only]),
            few => several(few),
        }
    }
}
