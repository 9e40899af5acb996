//! Noise suppression of many streams at once.

#[cfg(feature = "hush")]
use super::full_band;
use super::lockstep::Memories;
use super::processor::{DenoiseProcessor, Stream, suppress};
use super::suppressor::{BLOCK, Memory};
use crate::core::{Frame, Result};
use crate::neural::lockstep::collect;
use crate::neural::rnnoise2;

/// Streams that run in lockstep. Their memory and the weights of a layer fit into a second cache of 2 MB.
const LANES: usize = 16;

/// Batch of [`Denoise`](super::Denoise) processors that run in lockstep: each network reads its weights once for up to 16 of
/// them. For servers, on which the weights (1.8 MB with `Engine::Standard`, 3.2 MB with `Engine::Best`) of one stream after the
/// other would be most of the time.
///
/// It is memory to work in and nothing else: what is remembered of a stream stays in its [`DenoiseProcessor`]. So streams join
/// and leave by being handed in or not, in any order and any number, and may go on in another batch, or alone by
/// [`Processor::process`](crate::Processor::process). The sound is the same, bit for bit. Settings, handles, readings, formats and
/// engines are those of each stream; streams of one engine share most where they are neighbours.
///
/// A server has a batch for each of its threads, and makes use of it in each tick of 10 ms:
///
/// ```
/// use voxframe::denoise::{DenoiseBatch, DenoiseProcessor};
/// use voxframe::{Denoise, Format, Frame, Stage};
///
/// struct Participant {
///     denoise: DenoiseProcessor,
///     /// What was received for this tick, if anything was.
///     frame: Option<Frame>,
/// }
///
/// let format = Format::mono(48_000)?;
/// let join = || Denoise::default().prepare(format).map(|denoise| Participant { denoise, frame: None });
/// let mut participants = vec![join()?, join()?, join()?];
/// let mut batch = DenoiseBatch::new();
///
/// participants[0].frame = Some(Frame::new(format));
/// participants[2].frame = Some(Frame::new(format));
/// let speaking = participants.iter_mut().filter_map(|p| Some((&mut p.denoise, p.frame.as_mut()?)));
/// batch.process(speaking)?;
/// assert!(participants[2].frame.as_ref().unwrap().speech_probability().is_some());
/// # Ok::<(), voxframe::Error>(())
/// ```
pub struct DenoiseBatch {
    lanes: Box<[LaneMemory]>,
}

/// Memory for the frame of one stream.
struct LaneMemory {
    output: [f32; BLOCK],
    first: Memory,
    second: rnnoise2::Memory,
    #[cfg(feature = "hush")]
    hush: full_band::Memory,
}

impl LaneMemory {
    const NEW: Self = Self {
        output: [0.0; BLOCK],
        first: Memory::NEW,
        second: rnnoise2::Memory::NEW,
        #[cfg(feature = "hush")]
        hush: full_band::Memory::NEW,
    };

    fn all(&mut self) -> (&mut [f32; BLOCK], Memories<'_>) {
        let memories = Memories {
            first: &mut self.first,
            second: Some(&mut self.second),
            #[cfg(feature = "hush")]
            hush: Some(&mut self.hush),
        };
        (&mut self.output, memories)
    }
}

impl DenoiseBatch {
    /// Batch for any number of streams: 0.81 MB. Allocates all it will need.
    pub fn new() -> Self {
        Self { lanes: std::iter::repeat_with(|| LaneMemory::NEW).take(LANES).collect() }
    }

    /// Replaces each frame by what its processor makes of it, as [`Processor::process`](crate::Processor::process) does. A
    /// stream that is not handed in stands still.
    ///
    /// # Errors
    /// [`Error::WrongFormat`](crate::Error::WrongFormat) for the first frame that is not of its processor's format. That frame
    /// and its stream are unchanged; all other streams are processed.
    ///
    /// # Realtime safety
    /// Safe.
    pub fn process<'a>(
        &mut self,
        streams: impl IntoIterator<Item = (&'a mut DenoiseProcessor, &'a mut Frame)>,
    ) -> Result<()> {
        let mut found = Ok(());
        let mut streams = streams.into_iter().fuse().filter_map(|(processor, frame)| match processor.begin(frame) {
            Ok(()) => Some((processor, frame)),
            Err(error) => {
                found = found.and(Err(error));
                None
            }
        });
        loop {
            let lanes = self.lanes.iter_mut().map_while(|memory| {
                let (processor, frame) = streams.next()?;
                let (output, memories) = memory.all();
                Some(Stream::new(processor, frame, output, memories))
            });
            let group = collect::<_, LANES>(lanes);
            if group[0].is_none() {
                break;
            }
            suppress(group);
        }
        drop(streams);
        found
    }
}

impl Default for DenoiseBatch {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for DenoiseBatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DenoiseBatch").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_fits_into_a_second_cache() {
        let bytes = LANES * size_of::<LaneMemory>();
        println!("{bytes} bytes");
        assert!(bytes < 820_000, "{bytes} bytes");
    }
}
