//! Any profile, any sound, and settings and profiles that change meanwhile: an uplink never fails, and its packets follow each
//! other.
#![no_main]

use arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use voxframe::call::{Controls, ProfileKind};
use voxframe::echo::far_end;
use voxframe::{Format, Frame, OpusDecode, Processor, Profile, Stage};

/// Any number, most often one within the bounds.
fn number(u: &mut Unstructured<'_>, min: f32, max: f32) -> Result<f32> {
    Ok(match u.int_in_range(0..=15)? {
        0 => f32::from_bits(u.arbitrary()?),
        1 => min,
        2 => max,
        3 => f32::NAN,
        4 => max.next_up(),
        _ => min + (max - min) * u.int_in_range(0..=1000u16)? as f32 / 1000.0,
    })
}

fn profile(u: &mut Unstructured<'_>) -> Result<Profile> {
    let mut profile = Profile::from(*u.choose(&ProfileKind::ALL)?);
    profile.sample_rate_hz = *u.choose(&[48_000, 8_000, 12_000, 16_000, 24_000, 44_100, 5])?;
    profile.opus.packet_ms = *u.choose(&[20.0, 2.5, 10.0, 60.0, 120.0, 7.0])?;
    profile.opus.bitrate_bps = u.int_in_range(5_000..=600_000)?;
    profile.opus.dtx = u.arbitrary()?;
    profile.denoise = if u.ratio(1, 4)? { profile.denoise } else { None };
    profile.echo_cancel = if u.arbitrary()? { profile.echo_cancel } else { None };
    profile.high_pass = if u.ratio(3, 4)? { profile.high_pass } else { None };
    profile.auto_gain = if u.arbitrary()? { profile.auto_gain } else { None };
    profile.gate = if u.ratio(3, 4)? { profile.gate } else { None };
    if let Some(gate) = &mut profile.gate {
        (gate.floor_db, gate.lookahead_ms) = (number(u, -120.0, 0.0)?, number(u, 0.0, 100.0)?);
    }
    profile.limiter = if u.ratio(3, 4)? { profile.limiter } else { None };
    if let Some(limiter) = &mut profile.limiter {
        limiter.lookahead_ms = *u.choose(&[0.0, 1.0, 5.0, 20.0, 21.0])?;
    }
    profile.gain.gain_db = number(u, -60.0, 60.0)?;
    Ok(profile)
}

fn fill(frame: &mut Frame, kind: u8, index: i64) {
    let length = frame.format().samples_per_channel();
    for (i, sample) in frame.samples_mut().iter_mut().enumerate() {
        let t = (index * length as i64 + (i % length) as i64) as f32;
        let noise = (i as u32 ^ index as u32).wrapping_mul(2_654_435_761) as f32 / u32::MAX as f32 - 0.5;
        *sample = match kind % 8 {
            0 => 0.0,
            1 => 0.3 * (t * 0.05).sin() * (t * 0.0003).sin(),
            2 => noise,
            3 => f32::NAN,
            4 => 1e30 * noise,
            5 => f32::from_bits(noise.to_bits() & 0x7f_ffff),
            6 => 32_768.0 * (t * 0.3).sin(),
            _ => 1.0,
        };
    }
}

fn change(u: &mut Unstructured<'_>, controls: &Controls) -> Result<()> {
    let value = number(u, -100.0, 100.0)?;
    let _ = match u.int_in_range(0..=8)? {
        0 => controls.gain.update(|gain| gain.gain_db = value),
        1 => controls.gate.update(|gate| (gate.floor_db, gate.open_db) = (value, value)),
        2 => controls.high_pass.update(|high_pass| high_pass.cutoff_hz = 300.0 + value),
        3 => controls.auto_gain.update(|auto_gain| auto_gain.target_dbov = value),
        4 => controls.limiter.update(|limiter| limiter.ceiling_db = value),
        5 => controls.denoise.update(|denoise| denoise.suppression_db = value),
        6 => controls.opus.update(|opus| (opus.fec, opus.loss_percent) = (true, value as u8)),
        7 => controls.opus.update(|opus| opus.packet_ms = if value > 0.0 { 20.0 } else { 10.0 }),
        _ => controls.switch(profile(u)?),
    };
    Ok(())
}

fn run(data: &[u8]) -> Result<()> {
    let u = &mut Unstructured::new(data);
    let format = Format::new(*u.choose(&[48_000, 8_000, 16_000, 44_100, 192_000])?, u.int_in_range(1..=2)?)
        .and_then(|format| format.with_frame_ms(if u.ratio(1, 4).unwrap_or(false) { 20 } else { 10 }))
        .expect("valid");
    let first = profile(u)?;
    let (mut far_end, reference) = far_end(format);
    let controls = Controls::new(&first);
    let controls = if u.arbitrary()? { controls.with_far_end(&reference) } else { controls };
    let Ok(mut uplink) = first.uplink_with(format, &controls) else { return Ok(()) };
    let mut decoder =
        OpusDecode::default().prepare(Format::new(48_000, format.channels()).expect("valid")).expect("valid");
    let (mut frame, mut far, mut next) = (Frame::new(format), Frame::new(format), None);
    let mut index = 0;
    while !u.is_empty() && index < 600 {
        let (kind, far_kind): (u8, u8) = (u.arbitrary()?, u.arbitrary()?);
        for _ in 0..u.int_in_range(1..=30)? {
            fill(&mut frame, kind, index);
            fill(&mut far, far_kind, index);
            for frame in [&mut frame, &mut far] {
                frame.set_position(index * format.samples_per_channel() as i64);
                frame.clear_detections();
            }
            index += 1;
            far_end.push(&far).expect("of its format");
            let Some(packet) = uplink.process(&mut frame).expect("frames are never refused") else { continue };
            // Rounded to ticks of 48 kHz.
            let gap = next.map_or(0, |next: i64| packet.position() - next);
            assert!(gap.abs() <= 1, "a gap of {gap}");
            next = Some(packet.position() + i64::from(packet.duration()));
            while !packet.is_empty() {
                let heard = decoder.process(packet).expect("what was encoded can be decoded");
                assert!(heard.is_none_or(|frame| frame.samples().iter().all(|sample| sample.is_finite())));
            }
        }
        if u.ratio(1, 2)? {
            change(u, &controls)?;
        }
        if u.ratio(1, 20)? {
            uplink.reset();
            next = None;
        }
        assert!(!controls.meter.reading().rms_dbfs(0).is_nan() && !controls.auto_gain.reading().gain_db.is_nan());
    }
    Ok(())
}

fuzz_target!(|data: &[u8]| {
    let _ = run(data);
});
