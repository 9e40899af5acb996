//! Streams that run through a network in lockstep, layer by layer, so that the weights are read once for all of them.
//!
//! A layer is given an iterator over the streams, each with its output and its input. Some layers take the streams a few at a
//! time, as many as are multiplied side by side; a stream that is alone is multiplied alone.

/// Hands out streams `N` at a time; `alone` gets the last one, where it is a single one.
#[inline]
pub fn few_at_a_time<T, const N: usize>(
    streams: impl Iterator<Item = T>,
    mut alone: impl FnMut([Option<T>; 1]),
    mut several: impl FnMut([Option<T>; N]),
) {
    let mut streams = streams.fuse();
    loop {
        let mut few: [Option<T>; N] = collect(&mut streams);
        match &mut few[..] {
            [Some(_), Some(_), ..] => several(few),
            [only @ Some(_), ..] => return alone([only.take()]),
            _ => return,
        }
    }
}

/// First `N` items.
#[inline]
pub fn collect<T, const N: usize>(items: impl Iterator<Item = T>) -> [Option<T>; N] {
    let mut items = items.fuse();
    std::array::from_fn(|_| items.next())
}
