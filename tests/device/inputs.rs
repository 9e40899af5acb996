//! Choice of inputs, and channels that cancel.

use voxframe::device::InputSelection;
use voxframe::device::InputSelection::{Average, Channel, Gains, SpeakerDownmix};
use voxframe::level::rms_dbfs;
use voxframe::{Capture, Error, Format, Frame, Handle};

/// A tone at −23.5 dBFS, the level of a voice.
fn voice(index: usize) -> f32 {
    (index as f32 * 0.05).sin() * 0.094_5
}

/// Noise of the same level that has nothing to do with it.
fn noise(index: usize) -> f32 {
    let mixed = (index as u32).wrapping_mul(2_654_435_761).rotate_left(13).wrapping_mul(2_246_822_519);
    (mixed as i32 as f32 / 2_147_483_648.0) * 0.115_7
}

/// Half a second of a device whose channels are told by number.
fn device(channels: usize, sample: impl Fn(usize, usize) -> f32) -> Vec<f32> {
    (0..24_000)
        .flat_map(|index| (0..channels).map(move |channel| (index, channel)))
        .map(|(i, c)| sample(i, c))
        .collect()
}

/// A voice in one of `channels` inputs.
fn one_of(channels: usize, chosen: usize) -> Vec<f32> {
    device(channels, |index, channel| if channel == chosen { voice(index) } else { 0.0 })
}

/// The level in mono frames, in dBFS.
#[track_caller]
fn heard(channels: usize, selection: InputSelection, samples: &[f32]) -> f32 {
    let mut capture = Capture::new(48_000, channels, Format::mono(48_000).unwrap()).unwrap();
    capture.select(selection).unwrap();
    let mut sound = Vec::new();
    capture.push_interleaved(samples, |frame| sound.extend_from_slice(frame.samples())).unwrap();
    rms_dbfs(&sound)
}

#[track_caller]
fn near(level: f32, wanted: f32) {
    assert!((level - wanted).abs() < 0.1, "{level} for {wanted}");
}

#[test]
fn a_voice_is_heard_at_its_level_where_its_input_is_chosen() {
    let fourth = one_of(8, 3);
    near(heard(8, Channel(3), &fourth), -23.5);
    near(heard(8, Average, &fourth), -23.5 - 18.06);
    assert_eq!(heard(8, SpeakerDownmix, &fourth), -120.0, "the channel of low-frequency effects");
    assert_eq!(heard(8, Channel(2), &fourth), -120.0);
    near(heard(2, Average, &one_of(2, 1)), -23.5 - 6.02);
    near(heard(2, SpeakerDownmix, &one_of(2, 1)), -23.5 - 6.02);
    let mut gains = [[0.0; 8]; 2];
    (gains[0][3], gains[0][5]) = (-2.0, 1.0);
    near(heard(8, Gains(gains), &fourth), -23.5 + 6.02);

    let inverted = device(2, |index, channel| if channel == 0 { voice(index) } else { -voice(index) });
    assert_eq!(heard(2, Average, &inverted), -120.0);
    near(heard(2, Channel(1), &inverted), -23.5);
    (gains[0][0], gains[0][1]) = (0.5, -0.5);
    near(heard(2, Gains(gains), &inverted), -23.5);
}

#[test]
fn a_channel_that_the_device_lacks_is_the_mean_and_one_that_no_device_has_is_refused() {
    let input = Handle::new(Channel(5));
    let mut capture = Capture::new(48_000, 2, Format::mono(48_000).unwrap()).unwrap();
    capture.attach(&input).unwrap();
    let mut sound = Vec::new();
    capture.push_interleaved(&one_of(2, 1), |frame| sound.extend_from_slice(frame.samples())).unwrap();
    near(rms_dbfs(&sound), -23.5 - 6.02);
    assert!(matches!(input.update(|input| *input = Channel(8)), Err(Error::OutOfRange { .. })));
    assert!(matches!(capture.select(Channel(8)), Err(Error::OutOfRange { .. })));
    assert!(input.update(|input| *input = Gains([[f32::NAN; 8]; 2])).is_err());
    assert_eq!(input.settings(), Channel(5));
    assert!(capture.attach(&Handle::new(Channel(8))).is_err());
}

/// Reading of the inputs after this sound, with the default selection.
fn reading(channels: usize, samples: &[f32]) -> voxframe::device::InputReading {
    let input = Handle::new(InputSelection::default());
    let mut capture = Capture::new(48_000, channels, Format::mono(48_000).unwrap()).unwrap();
    capture.attach(&input).unwrap();
    for _ in 0..6 {
        capture.push_interleaved(samples, |_| {}).unwrap();
    }
    input.reading()
}

#[test]
fn channels_that_cancel_are_reported_to_another_thread() {
    let pair = |right: fn(usize) -> f32| {
        std::thread::spawn(move || {
            reading(2, &device(2, |index, channel| if channel == 0 { voice(index) } else { right(index) }))
        })
        .join()
        .unwrap()
    };
    let inverted = pair(|index| -voice(index));
    assert_eq!((inverted.cancellation_db, inverted.selected_dbfs), (100.0, -120.0));
    near(inverted.rms_dbfs[0], -23.5);
    near(inverted.rms_dbfs[1], -23.5);
    // An array whose two microphones are not quite the same: half the power of 1 and 0.9² against that of a tenth.
    near(pair(|index| -0.9 * voice(index)).cancellation_db, 22.6);
    near(pair(voice).cancellation_db, -3.0);
    assert!(pair(noise).cancellation_db.abs() < 0.5, "{}", pair(noise).cancellation_db);
    let left = pair(|_| 0.0);
    assert!(left.cancellation_db.abs() < 1e-3);
    assert_eq!((left.loudest(), left.rms_dbfs[1], left.rms_dbfs[7]), (Some(0), -120.0, -120.0));
    near(left.selected_dbfs, -23.5 - 6.02);
    let fourth = reading(8, &one_of(8, 3));
    assert_eq!(fourth.loudest(), Some(3));
    near(fourth.rms_dbfs[3] - fourth.selected_dbfs, 18.06);
}

#[test]
fn silence_and_bad_numbers_tell_nothing() {
    let silent = reading(2, &[0.0; 9600]);
    assert_eq!((silent.cancellation_db, silent.loudest()), (0.0, None));
    let mut samples = device(2, |index, channel| if channel == 0 { voice(index) } else { -voice(index) });
    samples[5] = f32::NAN;
    samples[9000] = f32::INFINITY;
    let told = reading(2, &samples);
    assert!(told.cancellation_db > 20.0 && told.rms_dbfs[1].is_finite());
    near(told.rms_dbfs[0], -23.5);
}

#[test]
fn a_handle_chooses_while_it_runs_without_a_click_and_outlives_captures() {
    let input = Handle::new(Channel(0));
    let mut capture = Capture::new(48_000, 2, Format::mono(48_000).unwrap()).unwrap();
    capture.attach(&input).unwrap();
    let samples = device(2, |_, channel| if channel == 0 { 0.5 } else { -0.5 });
    let mut sound = Vec::new();
    let mut push = |capture: &mut Capture, samples: &[f32]| {
        sound.clear();
        capture.push_interleaved(samples, |frame: &mut Frame| sound.extend_from_slice(frame.samples())).unwrap();
        sound.clone()
    };
    assert!(push(&mut capture, &samples[..2 * 700]).iter().all(|&sample| sample == 0.5));
    input.update(|input| *input = Channel(1)).unwrap();
    // The frame that is half full ends as it began; the next one fades.
    let faded = push(&mut capture, &samples[..2 * 740]);
    assert!(faded[..480].iter().all(|&sample| sample == 0.5));
    let step = faded.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max);
    assert!(step < 1.01 / 480.0, "{step}");
    assert_eq!(faded[959], -0.5);
    assert!(push(&mut capture, &samples[..2 * 480]).iter().all(|&sample| sample == -0.5));

    let mut other = Capture::new(48_000, 2, Format::mono(48_000).unwrap()).unwrap();
    other.attach(&input).unwrap();
    input.update(|input| *input = Average).unwrap();
    assert!(push(&mut capture, &samples[..2 * 480]).iter().all(|&sample| sample == -0.5), "no longer obeys");
    drop(capture);
    assert!(push(&mut other, &samples[..2 * 960]).iter().all(|&sample| sample == 0.0));
    assert!(input.reading().cancellation_db > 99.0);
    other.reset();
    assert_eq!(input.reading().cancellation_db, 0.0);
    assert!(push(&mut other, &samples[..2 * 480]).iter().all(|&sample| sample == 0.0));
}
