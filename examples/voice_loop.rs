//! A call of two people without a device: simulated callbacks → uplink → UDP on loopback → downlink → simulated callbacks.
//! Ann has a loudspeaker in a room with echo, Bob a headset; they speak by turns. Each second tells what Bob hears: while
//! he speaks himself, that would be his own echo.
//!
//! `cargo run --release --features rtp --example voice_loop`
//!
//! `Participant` is what an application writes; a sound card's callbacks take the place of the loop in `main`.

use std::collections::VecDeque;
use std::net::UdpSocket;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use voxframe::call::{Call, CallControls, CallNetwork, ConnectionReport, Device, Loudspeaker, Microphone};
use voxframe::rtp::{RtpReceiver, RtpSender};
use voxframe::{Packet, Profile};

type Result<T = (), E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

const SECONDS: u64 = 8;
const RATE_HZ: u32 = 48_000;
/// A device's buffer: 256 samples, which is no frame.
const BUFFER: usize = 256;

struct Participant {
    microphone: Microphone,
    loudspeaker: Loudspeaker,
    controls: CallControls,
    network: JoinHandle<Result>,
}

impl Participant {
    fn join(socket: UdpSocket, ssrc: u32) -> Result<Self> {
        let device = Device::new(RATE_HZ, 1);
        let call = Call { profile: Profile::balanced(), ..Call::default() };
        let (microphone, loudspeaker, network, controls) = call.open(device, device)?;
        let network = thread::spawn(move || run_network(&socket, network, ssrc));
        Ok(Self { microphone, loudspeaker, controls, network })
    }

    /// Each second: the connection as this side sees it. (What the far end reports by RTCP would be better.)
    fn report(&mut self, at: Duration) -> Result {
        let buffer = self.controls.downlink.jitter_buffer.reading();
        self.controls.report(&ConnectionReport {
            at,
            packets_lost: Some(buffer.packets_lost as i64),
            packets_received: Some(buffer.packets_received),
            ..ConnectionReport::default()
        })?;
        Ok(())
    }
}

/// The network thread: sends what the queue holds, and hands what arrives to the jitter buffer.
fn run_network(socket: &UdpSocket, mut network: CallNetwork, ssrc: u32) -> Result {
    let mut sender = RtpSender::new(111, ssrc, 65_500, 0xffff_0000)?;
    let mut receiver = RtpReceiver::new(111)?;
    let (mut datagram, mut packet) = ([0; 1500], Packet::new());
    socket.set_read_timeout(Some(Duration::from_millis(5)))?;
    let end = Instant::now() + Duration::from_secs(SECONDS);
    while Instant::now() < end {
        while let Some(packet) = network.outgoing.pop() {
            if let Some(length) = sender.write(packet, &mut datagram)? {
                socket.send(&datagram[..length])?;
            }
        }
        if let Ok(length) = socket.recv(&mut datagram)
            && let Ok(header) = receiver.read(&datagram[..length], &mut packet)
        {
            network.incoming.push(header.sequence, header.timestamp, header.ssrc, packet.as_bytes())?;
        }
    }
    Ok(())
}

/// Something like a voice, from a sample on: syllables of a low tone with its partials.
fn voice(from: usize, pitch_hz: f32) -> [f32; BUFFER] {
    std::array::from_fn(|i| {
        let t = (from + i) as f32 / RATE_HZ as f32;
        let tone: f32 = (1..12).map(|n| (t * pitch_hz * n as f32 * std::f32::consts::TAU).sin() / n as f32).sum();
        0.1 * tone * (t * 3.0 * std::f32::consts::TAU).sin().max(0.0)
    })
}

fn main() -> Result {
    let (first, second) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    first.connect(second.local_addr()?)?;
    second.connect(first.local_addr()?)?;
    let (mut ann, mut bob) = (Participant::join(first, 0xa)?, Participant::join(second, 0xb)?);

    // What is on its way from Ann's loudspeaker to her microphone: 40 ms.
    let mut air: VecDeque<f32> = vec![0.0; RATE_HZ as usize / 25].into();
    let (start, mut samples, mut second) = (Instant::now(), 0, 1);
    while second < SECONDS {
        let elapsed = start.elapsed();
        while (samples as f64) < elapsed.as_secs_f64() * f64::from(RATE_HZ) {
            let ann_speaks = samples / RATE_HZ as usize % 4 >= 2;
            let silence = [0.0; BUFFER];
            let mut heard = [0.0f32; BUFFER];
            ann.loudspeaker.callback(&mut heard)?;
            air.extend(heard);
            let mut mixed = if ann_speaks { voice(samples, 190.0) } else { silence };
            mixed.iter_mut().for_each(|sample| *sample += 0.3 * air.pop_front().unwrap_or_default());
            ann.microphone.callback(&mixed)?;

            bob.loudspeaker.callback(&mut heard)?;
            bob.microphone.callback(&if ann_speaks { silence } else { voice(samples, 110.0) })?;
            samples += BUFFER;
        }
        if elapsed >= Duration::from_secs(second) {
            let speaker = if (second - 1) % 4 >= 2 { "Ann" } else { "Bob" };
            let echo = ann.controls.uplink.echo_cancel.reading();
            println!(
                "{second} s, {speaker} speaks: Bob hears {:6.1} dBFS; echo taken out {}; {:3.0} ms from mouth to ear; {}",
                bob.controls.downlink.meter.reading().rms_dbfs(0),
                echo.echo_return_loss_enhancement.map_or("unknown".into(), |db| format!("{db:.0} dB")),
                ann.microphone.latency_ms() + bob.loudspeaker.latency_ms(),
                ann.controls.profile(),
            );
            ann.report(elapsed)?;
            bob.report(elapsed)?;
            second += 1;
        }
        thread::sleep(Duration::from_millis(2));
    }
    for participant in [ann, bob] {
        participant.network.join().expect("it does not panic")?;
    }
    Ok(())
}
