//! A voice call to oneself without a device: simulated callbacks → uplink → UDP on loopback → downlink → simulated callbacks,
//! with mute and meters from a third thread.
//!
//! `cargo run --release --features rtp --example voice_loop`
//!
//! A sound card's callbacks take the place of the two loops at the end; the rest is what an application writes.

use std::error::Error;
use std::net::UdpSocket;
use std::thread;
use std::time::{Duration, Instant};

use voxframe::call::{Downlink, DownlinkOutput, UplinkProcessor};
use voxframe::device::{PacketQueueInput, PacketQueueOutput, packet_queue};
use voxframe::jitter::JitterBufferInput;
use voxframe::rtp::{RtpReceiver, RtpSender};
use voxframe::{Capture, Packet, Playout, Processor, Profile};

/// What the microphone's callback owns. It makes no system call: packets go to the network thread through a queue.
struct Microphone {
    capture: Capture,
    uplink: UplinkProcessor,
    packets: PacketQueueInput,
}

impl Microphone {
    fn callback(&mut self, data: &[i16]) -> voxframe::Result<()> {
        let Self { capture, uplink, packets } = self;
        capture.run(data, uplink, |packet| packets.push(packet))
    }
}

/// What the loudspeaker's callback owns: a jitter buffer with volume, limiter and meter behind it.
struct Loudspeaker {
    playout: Playout,
    downlink: DownlinkOutput,
}

impl Loudspeaker {
    fn callback(&mut self, out: &mut [f32]) -> voxframe::Result<()> {
        self.playout.fill(out, &mut self.downlink)
    }
}

/// The network thread: sends what the queue holds, and hands what arrives to the jitter buffer.
fn network(
    socket: &UdpSocket,
    mut outgoing: PacketQueueOutput,
    mut incoming: JitterBufferInput,
    until: Instant,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut sender = RtpSender::new(111, 0x5eed_cafe, 65_500, 0xffff_0000)?;
    let mut receiver = RtpReceiver::new(111)?;
    let (mut datagram, mut packet) = ([0; 1500], Packet::new());
    socket.set_read_timeout(Some(Duration::from_millis(5)))?;
    while Instant::now() < until {
        while let Some(packet) = outgoing.pop() {
            if let Some(length) = sender.write(packet, &mut datagram)? {
                socket.send(&datagram[..length])?;
            }
        }
        if let Ok(length) = socket.recv(&mut datagram)
            && let Ok(header) = receiver.read(&datagram[..length], &mut packet)
        {
            incoming.push(header.sequence, header.timestamp, header.ssrc, packet.as_bytes())?;
        }
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let (until, second) = (Instant::now() + Duration::from_secs(6), Duration::from_secs(1));
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(socket.local_addr()?)?; // to itself

    // A microphone of 44.1 kHz stereo and a loudspeaker of 48 kHz stereo.
    let (capture, uplink, controls) = Profile::balanced().uplink_for(44_100, 2)?;
    let mut mouth_to_ear_ms = capture.latency_ms() + uplink.latency_ms();
    let (packets, outgoing) = packet_queue(50);
    let mut microphone = Microphone { capture, uplink, packets };

    let (incoming, downlink, playout, speaker) = Downlink::default().open_for(48_000, 2)?;
    mouth_to_ear_ms += playout.latency_ms();
    let mut loudspeaker = Loudspeaker { playout, downlink };

    let network = thread::spawn(move || network(&socket, outgoing, incoming, until));
    let user_interface = thread::spawn(move || {
        for seconds in 1.. {
            thread::sleep(second);
            if Instant::now() > until {
                return Ok::<(), voxframe::Error>(());
            }
            controls.gain.update(|gain| gain.muted = seconds == 3)?; // in the fourth second nobody hears us
            speaker.volume.update(|volume| volume.gain_db = -3.0)?;
            let (sent, heard) = (controls.meter.reading(), speaker.meter.reading());
            let network = speaker.jitter_buffer.reading();
            println!(
                "{seconds} s: sent {:6.1} dBFS, heard {:6.1} dBFS, {:3.0} ms mouth to ear, {:2} lost",
                sent.rms_dbfs(0),
                heard.rms_dbfs(0),
                mouth_to_ear_ms + f64::from(network.jitter_buffer_delay_ms),
                network.packets_lost,
            );
        }
        Ok(())
    });

    // In place of two sound cards: buffers of lengths that are no frames, at their pace.
    let (start, mut captured, mut played) = (Instant::now(), 0usize, 0usize);
    while Instant::now() < until {
        while (captured as f64) < start.elapsed().as_secs_f64() * 44_100.0 {
            let hum = |i: usize| (3000.0 * (i as f32 * 0.03).sin() * (i as f32 * 0.0002).sin()) as i16;
            let buffer: Vec<i16> = (captured..captured + 256).flat_map(|i| [hum(i); 2]).collect();
            microphone.callback(&buffer)?;
            captured += 256;
        }
        while (played as f64) < start.elapsed().as_secs_f64() * 48_000.0 {
            loudspeaker.callback(&mut [0.0; 2 * 441])?;
            played += 441;
        }
        thread::sleep(Duration::from_millis(2));
    }
    user_interface.join().expect("it does not panic")?;
    network.join().expect("it does not panic")
}
