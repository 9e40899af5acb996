//! Scratch memory of a stage.

/// Length up to which it is on the stack: a frame of 10 ms at 48 kHz, and some of the past.
const SHORT: usize = 510;

/// Scratch memory for one frame, of a fixed length: on the stack where it is short, else on the heap.
#[derive(Clone, Debug)]
pub(crate) struct Scratch {
    length: usize,
    /// Empty where the memory is short.
    long: Box<[f32]>,
}

impl Scratch {
    /// Memory of this length. Allocates.
    pub fn new(length: usize) -> Self {
        Self { length, long: vec![0.0; if length > SHORT { length } else { 0 }].into_boxed_slice() }
    }

    /// Lends the memory, full of zeros.
    #[inline]
    pub fn with<R>(&mut self, work: impl FnOnce(&mut [f32]) -> R) -> R {
        if self.long.is_empty() {
            return work(&mut [0.0; SHORT][..self.length]);
        }
        self.long.fill(0.0);
        work(&mut self.long)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_short_is_on_the_stack() {
        for (length, on_heap) in [(0, 0), (480, 0), (510, 0), (511, 511), (3840, 3840)] {
            let mut scratch = Scratch::new(length);
            for _ in 0..2 {
                let sum = scratch.with(|memory| {
                    memory.iter_mut().for_each(|value| *value += 1.0);
                    memory.iter().sum::<f32>()
                });
                assert_eq!(sum, length as f32);
            }
            assert_eq!(scratch.long.len(), on_heap);
        }
    }
}
