//! Spectrum and waveform for displays: the Web Audio `AnalyserNode`.

mod analyser;
mod processor;
mod settings;

pub use analyser::Analyser;
pub use processor::SpectrumProcessor;
pub use settings::Spectrum;
