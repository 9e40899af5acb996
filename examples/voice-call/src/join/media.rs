//! Media of a native participant: a thread between the socket, the link and the ends of the call.

use std::io::ErrorKind;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;
use tracing::{info, warn};
use voxframe::call::{Call, CallControls, CallNetwork, ConnectionReport};

use super::files::FileSound;
use super::link::Link;
use super::{JoinArgs, JoinError};
use crate::media::peer::{PeerError, PeerOutput};
use crate::signalling::protocol::{ClientMessage, ServerMessage};

/// Longest wait for a datagram: packets of the microphone wait no longer.
const WAIT: Duration = Duration::from_millis(3);

/// Time between two reports.
const REPORT: Duration = Duration::from_secs(1);

/// Sound of a participant, which plays while it is there.
pub enum Sound {
    /// Files.
    Files(FileSound),
    /// Microphone and loudspeaker.
    #[cfg(feature = "device")]
    Device(super::sound_card::SoundCard),
}

impl Sound {
    /// Flag that says when the input has come to its end.
    fn ended(&self) -> Arc<AtomicBool> {
        match self {
            Self::Files(files) => files.ended(),
            #[cfg(feature = "device")]
            Self::Device(_) => Arc::default(),
        }
    }

    /// Ends it, and writes what is not written yet.
    ///
    /// # Errors
    /// [`JoinError::Sound`].
    pub fn finish(self) -> Result<(), JoinError> {
        match self {
            Self::Files(files) => files.finish(),
            #[cfg(feature = "device")]
            Self::Device(card) => {
                drop(card);
                Ok(())
            }
        }
    }
}

/// Media of a participant.
pub struct Media {
    socket: UdpSocket,
    link: Link,
    network: CallNetwork,
    controls: CallControls,
    messages: Receiver<ServerMessage>,
    signalling: UnboundedSender<ClientMessage>,
    /// What the far side reports of what is sent: loss, round-trip time.
    sent: (Option<f32>, Option<f32>),
    jitter_ms: Option<f32>,
    end: Option<Instant>,
    has_ended: Arc<AtomicBool>,
}

impl Media {
    /// Media and sound of a participant. `messages` are those of the server; with the end of it the media ends.
    ///
    /// # Errors
    /// [`JoinError`].
    pub fn open(
        args: &JoinArgs,
        socket: UdpSocket,
        messages: Receiver<ServerMessage>,
        signalling: UnboundedSender<ClientMessage>,
    ) -> Result<(Self, Sound), JoinError> {
        let failed = |error| JoinError::Host("socket".into(), error);
        let local = socket.local_addr().map_err(failed)?;
        socket.set_read_timeout(Some(WAIT)).map_err(failed)?;
        let mut call = Call { profile: args.profile.into(), ..Call::default() };
        let (network, controls, sound) = Self::open_sound(args, &mut call)?;
        let end = args.seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
        let has_ended = sound.ended();
        let link = Link::new(local);
        let (sent, jitter_ms) = ((None, None), None);
        Ok((Self { socket, link, network, controls, messages, signalling, sent, jitter_ms, end, has_ended }, sound))
    }

    fn open_sound(args: &JoinArgs, call: &mut Call) -> Result<(CallNetwork, CallControls, Sound), JoinError> {
        #[cfg(feature = "device")]
        if args.input.is_none() && args.output.is_none() {
            let (network, controls, card) = super::sound_card::SoundCard::open(call)?;
            return Ok((network, controls, Sound::Device(card)));
        }
        // No loudspeaker, no echo.
        call.profile.echo_cancel = None;
        let (network, controls, files) = FileSound::open(args, call)?;
        Ok((network, controls, Sound::Files(files)))
    }

    /// Runs until the signalling ends, the input does, or the time is over.
    pub fn run(mut self) {
        let start = Instant::now();
        let (mut report, mut timeout) = (start + REPORT, start);
        let mut datagram = [0; 1500];
        loop {
            let now = Instant::now();
            if self.end.is_some_and(|end| now >= end) || self.has_ended.load(Relaxed) {
                return;
            }
            match self.take_messages(now) {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => warn!("{error}"),
            }
            if let Err(error) = self.exchange(&mut datagram, &mut timeout) {
                warn!("{error}");
            }
            if now >= report {
                self.report(now.duration_since(start));
                report = now + REPORT;
            }
        }
    }

    /// Takes what the server says; whether it may say more.
    fn take_messages(&mut self, now: Instant) -> Result<bool, PeerError> {
        loop {
            match self.messages.try_recv() {
                Ok(message) => {
                    if let Some(answer) = self.link.take(message, now)? {
                        // Without signalling the next message says so.
                        let _ = self.signalling.send(answer);
                    }
                }
                Err(TryRecvError::Empty) => return Ok(true),
                Err(TryRecvError::Disconnected) => return Ok(false),
            }
        }
    }

    /// Sends what the microphone gave, and waits for a datagram.
    fn exchange(&mut self, datagram: &mut [u8], timeout: &mut Instant) -> Result<(), PeerError> {
        let received = match self.socket.recv_from(datagram) {
            Ok((length, source)) => Some((length, source)),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => None,
            // What an earlier datagram met, by ICMP.
            Err(_) => None,
        };
        let now = Instant::now();
        let Self { socket, link, network, sent, jitter_ms, .. } = self;
        let Some(peer) = link.peer() else {
            while network.outgoing.pop().is_some() {}
            return Ok(());
        };
        if let Some((length, source)) = received {
            peer.receive(now, source, &datagram[..length])?;
        }
        if now >= *timeout {
            peer.advance(now)?;
        }
        while let Some(packet) = network.outgoing.pop() {
            peer.send(now, packet)?;
        }
        *timeout = peer.poll(|output| match output {
            PeerOutput::Transmit { to, bytes } => drop(socket.send_to(bytes, to)),
            PeerOutput::Rtp { sequence, timestamp, ssrc, payload } => {
                // What is refused is counted.
                let _ = network.incoming.push(sequence, timestamp, ssrc, payload);
            }
            PeerOutput::Sent { loss, round_trip_time_ms } => {
                *sent = (loss.or(sent.0), round_trip_time_ms.or(sent.1));
            }
            PeerOutput::Received { jitter_ms: jitter } => *jitter_ms = Some(jitter),
            PeerOutput::Connected => info!("connected"),
            PeerOutput::Disconnected => info!("disconnected"),
        })?;
        Ok(())
    }

    /// Adapts what is sent, and tells the server of what is received.
    fn report(&mut self, at: Duration) {
        let (loss, round_trip_time_ms) = (self.sent.0.take(), self.sent.1);
        let sent = ConnectionReport { at, loss, round_trip_time_ms, ..ConnectionReport::default() };
        let before = self.controls.profile();
        if let Err(error) = self.controls.report(&sent) {
            warn!("{error}");
        }
        if self.controls.profile() != before {
            info!("{before} to {}: {}", self.controls.profile(), self.controls.connection().quality);
        }
        let buffer = self.controls.downlink.jitter_buffer.reading();
        let receive = ConnectionReport {
            packets_lost: i64::try_from(buffer.packets_lost).ok(),
            packets_received: Some(buffer.packets_received),
            jitter_ms: self.jitter_ms,
            round_trip_time_ms,
            ..ConnectionReport::default()
        };
        if let Some(peer) = self.link.peer_name() {
            let peer = peer.to_owned();
            let _ = self.signalling.send(ClientMessage::Stats { peer, send: Some(sent), receive: Some(receive) });
        }
    }
}
