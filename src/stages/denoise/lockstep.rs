//! Blocks of several streams through the networks of noise suppression, in lockstep: a step of all streams, then the next. So
//! each network reads its weights once for all of them. A stage that runs by itself is a group of one stream.

#[cfg(feature = "hush")]
use super::full_band;
use super::suppressor::{Memory, Suppressor};
#[cfg(feature = "hush")]
use crate::neural::hush;
use crate::neural::rnnoise;
use crate::neural::rnnoise2::{self, GateSums};

/// Memory for the larger networks.
pub(super) struct LargeMemory {
    second: rnnoise2::Memory,
    #[cfg(feature = "hush")]
    hush: full_band::Memory,
}

impl LargeMemory {
    pub const NEW: Self = Self {
        second: rnnoise2::Memory::NEW,
        #[cfg(feature = "hush")]
        hush: full_band::Memory::NEW,
    };
}

/// One of the streams in lockstep.
pub(super) struct Lane<'a> {
    pub suppressor: &'a mut Suppressor,
    pub memory: &'a mut Memory,
    /// Not needed where RNNoise 0.1 is all that runs.
    pub large: Option<&'a mut LargeMemory>,
    /// For what the states of RNNoise 0.2 give. Without it, that is kept in the suppressor.
    pub passing: Option<&'a mut GateSums>,
}

/// Replaces the block of each stream by the one two before it without noise.
pub(super) fn run<const N: usize>(lanes: &mut [Option<Lane<'_>>; N]) {
    each(lanes).for_each(|lane| lane.suppressor.analyse(lane.memory));

    let second = each(lanes).filter_map(|Lane { suppressor, memory, large, passing }| {
        suppressor.hear_second(memory, &mut large.as_mut()?.second, passing.as_deref_mut())
    });
    rnnoise2::run(&mut collect::<_, N>(second));
    each(lanes).for_each(|Lane { suppressor, memory, large, .. }| {
        suppressor.synthesise(memory, large.as_ref().map(|large| &large.second));
    });

    rnnoise::run(&mut collect::<_, N>(each(lanes).filter_map(|lane| lane.suppressor.hear_first(lane.memory))));
    each(lanes).for_each(|lane| lane.suppressor.filter_first(lane.memory));

    #[cfg(feature = "hush")]
    {
        let streams = each(lanes);
        hush::run(&mut collect::<_, N>(
            streams.filter_map(|lane| lane.suppressor.hear_hush(&mut lane.large.as_mut()?.hush)),
        ));
        each(lanes).for_each(|lane| lane.suppressor.filter_hush(lane.large.as_ref().map(|large| &large.hush)));
    }
}

fn each<'a, 'b>(lanes: &'a mut [Option<Lane<'b>>]) -> impl Iterator<Item = &'a mut Lane<'b>> {
    lanes.iter_mut().flatten()
}

/// First `N` items.
pub(super) fn collect<T, const N: usize>(items: impl Iterator<Item = T>) -> [Option<T>; N] {
    let mut items = items.fuse();
    std::array::from_fn(|_| items.next())
}
