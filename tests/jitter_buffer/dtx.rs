//! A sender that is silent, from end to end: nothing is sent, and the far end hears the background go on.

use voxframe::opus::{Application, OpusDecodeProcessor};
use voxframe::{Format, Frame, JitterBuffer, OpusDecode, OpusEncode, Packet, Processor, Stage};
use voxframe_testkit::network::Network;
use voxframe_testkit::random::noise;
use voxframe_testkit::signal::{level, steepest};
use voxframe_testkit::wav::fixture;

use super::call;

const RATE: usize = 48_000;

/// Two seconds of speech, six of pause and one of speech, over a rumble of −50 dBFS.
fn speech_with_a_pause() -> (Vec<f32>, Vec<f32>) {
    let speech = &fixture("speech_clean.wav")[0];
    let mut sound = [&speech[..2 * RATE], &vec![0.0; 6 * RATE], &speech[RATE..2 * RATE]].concat();
    let mut low = 0.0;
    let mut noise = noise(1, sound.len(), 1.0);
    for sample in &mut noise {
        low += 0.05 * (*sample - low);
        *sample = low;
    }
    let gain = 10f32.powf((-50.0 - level(&noise)) / 20.0);
    noise.iter_mut().for_each(|sample| *sample *= gain);
    sound.iter_mut().zip(&noise).for_each(|(sample, noise)| *sample += noise);
    (sound, noise)
}

/// What is sent of it, and the share of time in which nothing was.
fn sent(settings: OpusEncode, sound: &[f32]) -> (Vec<Packet>, f64) {
    let format = Format::mono(48_000).unwrap();
    let mut encoder = OpusEncode { dtx: true, ..settings }.prepare(format).unwrap();
    let mut packets = Vec::new();
    let mut frame = Frame::new(format);
    for (index, block) in sound.chunks_exact(480).enumerate() {
        frame.set_position(index as i64 * 480);
        frame.samples_mut().copy_from_slice(block);
        packets.extend(encoder.process(&mut frame).unwrap().cloned());
    }
    let all = packets.len();
    packets.retain(|packet| !packet.is_dtx());
    let unsent = 1.0 - packets.len() as f64 / all as f64;
    (packets, unsent)
}

/// Each half second of the pause, once it has begun, is as loud as the background, to 3 dB: what libopus's own coding of
/// quiet noise takes off it.
fn assert_background(heard: &[f32], pause: std::ops::Range<usize>, what: &str) {
    let levels: Vec<f32> = heard[pause].chunks_exact(RATE / 2).map(level).collect();
    println!("{what}: {levels:.1?} dBFS");
    assert!(levels.len() >= 8 && levels.iter().all(|level| (level + 50.0).abs() < 3.0), "{what}: {levels:.1?}");
}

const SENDERS: [OpusEncode; 3] = {
    const fn at(bitrate_bps: u32, application: Application) -> OpusEncode {
        OpusEncode {
            application,
            bitrate_bps,
            packet_ms: 20.0,
            rate_control: voxframe::opus::RateControl::Vbr,
            complexity: 9,
            signal: voxframe::opus::Signal::Auto,
            max_bandwidth: voxframe::opus::Bandwidth::Full,
            fec: false,
            dred_ms: 0,
            loss_percent: 0,
            dtx: true,
        }
    }
    // SILK, hybrid, CELT.
    [at(16_000, Application::Voip), at(32_000, Application::Voip), at(64_000, Application::LowDelay)]
};

#[test]
fn the_decoder_fills_what_was_not_sent_with_the_background() {
    let (sound, _) = speech_with_a_pause();
    for settings in SENDERS {
        let (packets, unsent) = sent(settings, &sound);
        assert!(unsent > 0.5, "{unsent}");
        let mut decoder: OpusDecodeProcessor = OpusDecode::default().prepare(Format::mono(48_000).unwrap()).unwrap();
        let (mut heard, mut end) = (Vec::new(), packets[0].position());
        for packet in &packets {
            let mut silence = Packet::new();
            silence.set_silence(end, (packet.position() - end) as u32);
            for mut packet in [silence, packet.clone()] {
                while !packet.is_empty() {
                    if let Some(frame) = decoder.process(&mut packet).unwrap() {
                        heard.extend_from_slice(frame.samples());
                    }
                }
            }
            end = packet.position() + i64::from(packet.duration());
        }
        assert_background(&heard, 3 * RATE..8 * RATE - RATE / 4, &format!("decoder, {} b/s", settings.bitrate_bps));
        let click = steepest(&heard[3 * RATE..7 * RATE]);
        assert!(click < 0.02, "{click}");
    }
}

#[test]
fn so_does_a_jitter_buffer_which_takes_none_of_it_for_loss() {
    let (sound, _) = speech_with_a_pause();
    for settings in SENDERS {
        let (packets, _) = sent(settings, &sound);
        let network = Network { jitter_ms: 30.0, ..Network::default() };
        let mut heard = Vec::new();
        let last = call(&packets, &network, JitterBuffer::default(), Format::mono(48_000).unwrap(), |now| {
            heard.extend_from_slice(now.frame.samples());
        })
        .unwrap();
        assert_eq!((last.packets_missing, last.packets_late, last.packets_flushed), (0, 0, 0), "{last:?}");
        assert!(last.concealed_ms < 300.0 && last.comfort_noise_ms > 4000.0, "{last:?}");
        // Delay and stretching move the pause a little.
        let what = format!("jitter buffer, {} b/s", settings.bitrate_bps);
        assert_background(&heard, 3 * RATE..8 * RATE - RATE / 4, &what);
    }
}

/// The background rises while nobody speaks: the far end hears it rise, without bursts.
#[test]
fn comfort_noise_follows_a_background_that_rises_in_a_pause() {
    let speech = &fixture("speech_clean.wav")[0];
    let mut sound = [&speech[..2 * RATE], &vec![0.0; 12 * RATE]].concat();
    let mut noise = noise(1, sound.len(), 1.0);
    let normal = -level(&noise);
    for (index, sample) in noise.iter_mut().enumerate() {
        // −65 dBFS until 4 s, −50 dBFS from 5 s on.
        let level = -65.0 + 15.0 * ((index as f32 / RATE as f32) - 4.0).clamp(0.0, 1.0);
        *sample *= 10f32.powf((normal + level) / 20.0);
    }
    sound.iter_mut().zip(&noise).for_each(|(sound, noise)| *sound += noise);
    for settings in SENDERS {
        let (packets, unsent) = sent(settings, &sound);
        let mut heard = Vec::new();
        call(&packets, &Network::default(), JitterBuffer::default(), Format::mono(48_000).unwrap(), |now| {
            heard.extend_from_slice(now.frame.samples());
        })
        .unwrap();
        let levels: Vec<f32> = heard[7 * RATE..13 * RATE].chunks_exact(RATE / 50).map(level).collect();
        let mean = level(&heard[7 * RATE..13 * RATE]);
        println!(
            "{} b/s, {unsent:.2} not sent: {mean:.1} dBFS, loudest 20 ms {:.1}",
            settings.bitrate_bps,
            levels.iter().copied().fold(-99.0, f32::max)
        );
        assert!((mean + 50.0).abs() < 3.0, "{} b/s: {mean} dBFS", settings.bitrate_bps);
        assert!(levels.iter().all(|level| *level < -47.0), "{} b/s: {levels:.1?}", settings.bitrate_bps);
    }
}
