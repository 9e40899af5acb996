//! Networks of other libraries, on noisy speech.

use std::ffi::c_void;
use std::hint::black_box;
use std::path::Path;
use std::ptr::{null, null_mut};
use std::sync::Arc;

use earshot::Detector;
use hush_vani::{Hush, HushStream};
use libloading::Library;
use voxframe::Format;

use crate::cases::{Case, recording};

/// Samples in a frame of earshot, 16 ms.
const EARSHOT: usize = 256;

pub fn add(cases: &mut Vec<Case>, format: Format, rnnoise: Option<&Path>) {
    let wide_band = Format::mono(16_000).unwrap();
    cases.push(Case::new("earshot", wide_band, earshot));
    cases.push(Case::new("hush-vani", wide_band, hush_vani));
    if let Some(path) = rnnoise {
        // SAFETY: loading it runs nothing.
        let library =
            Arc::new(unsafe { Library::new(path) }.unwrap_or_else(|error| panic!("{}: {error}", path.display())));
        for (what, weights) in [("rnnoise-0.2-c", Weights::AsBuilt), ("rnnoise-0.2-c-int8", Weights::Integers)] {
            let library = Arc::clone(&library);
            cases.push(Case::new(what, format, move |format| rnnoise_c(format, Arc::clone(&library), weights)));
        }
    }
}

/// The detector whenever a frame of its length is there.
fn earshot(format: Format) -> impl FnMut() {
    let mut frames = recording(format);
    let mut detector = Detector::default_boxed();
    let mut waiting = Vec::with_capacity(2 * EARSHOT);
    move || {
        waiting.extend_from_slice(black_box(frames.next()).samples());
        if waiting.len() >= EARSHOT {
            black_box(detector.predict_f32(&waiting[..EARSHOT]));
            waiting.drain(..EARSHOT);
        }
    }
}

fn hush_vani(format: Format) -> impl FnMut() {
    let mut frames = recording(format);
    let mut stream = HushStream::new(Arc::new(Hush::new().unwrap()));
    let mut out = [0.0; Hush::FRAME_SAMPLES];
    move || {
        stream.process_frame(black_box(frames.next()).samples(), &mut out);
        black_box(&mut out);
    }
}

/// Which of its two sets of weights the C library computes with.
#[derive(Clone, Copy, PartialEq)]
enum Weights {
    /// Floats, which it prefers where both are built in.
    AsBuilt,
    /// 8-bit integers, as where it is built without floats.
    Integers,
}

/// A state of the C library of RNNoise 0.2.
struct RnnoiseC {
    library: Arc<Library>,
    state: *mut c_void,
    process: unsafe extern "C" fn(*mut c_void, *mut f32, *const f32) -> f32,
}

impl RnnoiseC {
    fn new(library: Arc<Library>, weights: Weights) -> Self {
        // SAFETY: the signatures are those of its header.
        unsafe {
            let create: unsafe extern "C" fn(*const c_void) -> *mut c_void = *library.get(b"rnnoise_create").unwrap();
            let process = *library.get(b"rnnoise_process_frame").unwrap();
            let state = create(null());
            assert!(!state.is_null());
            if weights == Weights::Integers {
                take_floats_away(state);
            }
            Self { library, state, process }
        }
    }

    fn process(&mut self, out: &mut [f32; 480], input: &[f32; 480]) -> f32 {
        // SAFETY: the state is valid, and a frame has 480 samples.
        unsafe { (self.process)(self.state, out.as_mut_ptr(), input.as_ptr()) }
    }
}

impl Drop for RnnoiseC {
    fn drop(&mut self) {
        // SAFETY: the signature is that of its header, and nothing uses the state any more.
        unsafe {
            let destroy: unsafe extern "C" fn(*mut c_void) = *self.library.get(b"rnnoise_destroy").unwrap();
            destroy(self.state);
        }
    }
}

/// As `scripts/rnnoise2-reference.py`: the state begins with ten layers, each of pointers to its weights.
///
/// # Safety
/// `state` is one of the library that `scripts/peers` fetches.
unsafe fn take_floats_away(state: *mut c_void) {
    const LAYERS: usize = 10;
    const LAYER_BYTES: usize = 0x40;
    const INTEGERS: usize = 0x10;
    const FLOATS: usize = 0x18;
    for layer in 0..LAYERS {
        // SAFETY: within the state, by the caller's promise.
        unsafe {
            let at = |offset| state.byte_add(layer * LAYER_BYTES + offset).cast::<*mut c_void>();
            if !(*at(INTEGERS)).is_null() {
                *at(FLOATS) = null_mut();
            }
        }
    }
}

fn rnnoise_c(format: Format, library: Arc<Library>, weights: Weights) -> impl FnMut() {
    let frames = recording(format).items;
    // The scale of 16-bit integers.
    let frames: Vec<[f32; 480]> =
        frames.iter().map(|frame| std::array::from_fn(|index| 32_768.0 * frame.samples()[index])).collect();
    let mut network = RnnoiseC::new(library, weights);
    let mut out = [0.0; 480];
    let mut next = 0;
    move || {
        next = (next + 1) % frames.len();
        black_box(network.process(&mut out, black_box(&frames[next])));
        black_box(&mut out);
    }
}
