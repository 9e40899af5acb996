//! Stand-ins that show loom what the rewritten sources do: cells, slots of a queue, and orderings that can be weakened.

use std::mem::MaybeUninit;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use loom::cell;

use crate::ORDERINGS;

/// Ordering that is weakened in this process.
pub static WEAKENED: OnceLock<Weakened> = OnceLock::new();

/// Whether a model has come by each ordering.
pub static REACHED: [AtomicBool; ORDERINGS.len()] = [const { AtomicBool::new(false) }; ORDERINGS.len()];

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weakened {
    pub number: usize,
    pub to: Ordering,
}

/// The ordering with a number, or what it is weakened to.
pub fn ordering(number: usize, ordering: Ordering) -> Ordering {
    REACHED[number].store(true, Ordering::Relaxed);
    WEAKENED.get().filter(|weakened| weakened.number == number).map_or(ordering, |weakened| weakened.to)
}

/// `fence`, for which `Relaxed` stands for none at all.
pub fn fence(ordering: Ordering) {
    if ordering != Ordering::Relaxed {
        loom::sync::atomic::fence(ordering);
    }
}

/// `std::cell::UnsafeCell`, for contents that one thread at a time has for itself. To ask for the pointer counts as a
/// write, so loom fails unless every access before, on whatever thread, happens before this one.
#[derive(Debug)]
pub struct UnsafeCell<T> {
    access: cell::UnsafeCell<()>,
    value: std::cell::UnsafeCell<T>,
}

impl<T> UnsafeCell<T> {
    pub fn new(value: T) -> Self {
        Self { access: cell::UnsafeCell::new(()), value: std::cell::UnsafeCell::new(value) }
    }

    pub fn get(&self) -> *mut T {
        self.access.with_mut(|_| self.value.get())
    }
}

/// Buffer of a queue, in place of a raw pointer to it.
pub struct Slots<T>(Vec<cell::UnsafeCell<MaybeUninit<T>>>);

/// One slot of a queue, in place of a raw pointer to it.
pub struct Slot<'a, T>(&'a cell::UnsafeCell<MaybeUninit<T>>);

impl<T> Slots<T> {
    pub fn new(capacity: usize) -> Self {
        Self((0..capacity).map(|_| cell::UnsafeCell::new(MaybeUninit::uninit())).collect())
    }

    /// # Safety
    /// None is asked for here; the pointer that this stands for does.
    pub unsafe fn add(&self, index: usize) -> Slot<'_, T> {
        Slot(&self.0[index])
    }
}

impl<T> std::fmt::Debug for Slots<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Slots({})", self.0.len())
    }
}

impl<'a, T> Slot<'a, T> {
    pub fn write(self, value: T) {
        self.0.with_mut(|slot| {
            // SAFETY: loom has checked that nobody else has the slot.
            unsafe { (*slot).write(value) };
        });
    }

    /// Takes the value out. That counts as a write: nobody else may do so.
    ///
    /// # Safety
    /// The slot holds a value, which is not used there again.
    pub unsafe fn read(self) -> T {
        // SAFETY: as the caller promises, and loom has checked that nobody else has the slot.
        self.0.with_mut(|slot| unsafe { (*slot).assume_init_read() })
    }

    /// # Safety
    /// The slot holds a value.
    pub unsafe fn peek(self) -> &'a T {
        // SAFETY: as the caller promises.
        self.0.with(|slot| unsafe { (*slot).assume_init_ref() })
    }

    /// # Safety
    /// The slot holds a value, which is not used again.
    pub unsafe fn drop_in_place(self) {
        // SAFETY: as the caller promises, and loom has checked that nobody else has the slot.
        self.0.with_mut(|slot| unsafe { (*slot).assume_init_drop() });
    }
}
