//! Hush: speech enhancement in the manner of DeepFilterNet (Schröter et al., ICASSP 2022), the model by Weya AI.

mod feature_map;
mod features;
mod network;
mod tensors;

pub use features::{BANDS, BINS, FILTERED, spread};
pub use network::{Hush, Memory, Stream, run};
#[cfg(test)]
pub use tensors::tests::for_hush_vani;
