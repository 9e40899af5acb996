//! RNNoise 0.1: noise suppression by gains of 22 bands, with a voice activity output.
//!
//! J.-M. Valin, *A Hybrid DSP/Deep Learning Approach to Real-Time Full-Band Speech Enhancement*, MMSP 2018. Ported from
//! the crate nnnoiseless 0.5.2, which has no reset and plans its FFT on every thread; the output is within
//! −60 dB of it.

mod features;
mod network;
mod suppressor;
mod weights;

pub use network::Stream;
pub use suppressor::{FrameFilter, Memory, RnNoise, run};
