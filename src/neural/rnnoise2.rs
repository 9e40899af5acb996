//! RNNoise 0.2: noise suppression by gains of 32 bands up to 20 kHz, with one frame of look-ahead and a voice activity
//! output.
//!
//! J.-M. Valin, RNNoise 0.2 (2024), <https://gitlab.xiph.org/xiph/rnnoise>; the method is that of 0.1, the network 30 times
//! as large: two convolutions over time, three gated recurrent units. The large matrices are of 4-bit integers and take
//! inputs of 8 bits; the C library has them as floats and as 8-bit integers.

mod features;
mod network;
mod suppressor;
mod weights;

pub use network::Stream;
pub use suppressor::{Memory, RnNoise2, run};
