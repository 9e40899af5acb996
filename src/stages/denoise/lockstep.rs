//! Blocks of several streams through the networks of noise suppression, in lockstep: a step of all streams, then the next. So
//! each network reads its weights once for all of them. A stage that runs by itself is a group of one stream.

#[cfg(feature = "hush")]
use super::full_band;
use super::suppressor::{BLOCK, Memory, Suppressor};
#[cfg(feature = "hush")]
use crate::neural::hush;
use crate::neural::lockstep::collect;
use crate::neural::rnnoise;
use crate::neural::rnnoise2;

/// One of the streams in lockstep.
pub(super) struct Lane<'a> {
    pub suppressor: &'a mut Suppressor,
    /// Block that comes in, and then the one that goes out.
    pub block: &'a mut [f32; BLOCK],
    /// Largest speech probability so far, 0 to 1.
    pub probability: &'a mut f32,
    pub memories: Memories<'a>,
}

/// Memory for the networks that may run.
pub(super) struct Memories<'a> {
    pub first: &'a mut Memory,
    pub second: Option<&'a mut rnnoise2::Memory>,
    #[cfg(feature = "hush")]
    pub hush: Option<&'a mut full_band::Memory>,
}

impl Memories<'_> {
    /// The same memory, for a while.
    pub fn reborrow(&mut self) -> Memories<'_> {
        Memories {
            first: &mut *self.first,
            second: self.second.as_deref_mut(),
            #[cfg(feature = "hush")]
            hush: self.hush.as_deref_mut(),
        }
    }
}

/// Replaces the block of each stream by the one two before it without noise.
pub(super) fn run<const N: usize>(lanes: &mut [Option<Lane<'_>>; N]) {
    each(lanes).for_each(|lane| lane.suppressor.analyse(lane.block, lane.memories.first));

    let second = each(lanes).filter_map(|Lane { suppressor, memories, .. }| {
        suppressor.hear_second(memories.first, memories.second.as_deref_mut()?)
    });
    run_network(&mut collect::<_, N>(second), rnnoise2::run);
    each(lanes).for_each(|Lane { suppressor, block, probability, memories }| {
        **probability = probability.max(suppressor.synthesise(block, memories.second.as_deref()));
    });

    let first = each(lanes).filter_map(|lane| lane.suppressor.hear_first(lane.memories.first));
    run_network(&mut collect::<_, N>(first), rnnoise::run);
    each(lanes).for_each(|lane| lane.suppressor.filter_first(lane.memories.first));

    #[cfg(feature = "hush")]
    {
        let streams = each(lanes).filter_map(|Lane { suppressor, memories, .. }| {
            suppressor.hear_hush(memories.first, memories.hush.as_deref_mut()?)
        });
        run_network(&mut collect::<_, N>(streams), hush::run);
        each(lanes).for_each(|Lane { suppressor, memories, .. }| {
            suppressor.filter_hush(memories.first, memories.hush.as_deref());
        });
    }
    each(lanes).for_each(|lane| lane.suppressor.finish(lane.memories.first));
}

/// Runs a network, if a stream has a frame for it.
fn run_network<T>(streams: &mut [Option<T>], network: impl FnOnce(&mut [Option<T>])) {
    if let [Some(_), ..] = streams {
        network(streams);
    }
}

fn each<'a, 'b>(lanes: &'a mut [Option<Lane<'b>>]) -> impl Iterator<Item = &'a mut Lane<'b>> {
    lanes.iter_mut().flatten()
}
