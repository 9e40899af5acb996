//! The limiter against true-peak meters that share nothing with it: the one printed in ITU-R BS.1770-4, annex 2, and a
//! long sinc at 16 points a sample.

use proptest::prelude::*;
use voxframe::{Format, Frame, Limiter, Processor, Stage};
use voxframe_testkit::random::Random;
use voxframe_testkit::wav::fixture;

/// The table of BS.1770-4, annex 2: a row a tap, a column a phase.
#[rustfmt::skip]
const BS_1770: [[f64; 4]; 12] = [
    [0.0017089843750, -0.0291748046875, -0.0189208984375, -0.0083007812500],
    [0.0109863281250, 0.0292968750000, 0.0330810546875, 0.0148925781250],
    [-0.0196533203125, -0.0517578125000, -0.0582275390625, -0.0266113281250],
    [0.0332031250000, 0.0891113281250, 0.1015625000000, 0.0476074218750],
    [-0.0594482421875, -0.1665039062500, -0.2003173828125, -0.1022949218750],
    [0.1373291015625, 0.4650878906250, 0.7797851562500, 0.9721679687500],
    [0.9721679687500, 0.7797851562500, 0.4650878906250, 0.1373291015625],
    [-0.1022949218750, -0.2003173828125, -0.1665039062500, -0.0594482421875],
    [0.0476074218750, 0.1015625000000, 0.0891113281250, 0.0332031250000],
    [-0.0266113281250, -0.0582275390625, -0.0517578125000, -0.0196533203125],
    [0.0148925781250, 0.0330810546875, 0.0292968750000, 0.0109863281250],
    [-0.0083007812500, -0.0189208984375, -0.0291748046875, 0.0017089843750],
];

/// Found by a search for what gets past a limiter whose gain falls within 8 samples: 0.44 dB.
#[rustfmt::skip]
const FOUND: [f64; 40] = [
    4.8, 2.5, 3.8, -5.8, 6.6, -5.2, 3.0, -4.4, 7.0, -6.7, 2.6, -6.6, 6.6, -7.2, 7.4, -7.4, 7.2, -6.8, 10.5, 15.4,
    -5.7, -8.7, 15.8, -15.8, 15.8, -15.8, 5.9, -14.1, 15.8, 15.8, -15.8, 15.8, -15.8, 15.8, -15.8, 15.8, -15.8, 15.8,
    -15.8, 15.8,
];

/// Full scale of the tests: +24 dBFS.
const LOUD: f64 = 15.848_931_924_611_133;

fn db(magnitude: f64) -> f64 {
    20.0 * magnitude.log10()
}

/// The highest magnitude that FIR filters, each a list of taps in convolution order, make of some samples; the samples
/// themselves count too.
fn highest(filters: &[Vec<f64>], samples: &[f32]) -> f64 {
    let longest = filters.iter().map(Vec::len).max().unwrap();
    let mut padded = vec![0.0; longest];
    padded.extend(samples.iter().map(|&s| f64::from(s)));
    padded.extend(vec![0.0; longest]);
    let mut highest = padded.iter().fold(0.0, |most: f64, s| most.max(s.abs()));
    for taps in filters {
        for window in padded.windows(taps.len()) {
            let sum: f64 = window.iter().rev().zip(taps).map(|(s, t)| s * t).sum();
            highest = highest.max(sum.abs());
        }
    }
    highest
}

fn bs_1770(samples: &[f32]) -> f64 {
    let phases: Vec<Vec<f64>> = (0..4).map(|phase| BS_1770.iter().map(|row| row[phase]).collect()).collect();
    db(highest(&phases, samples))
}

/// By a sinc of 64 taps (Blackman window) at 16 points a sample.
fn fine(samples: &[f32]) -> f64 {
    use std::f64::consts::PI;
    const HALF: f64 = 32.0;
    let phase = |k: usize| -> Vec<f64> {
        let taps = (0..64).map(|i| {
            let t = i as f64 - HALF + k as f64 / 16.0;
            let sinc = if t == 0.0 { 1.0 } else { (PI * t).sin() / (PI * t) };
            sinc * (0.42 + 0.5 * (PI * t / HALF).cos() + 0.08 * (2.0 * PI * t / HALF).cos())
        });
        taps.collect()
    };
    db(highest(&(0..16).map(phase).collect::<Vec<_>>(), samples))
}

/// All of what comes out, to the last sample of `input` and its ringing.
fn limit(limiter: &mut impl Processor<Input = Frame, Output = Frame>, input: &[f64]) -> Vec<f32> {
    let format = limiter.input_format();
    let length = format.samples_per_channel();
    let mut out = Vec::new();
    let total = (input.len() + limiter.latency() + 64).next_multiple_of(length);
    for start in (0..total).step_by(length) {
        let mut frame = Frame::new(format);
        for channel in frame.channels_mut() {
            for (i, s) in channel.iter_mut().enumerate() {
                *s = input.get(start + i).map_or(0.0, |&s| s as f32);
            }
        }
        out.extend_from_slice(limiter.process(&mut frame).unwrap().unwrap().channels().next().unwrap());
    }
    out
}

fn noise(seed: u64) -> impl FnMut() -> f64 {
    let mut random = Random::new(seed);
    move || random.white()
}

/// What limiters are known to fail on, `length` samples each, at +24 dBFS.
fn worst_cases(length: usize) -> Vec<(String, Vec<f64>)> {
    use std::f64::consts::{FRAC_PI_4, TAU};
    let mut cases = Vec::new();
    let mut add = |name: &str, sample: &mut dyn FnMut(usize) -> f64| {
        cases.push((name.to_owned(), (0..length).map(|i| LOUD * sample(i)).collect()));
    };
    add("sine at fs/4, 45°", &mut |i| (TAU / 4.0 * i as f64 + FRAC_PI_4).sin());
    for hz in [0.01, 0.1, 0.24, 0.3, 1.0 / 3.0, 0.4] {
        let quiet_first = |i: usize| if i < length / 2 { 0.01 } else { 1.0 };
        add(&format!("burst at {hz} fs"), &mut |i| quiet_first(i) * (TAU * hz * i as f64 + 0.3).sin());
    }
    let mut random = noise(1);
    add("white noise", &mut |_| random());
    let mut random = noise(2);
    add("clipped noise", &mut |_| (3.0 * random()).clamp(-1.0, 1.0));
    let mut random = noise(3);
    add("random signs", &mut |_| random().signum());
    let mut random = noise(4);
    add("any level", &mut |_| random().signum() * 10f64.powf(random() - 1.0));
    let mut random = noise(5);
    add("sparse impulses", &mut |_| if random() > 0.9 { random().signum() } else { 0.0 });
    add("alternating impulses", &mut |i| if i % 37 == 0 { 1.0 - 2.0 * ((i / 37) % 2) as f64 } else { 0.0 });
    add("alternating runs", &mut |i| if i % 50 < 25 { 1.0 - 2.0 * (i % 2) as f64 } else { 0.0 });
    for period in [2, 3, 5, 8, 100, 441] {
        add(&format!("square of {period}"), &mut |i| if i % period < period.div_ceil(2) { 1.0 } else { -1.0 });
    }
    for growth in [0.02, 0.1, 0.5] {
        let level = |i: usize| (growth * (i as f64 - length as f64 / 2.0)).min(0.0).exp();
        add(&format!("growing by {growth}"), &mut |i| level(i) * (TAU / 4.0 * i as f64 + FRAC_PI_4).sin());
    }
    // The signs of the filter's own taps, which give the largest gain it has.
    let mut random = noise(6);
    let mut level = 1.0;
    add("matched", &mut |i| {
        if i % 16 == 0 {
            level = 10f64.powf(0.6 * (random() - 1.0));
        }
        if i % 16 < 12 { level * BS_1770[i % 16][1].signum() } else { 0.0 }
    });
    add("found", &mut |i| FOUND.get(i % 200).unwrap_or(&0.0) / LOUD);
    cases
}

#[test]
fn nothing_reads_more_than_the_ceiling_at_any_rate() {
    for (rate_hz, lookahead_ms) in
        [(8_000, 1.0), (8_000, 5.0), (16_000, 1.0), (44_100, 1.0), (48_000, 5.0), (192_000, 1.0)]
    {
        for (name, input) in worst_cases(1200) {
            let settings = Limiter { lookahead_ms, ..Limiter::default() };
            let mut limiter = settings.prepare(Format::mono(rate_hz).unwrap()).unwrap();
            let peak = bs_1770(&limit(&mut limiter, &input));
            assert!(peak < -0.9, "{name}, {rate_hz} Hz, {lookahead_ms} ms: {peak:.3} dBTP");
        }
    }
}

/// Takes away what lies above 0.42 of the sampling rate, where true peaks are a matter of opinion.
fn band_limited(input: &[f64]) -> Vec<f64> {
    use std::f64::consts::{PI, TAU};
    let taps: Vec<f64> = (-100i32..=100)
        .map(|i| {
            let t = f64::from(i);
            let sinc = if i == 0 { 0.84 } else { (0.84 * PI * t).sin() / (PI * t) };
            sinc * (0.42 + 0.5 * (TAU * t / 202.0).cos() + 0.08 * (2.0 * TAU * t / 202.0).cos())
        })
        .collect();
    let mut padded = vec![0.0; 200];
    padded.extend(input);
    padded.extend(vec![0.0; 200]);
    padded.windows(201).map(|window| window.iter().zip(&taps).map(|(s, t)| s * t).sum()).collect()
}

#[test]
fn a_sixteenfold_meter_agrees_up_to_20_khz() {
    for (rate_hz, lookahead_ms) in [(48_000, 1.0), (8_000, 1.0)] {
        for (name, input) in worst_cases(600) {
            let settings = Limiter { lookahead_ms, ..Limiter::default() };
            let mut limiter = settings.prepare(Format::mono(rate_hz).unwrap()).unwrap();
            let peak = fine(&limit(&mut limiter, &band_limited(&input)));
            assert!((-1.25..-0.9).contains(&peak), "{name}, {rate_hz} Hz, {lookahead_ms} ms: {peak:.3} dBTP");
        }
    }
}

#[test]
fn speech_24_db_too_loud_stays_under_the_ceiling() {
    let speech: Vec<f64> = fixture("speech_clean.wav")[0][30_000..48_000].iter().map(|&s| f64::from(s)).collect();
    let peak = speech.iter().fold(0.0, |most: f64, s| most.max(s.abs()));
    for clip in [f64::INFINITY, 0.1] {
        let input: Vec<f64> = speech.iter().map(|s| (s / peak).clamp(-clip, clip) / clip.min(1.0) * LOUD).collect();
        for ceiling_db in [-1.0, -12.0] {
            let mut limiter = Limiter::db(ceiling_db).prepare(Format::mono(48_000).unwrap()).unwrap();
            let out = limit(&mut limiter, &input);
            let (standard, fine) = (bs_1770(&out) - f64::from(ceiling_db), fine(&out) - f64::from(ceiling_db));
            assert!((-0.1..0.1).contains(&standard) && fine < 0.1, "{standard:.3} and {fine:.3} dB over {ceiling_db}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// Pieces of impulses, signs, tones and noise at any level up to +24 dBFS.
    #[test]
    fn no_input_gets_past(
        rate_hz in prop::sample::select(vec![8_000u32, 16_000, 32_000, 48_000]),
        lookahead_ms in prop::sample::select(vec![1.0f32, 2.5, 5.0]),
        release_ms in 1.0f32..200.0,
        frame_ms in prop::sample::select(vec![10u32, 20]),
        channels in 1..=2usize,
        pieces in prop::collection::vec((0..5, 1..120usize, -40.0f64..24.0, 0.0f64..0.5, any::<u32>()), 1..12),
    ) {
        let mut input = Vec::new();
        for (kind, length, level_db, hz, seed) in pieces {
            let level = 10f64.powf(level_db / 20.0);
            let mut random = noise(seed.into());
            input.extend((0..length).map(|i| level * match kind {
                0 => random(),
                1 => random().signum(),
                2 => (std::f64::consts::TAU * (hz * i as f64 + f64::from(seed) / 4e9)).sin(),
                3 => if i == 0 { 1.0 } else { 0.0 },
                _ => 1.0 - 2.0 * (i % 2) as f64,
            }));
        }
        let settings = Limiter { lookahead_ms, release_ms, ..Limiter::default() };
        let format = Format::new(rate_hz, channels).unwrap().with_frame_ms(frame_ms).unwrap();
        let mut limiter = settings.prepare(format).unwrap();
        let peak = bs_1770(&limit(&mut limiter, &input));
        prop_assert!(peak < -0.9, "{peak:.3} dBTP");
    }
}
