//! Neural networks: the layers they are made of, and one file a network with the data it runs on.

pub mod hush;
mod kernels;
mod layers;
