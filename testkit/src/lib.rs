//! What the tests, benches and examples of voxframe share, one of each: a simulated network, a click metric, a counting
//! allocator, a filter of system calls, WAV files, random numbers, running programs. Not published.
//!
//! It knows the core of voxframe only, because a dependency of the tests cannot follow the features they are built with.

pub mod alloc;
pub mod call;
pub mod click;
pub mod file_kind;
pub mod network;
pub mod packet_trace;
pub mod program;
pub mod random;
pub mod signal;
#[cfg(target_os = "linux")]
pub mod system_calls;
pub mod text;
pub mod wav;
