//! Device edges: any length, layout, type, rate and choice of inputs; positions that never run backwards.

mod closures;
mod inputs;
mod positions;
mod slices;
