//! Global allocator that counts, for each thread, what it is asked for.
//!
//! The crates for this do less or more: `assert_no_alloc` does not measure memory held, `stats_alloc` counts all threads
//! together, and `allocation-counter` installs itself in every program it is linked to, benches included.
//!
//! ```
//! use voxframe_testkit::alloc::{CountingAllocator, allocations};
//!
//! #[global_allocator]
//! static ALLOCATOR: CountingAllocator = CountingAllocator;
//!
//! assert_eq!(allocations(|| drop(std::hint::black_box(Box::new(1)))), 2);
//! ```

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The system's allocator with a counter for each thread.
pub struct CountingAllocator;

#[derive(Clone, Copy)]
struct Counts {
    calls: u64,
    /// Bytes allocated and not freed. What another thread frees is not taken off.
    held: usize,
    most_held: usize,
}

thread_local! {
    static COUNTS: Cell<Counts> = const { Cell::new(Counts { calls: 0, held: 0, most_held: 0 }) };
}

fn count(calls: u64, freed: usize, allocated: usize) {
    // At the end of a thread there is nothing to count with any more.
    let _ = COUNTS.try_with(|counts| {
        let before = counts.get();
        let held = before.held.saturating_sub(freed) + allocated;
        counts.set(Counts { calls: before.calls + calls, held, most_held: before.most_held.max(held) });
    });
}

// SAFETY: everything is passed on to the system's allocator unchanged; counting neither allocates nor unwinds.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(1, 0, layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(1, layout.size(), 0);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // While the content is copied there are both.
        count(1, 0, size);
        count(0, layout.size(), 0);
        // SAFETY: the caller's promise.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// Panics where the allocator is not installed, and nothing would ever be counted.
fn check_installed() {
    let before = COUNTS.get().calls;
    drop(std::hint::black_box(Box::new(0u8)));
    assert_eq!(COUNTS.get().calls, before + 2, "CountingAllocator is not the #[global_allocator]");
}

/// Number of allocations and frees of this thread while `work` runs.
pub fn allocations(work: impl FnOnce()) -> u64 {
    check_installed();
    let before = COUNTS.get().calls;
    work();
    COUNTS.get().calls - before
}

/// What `work` returns, and the peak of the memory it held beyond what this thread held before, in bytes.
pub fn most_held<T>(work: impl FnOnce() -> T) -> (T, usize) {
    check_installed();
    let before = COUNTS.get();
    COUNTS.set(Counts { most_held: before.held, ..before });
    let result = work();
    (result, COUNTS.get().most_held - before.held)
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;

    use super::*;

    #[global_allocator]
    static ALLOCATOR: CountingAllocator = CountingAllocator;

    #[test]
    fn allocations_and_frees_are_counted() {
        assert_eq!(allocations(|| ()), 0);
        assert_eq!(allocations(|| drop(black_box(vec![1u8]))), 2);
        let kept = black_box(vec![1u8; 8]);
        assert_eq!(allocations(|| drop(kept)), 1);
    }

    #[test]
    fn the_peak_of_memory_held_is_found() {
        let (kept, most) = most_held(|| {
            drop(black_box(vec![0u8; 10_000]));
            black_box(vec![0u8; 6000])
        });
        assert_eq!(most, 10_000);
        let mut kept = kept;
        let ((), most) = most_held(|| kept.reserve_exact(12_000));
        assert_eq!(most, 18_000, "a buffer that grows is there twice while it is copied");
    }
}
