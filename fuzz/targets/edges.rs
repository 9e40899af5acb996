//! Device edges of any rate and number of channels, with buffers of any length and type: positions run on, sound is finite,
//! and as much is there as is said.
#![no_main]

use arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use voxframe::device::MAX_DEVICE_CHANNELS;
use voxframe::{Capture, Error, Format, Frame, Playout};

fn rate(u: &mut Unstructured<'_>) -> Result<u32> {
    Ok(match u.int_in_range(0..=9)? {
        0 => u.arbitrary()?,
        1 => u.int_in_range(8_000..=192_000)?,
        _ => *u.choose(&[48_000, 8_000, 11_025, 16_000, 22_050, 44_056, 44_100, 96_000, 192_000, 7_999, 192_001])?,
    })
}

fn run(data: &[u8]) -> Result<()> {
    let u = &mut Unstructured::new(data);
    let format = Format::new(*u.choose(&[48_000, 8_000, 16_000, 44_100, 192_000])?, u.int_in_range(1..=2)?)
        .and_then(|format| format.with_frame_ms(if u.arbitrary().unwrap_or(false) { 20 } else { 10 }))
        .expect("valid");
    let (rate_in, rate_out) = (rate(u)?, rate(u)?);
    let (channels_in, channels_out) = (u.int_in_range(0..=MAX_DEVICE_CHANNELS + 1)?, u.int_in_range(0..=9)?);
    let (capture, playout) = (Capture::new(rate_in, channels_in, format), Playout::new(format, rate_out, channels_out));
    let is_device =
        |rate_hz, channels| (8_000..=192_000).contains(&rate_hz) && (1..=MAX_DEVICE_CHANNELS).contains(&channels);
    assert_eq!(capture.is_ok(), is_device(rate_in, channels_in), "{rate_in} {channels_in}");
    assert_eq!(playout.is_ok(), is_device(rate_out, channels_out), "{rate_out} {channels_out}");
    let (Ok(mut capture), Ok(mut playout)) = (capture, playout) else { return Ok(()) };
    let mut position = -(capture.latency() as i64);
    while !u.is_empty() {
        let length = match u.int_in_range(0..=3)? {
            0 => 0,
            1 => u.int_in_range(1..=9_000)?,
            _ => rate_in as usize / 100,
        };
        let ragged = usize::from(u.ratio(1, 16)?);
        let odd = f32::from_bits(u.arbitrary()?);
        let floats: Vec<f32> =
            (0..length * channels_in + ragged).map(|i| if i % 7 == 3 { odd } else { (i as f32 * 0.1).sin() }).collect();
        let mut frames: Vec<Frame> = Vec::new();
        let each = |frame: &mut Frame| frames.push(frame.clone());
        let pushed = if u.arbitrary()? {
            let shorts: Vec<i16> = floats.iter().map(|sample| (sample * 32_767.0) as i16).collect();
            capture.push_interleaved(&shorts[..], each)
        } else {
            capture.push_interleaved(&floats[..], each)
        };
        let is_whole = (length * channels_in + ragged) % channels_in == 0;
        assert!(pushed.is_ok() || !is_whole && matches!(pushed, Err(Error::WrongLength { .. })), "{pushed:?}");
        for frame in &mut frames {
            assert!(frame.samples().iter().all(|sample| sample.is_finite()));
            assert_eq!(frame.position(), position);
            position += format.samples_per_channel() as i64;
            let pushed = playout.push(frame);
            assert!(pushed.is_ok() || pushed == Err(Error::Full), "{pushed:?}");
        }
        let (before, wanted) = (playout.available(), u.int_in_range(0..=9_000)?);
        let mut out = vec![f32::NAN; wanted * channels_out];
        let there = playout.pull_interleaved(&mut out[..]).expect("whole");
        assert_eq!(there, wanted.min(before));
        assert!(out.iter().all(|sample| sample.is_finite()));
        if u.ratio(1, 20)? {
            capture.reset();
            position = -(capture.latency() as i64);
        }
        if u.ratio(1, 20)? {
            playout.reset();
        }
    }
    Ok(())
}

fuzz_target!(|data: &[u8]| {
    let _ = run(data);
});
