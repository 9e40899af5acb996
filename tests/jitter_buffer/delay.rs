//! The delay: as short as the network allows, whatever the clocks.

use voxframe::{JitterBuffer, OpusDecode, OpusEncode};
use voxframe_testkit::network::{Arrival, Network};
use voxframe_testkit::random::noise;
use voxframe_testkit::signal::{self, level};

use super::stream::Ends;
use super::{SPEECH, call, encode, format, mean, packets, run};

#[test]
fn without_trouble_it_is_the_decoder() {
    let (sound, log, last) = run(300, &Network::default(), JitterBuffer::default());
    assert_eq!(
        (last.packets_received, last.packets_missing, last.packets_late, last.packets_duplicated, last.stream_restarts),
        (300, 0, 0, 0, 0)
    );
    let (speech, _) = &*SPEECH;
    // Settled: 20 ms packet, one frame of slack.
    let delay = mean(log[400..590].iter().map(|l| l.0));
    assert!((25.0..45.0).contains(&delay), "{delay} ms");
    let late = signal::delay(&speech[32_000..48_000], &sound[32_000..], 2000);
    let wanted = (delay * 16.0) as i64;
    assert!((late - wanted).abs() < 160, "{late} samples late, {wanted} told");
    let change = level(&sound[32_000..72_000]) - level(&speech[32_000..72_000]);
    assert!(change.abs() < 1.0, "{change} dB");
    assert!(last.concealed_ms < 600.0 && last.packet_loss_rate == 0.0, "{last:?}");
}

#[test]
fn the_delay_follows_the_jitter_up_and_down() {
    let target = |jitter_ms: f64| {
        let network = Network { jitter_ms, ..Network::default() };
        let (_, log, last) = run(1500, &network, JitterBuffer::default());
        assert!(last.packets_late * 200 < last.packets_received, "{jitter_ms} ms: {last:?}");
        assert_eq!(last.packets_flushed, 0);
        mean(log[1000..].iter().map(|l| l.1.jitter_buffer_delay_ms.into()))
    };
    let delays = [0.0, 30.0, 60.0, 120.0].map(target);
    println!("waiting at jitter 0, 30, 60, 120 ms: {delays:.0?}");
    assert!(delays.windows(2).all(|d| d[0] + 10.0 < d[1]), "{delays:?}");
    assert!(delays[0] < 25.0 && delays[3] < 160.0, "{delays:?}");
}

#[test]
fn a_spike_is_played_late_not_lost_and_over_in_seconds() {
    // After half a minute it is known to be rare.
    let network = Network { stalls: vec![(30_000.0, 300.0)], ..Network::default() };
    let (_, log, last) = run(2000, &network, JitterBuffer::default());
    assert_eq!((last.packets_late, last.packets_missing, last.packets_flushed), (0, 0, 0), "{last:?}");
    let before = log[2980].0;
    let most = log[3000..3100].iter().map(|l| l.0).fold(0.0, f64::max);
    assert!(most > before + 200.0, "{before} → {most} ms");
    let after = log[3500].0;
    assert!(after < before + 20.0, "{before} → {after} ms after 5 s");
    assert!(last.removed_for_acceleration_ms > 200.0);
}

/// Wi-Fi to LTE, a VPN: from one packet on all come later.
#[test]
fn a_step_in_latency_costs_its_own_length_once() {
    let cut_before = run(1000, &Network::default(), JitterBuffer::default()).2.removed_for_acceleration_ms;
    for step_ms in [40.0, 80.0, 200.0, 600.0] {
        let network = Network { step: Some((6000.0, step_ms)), ..Network::default() };
        let (_, log, last) = run(1000, &network, JitterBuffer::default());
        let filled = last.concealed_ms + last.comfort_noise_ms - 60.0;
        let cut = last.removed_for_acceleration_ms - cut_before;
        println!("step of {step_ms} ms: filled in {filled:.0}, cut {cut:.0} ms");
        assert!((filled - step_ms).abs() <= 40.0 && cut <= 10.0, "{step_ms}: filled in {filled}, cut {cut} ms");
        assert_eq!((last.packets_flushed, last.packets_late, last.stream_restarts), (0, 0, 0), "{last:?}");
        let late = log[1500].0 - log[500].0;
        assert!((late - step_ms).abs() < 30.0, "{step_ms}: {late} ms");
    }
}

/// Push-to-talk, some PBXs: in pauses nothing is captured, and timestamps stand still.
#[test]
fn timestamps_that_stand_still_in_pauses_are_a_pause() {
    let pauses = |stands: bool| {
        let mut ends = Ends::new(JitterBuffer::default());
        let (mut timestamp, mut sequence, mut worst) = (0u32, 0u16, 0.0f32);
        for index in 0..3000u32 {
            let is_pause = index % 150 >= 120;
            if !is_pause {
                ends.push(sequence.into(), sequence, timestamp, 1);
                sequence += 1;
            }
            timestamp += if is_pause && stands { 0 } else { 960 };
            ends.pull();
            if !is_pause && index > 500 {
                worst = worst.max(ends.reading().jitter_buffer_target_delay_ms);
            }
        }
        (worst, ends.reading())
    };
    let (advancing, _) = pauses(false);
    let (standing, last) = pauses(true);
    println!("target {advancing} ms, {standing} where they stand still; {last:?}");
    assert!(standing <= advancing + 40.0, "{advancing} and {standing} ms");
    // The cut at the start, and nothing after it.
    assert!(last.removed_for_acceleration_ms < 60.0 && last.packets_missing == 0, "{last:?}");
}

/// An hour of call: ±200 ppm, a stall of 5 s in the middle.
#[test]
fn for_an_hour_the_level_stays_where_it_is() {
    for drift_ppm in [200.0, -200.0] {
        let network = Network { drift_ppm, jitter_ms: 20.0, stalls: vec![(1_800_000.0, 5000.0)], ..Network::default() };
        let (mut worst, mut after_stall, mut filled) = ((f32::MAX, f32::MIN), None, 0.0);
        let last = call(&packets(180_000), &network, JitterBuffer::default(), format(), |heard| {
            let reading = heard.reading;
            let stall = (1_800_000.0..1_810_000.0).contains(&heard.now_ms);
            if heard.now_ms > 5000.0 && !stall {
                worst = (worst.0.min(reading.jitter_buffer_delay_ms), worst.1.max(reading.jitter_buffer_delay_ms));
            }
            if heard.now_ms == 1_800_000.0 {
                filled = reading.concealed_ms;
            }
            if heard.now_ms == 1_810_000.0 {
                after_stall = Some(reading.jitter_buffer_delay_ms);
            }
        })
        .unwrap();
        println!("{drift_ppm} ppm: waiting {worst:?} ms, {last:?}");
        assert!(worst.0 > -10.0 && worst.1 < 100.0, "{worst:?}");
        assert!(after_stall.unwrap() < 60.0);
        // 720 ms were stretched away, whatever else.
        let drifted = last.removed_for_acceleration_ms - last.inserted_for_deceleration_ms;
        assert!(if drift_ppm > 0.0 { drifted > 0.0 } else { last.inserted_for_deceleration_ms > 300.0 }, "{last:?}");
        assert!(filled < 5000.0, "{filled} ms concealed in half an hour");
        assert_eq!(last.stream_restarts, 0);
        assert!(last.packets_late * 1000 < last.packets_received, "{last:?}");
    }
}

/// Ten minutes at the most that clocks of sound cards differ by.
#[test]
fn clocks_may_differ_by_300_ppm() {
    for drift_ppm in [300.0, -300.0] {
        let network = Network { drift_ppm, jitter_ms: 10.0, ..Network::default() };
        let (_, log, last) = run(30_000, &network, JitterBuffer::default());
        let delays = || log[500..].iter().map(|l| l.1.jitter_buffer_delay_ms);
        let (least, most) = (delays().fold(f32::MAX, f32::min), delays().fold(0.0, f32::max));
        println!("{drift_ppm} ppm: waiting {least} to {most} ms, {last:?}");
        assert!(most < 60.0 && least > 0.0, "{least} to {most} ms");
        // 180 ms too many, or too few; before the first packet there was noise.
        let before =
            log.iter().take_while(|l| l.1.jitter_buffer_delay_ms == 0.0).last().map_or(0.0, |l| l.1.comfort_noise_ms);
        let filled = last.inserted_for_deceleration_ms + last.concealed_ms + last.comfort_noise_ms - before;
        let gone = last.removed_for_acceleration_ms - filled;
        assert!((gone - drift_ppm * 0.6).abs() < 30.0, "{gone} ms gone");
        assert!(last.concealed_ms < 200.0, "{last:?}");
        assert!((last.packets_late + last.packets_flushed) * 500 < last.packets_received, "{last:?}");
    }
}

/// The share of packets that come too late for a buffer of a fixed length, and the length of one for which no more than
/// `late` are.
fn fixed(arrivals: &[Arrival], wait_ms: f64, late: f64) -> (f64, f64) {
    let mut waits: Vec<f64> = arrivals.iter().map(|a| a.at_ms - (a.packet + 1) as f64 * 20.0).collect();
    waits.sort_by(f64::total_cmp);
    let over = waits.iter().filter(|&&wait| wait > waits[0] + wait_ms).count();
    let needed = waits[waits.len() - 1 - (late * waits.len() as f64) as usize];
    (over as f64 / waits.len() as f64, needed)
}

/// The table of `docs/jitter-buffer.md`: `cargo test --release --test jitter_buffer -- --ignored --nocapture compared`.
#[test]
#[ignore = "prints a table"]
fn compared_with_a_fixed_buffer_of_60_ms() {
    const COUNT: usize = 15_000;
    println!("| jitter ms | delay ms | late % | concealed % | 60 ms fixed: late % | fixed with no more late: ms |");
    println!("| --- | --- | --- | --- | --- | --- |");
    for jitter_ms in [0.0, 20.0, 40.0, 60.0, 80.0, 100.0, 120.0] {
        let network = Network { jitter_ms, reorder: 0.05, seed: 7, ..Network::default() };
        let network = network.with_stalls(15_000.0, 300.0, COUNT as f64 * 20.0);
        let sent_ms: Vec<f64> = (1..=COUNT).map(|i| i as f64 * 20.0).collect();
        let arrivals = network.carry(&sent_ms, 20.0);
        for quantile in [0.95, 0.6] {
            // The packets carry redundancy; what is compared is jitter alone.
            let buffer = JitterBuffer { quantile, max_redundancy_wait_ms: 0.0, ..JitterBuffer::default() };
            let (_, log, last) = run(COUNT, &network, buffer);
            // From being sent, not from being captured: 20 ms later.
            let delay = mean(log[200..].iter().map(|l| l.0 - 20.0));
            let late = (last.packets_late + last.packets_flushed) as f64 / COUNT as f64;
            let (fixed_late, needed) = fixed(&arrivals, 60.0, late);
            println!(
                "| {jitter_ms}, quantile {quantile} | {delay:.0} | {:.2} | {:.2} | {:.2} | {needed:.0} |",
                late * 100.0,
                last.concealed_ms / (COUNT as f64 * 0.2),
                fixed_late * 100.0
            );
        }
    }
}

/// A network that lets go of two seconds of packets at once.
#[test]
fn what_has_piled_up_is_dropped_in_one_frame_and_no_more_than_that() {
    let mut ends = Ends::new(JitterBuffer::default());
    let push = |ends: &mut Ends, index: usize| ends.push(index, index as u16, index as u32 * 960, 1);
    for index in 0..200 {
        push(&mut ends, index);
        ends.pull();
    }
    let before = ends.reading();
    (200..300).for_each(|index| push(&mut ends, index));
    ends.pull();
    let reading = ends.reading();
    assert_eq!((before.packets_flushed, reading.packets_flushed, reading.packets_missing), (0, 99, 0), "{reading:?}");
    let beyond = reading.jitter_buffer_delay_ms - reading.jitter_buffer_target_delay_ms;
    assert!((0.0..20.0).contains(&beyond), "{reading:?}");
}

/// Sound is compared with the background as it was sent.
#[test]
fn the_gain_of_the_decoder_changes_no_decision() {
    // Two seconds of speech and as much of the background alone, at −50 dBFS, by turns.
    let (speech, _) = &*SPEECH;
    let mut sound = [&speech[..32_000], &[0.0; 32_000], &speech[32_000..64_000], &[0.0; 32_000]].concat();
    sound.iter_mut().zip(noise(1, 4 * 32_000, 0.0055)).for_each(|(sound, noise)| *sound += noise);
    let packets = encode(OpusEncode { complexity: 5, ..OpusEncode::voip() }, &sound);
    // What is late in speech is caught up with where there is none.
    let network = Network { jitter_ms: 20.0, stalls: vec![(1000.0, 300.0), (5000.0, 300.0)], ..Network::default() };
    let stretched = |gain_db| {
        let decoder = OpusDecode { gain_db, ..OpusDecode::default() };
        let buffer = JitterBuffer { decoder, ..JitterBuffer::default() };
        let mut log = Vec::new();
        call(&packets, &network, buffer, format(), |heard| {
            let reading = heard.reading;
            log.push((reading.removed_for_acceleration_ms, reading.inserted_for_deceleration_ms));
        })
        .unwrap();
        assert!(log.last().unwrap().0 > 200.0, "{:?}", log.last());
        log
    };
    let plain = stretched(0.0);
    // About a power of two, so that the samples differ in little but their exponent.
    for gain_db in [-24.082_4, 24.082_4] {
        assert!(stretched(gain_db) == plain, "{gain_db} dB");
    }
}
