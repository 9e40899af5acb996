//! Peer: ICE, DTLS and SRTP of one connection (str0m), with one audio track in each direction. No socket, thread or clock
//! of its own.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use str0m::change::{SdpAnswer, SdpOffer, SdpPendingOffer};
use str0m::media::{Direction, MediaKind, Mid, Pt};
use str0m::net::{Protocol, Receive};
use str0m::rtp::RtpWrite;
use str0m::{Candidate, Event, IceConnectionState, Input, Output, Rtc, RtcConfig, RtcError};
use voxframe::Packet;
use voxframe::rtp::RtpSender;

/// Time between statistics, and between RTCP reports, so that the adaptation sees both each second.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// Error of a peer.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// Trouble of the WebRTC stack.
    #[error("WebRTC: {0}")]
    Rtc(#[from] RtcError),
    /// Session description that cannot be read.
    #[error("session description: {0}")]
    Sdp(#[from] str0m::error::SdpError),
    /// Own address that cannot be a candidate.
    #[error("candidate: {0}")]
    Candidate(#[from] str0m::error::IceError),
    /// Session without Opus.
    #[error("the other side speaks no Opus")]
    NoOpus,
    /// Trouble of voxframe.
    #[error("sound: {0}")]
    Sound(#[from] voxframe::Error),
}

/// What comes out of a peer.
#[derive(Debug)]
pub enum PeerOutput<'a> {
    /// Datagram to be sent.
    Transmit {
        /// Where to.
        to: SocketAddr,
        /// Its bytes.
        bytes: &'a [u8],
    },
    /// RTP packet that was received.
    Rtp {
        /// Sequence number.
        sequence: u16,
        /// Timestamp.
        timestamp: u32,
        /// Stream.
        ssrc: u32,
        /// Opus packet.
        payload: &'a [u8],
    },
    /// ICE and DTLS are through.
    Connected,
    /// The far side has closed, or nothing answers any more.
    Disconnected,
    /// Statistics of what is sent: loss (0 to 1) and round-trip time in ms, from receiver reports.
    Sent {
        /// Share of packets lost.
        loss: Option<f32>,
        /// Round-trip time in ms.
        round_trip_time_ms: Option<f32>,
    },
    /// Statistics of what is received.
    Received {
        /// Interarrival jitter in ms.
        jitter_ms: f32,
    },
}

/// Connection to one other side.
pub struct Peer {
    rtc: Rtc,
    local: SocketAddr,
    mid: Option<Mid>,
    /// Sender with its payload type, once negotiated.
    sender: Option<(RtpSender, Pt)>,
    /// Extended sequence number of the next packet.
    sequence: u64,
    pending: Option<SdpPendingOffer>,
}

impl Peer {
    fn new(local: SocketAddr, is_lite: bool, now: Instant) -> Result<Self, PeerError> {
        let mut rtc = RtcConfig::new()
            .clear_codecs()
            .enable_opus(true, false)
            // Frame mode would be a second jitter buffer.
            .set_rtp_mode(true)
            .set_ice_lite(is_lite)
            .set_stats_interval(Some(REPORT_INTERVAL))
            .set_rtcp_report_interval_audio(REPORT_INTERVAL)
            .build(now);
        rtc.add_local_candidate(Candidate::host(local, "udp")?);
        // Its upper bits, the number of times it wrapped, are not sent: both sides must begin with none.
        let sequence = fastrand::u16(..u16::MAX / 2).into();
        Ok(Self { rtc, local, mid: None, sender: None, sequence, pending: None })
    }

    /// Peer that answers an offer, and the answer. A lite one only answers checks: it calls no address that it is told.
    ///
    /// # Errors
    /// [`PeerError`] for an offer that cannot be read, or has no Opus.
    pub fn answer(offer: &str, local: SocketAddr, is_lite: bool, now: Instant) -> Result<(Self, String), PeerError> {
        let mut peer = Self::new(local, is_lite, now)?;
        let answer = peer.accept_offer(offer)?;
        Ok((peer, answer))
    }

    /// Peer that offers, and the offer.
    ///
    /// # Errors
    /// [`PeerError`].
    pub fn offer(local: SocketAddr, now: Instant) -> Result<(Self, String), PeerError> {
        let mut peer = Self::new(local, false, now)?;
        let mut api = peer.rtc.sdp_api();
        peer.mid = Some(api.add_media(MediaKind::Audio, Direction::SendRecv, None, None, None));
        let (offer, pending) = api.apply().ok_or(PeerError::NoOpus)?;
        peer.pending = Some(pending);
        let offer = offer.to_sdp_string();
        Ok((peer, offer))
    }

    /// Takes an offer of a connection that there is, as to restart ICE; the answer.
    ///
    /// # Errors
    /// As [`answer`](Self::answer).
    pub fn accept_offer(&mut self, offer: &str) -> Result<String, PeerError> {
        // Candidates come by themselves: those in an offer are no better than those behind it.
        let offer: String = offer.split_inclusive('\n').filter(|line| !line.starts_with("a=candidate:")).collect();
        let answer = self.rtc.sdp_api().accept_offer(SdpOffer::from_sdp_string(&offer)?)?;
        Ok(answer.to_sdp_string())
    }

    /// Takes the answer to the offer.
    ///
    /// # Errors
    /// [`PeerError`] for an answer that cannot be read.
    pub fn accept_answer(&mut self, answer: &str) -> Result<(), PeerError> {
        let answer = SdpAnswer::from_sdp_string(answer)?;
        if let Some(pending) = self.pending.take() {
            self.rtc.sdp_api().accept_answer(pending, answer)?;
        }
        Ok(())
    }

    /// Takes a candidate of the other side; one that cannot be read or resolved is left out.
    pub fn add_candidate(&mut self, candidate: &str) {
        if let Ok(candidate) = Candidate::from_sdp_string(candidate) {
            self.rtc.add_remote_candidate(candidate);
        }
    }

    /// Whether a datagram is for this peer.
    pub fn accepts(&self, now: Instant, source: SocketAddr, bytes: &[u8]) -> bool {
        Receive::new(Protocol::Udp, source, self.local, bytes)
            .is_ok_and(|receive| self.rtc.accepts(&Input::Receive(now, receive)))
    }

    /// Takes a datagram. What is no part of the connection is left out.
    ///
    /// # Errors
    /// [`PeerError`] where the connection cannot go on.
    pub fn receive(&mut self, now: Instant, source: SocketAddr, bytes: &[u8]) -> Result<(), PeerError> {
        if let Ok(receive) = Receive::new(Protocol::Udp, source, self.local, bytes) {
            self.rtc.handle_input(Input::Receive(now, receive))?;
        }
        Ok(())
    }

    /// Lets time go on.
    ///
    /// # Errors
    /// [`PeerError`] where the connection cannot go on.
    pub fn advance(&mut self, now: Instant) -> Result<(), PeerError> {
        self.rtc.handle_input(Input::Timeout(now))?;
        Ok(())
    }

    /// Takes out all there is; when to [`advance`](Self::advance) next.
    ///
    /// # Errors
    /// [`PeerError`] where the connection cannot go on.
    pub fn poll(&mut self, mut on: impl FnMut(PeerOutput<'_>)) -> Result<Instant, PeerError> {
        loop {
            match self.rtc.poll_output()? {
                Output::Timeout(at) => return Ok(at),
                Output::Transmit(transmit) => {
                    on(PeerOutput::Transmit { to: transmit.destination, bytes: &transmit.contents });
                }
                Output::Event(event) => self.handle(event, &mut on),
            }
        }
    }

    fn handle(&mut self, event: Event, on: &mut impl FnMut(PeerOutput<'_>)) {
        match event {
            Event::MediaAdded(added) => self.mid = self.mid.or(Some(added.mid)),
            Event::Connected => on(PeerOutput::Connected),
            Event::IceConnectionStateChange(IceConnectionState::Disconnected) | Event::Closed => {
                on(PeerOutput::Disconnected);
            }
            Event::RtpPacket(packet) => on(PeerOutput::Rtp {
                sequence: packet.header.sequence_number,
                timestamp: packet.header.timestamp,
                ssrc: *packet.header.ssrc,
                payload: &packet.payload,
            }),
            Event::MediaEgressStats(stats) => on(PeerOutput::Sent {
                loss: stats.loss,
                round_trip_time_ms: stats.rtt.map(|rtt| rtt.as_secs_f32() * 1e3),
            }),
            // In ticks of the RTP clock.
            Event::MediaIngressStats(stats) => {
                on(PeerOutput::Received { jitter_ms: stats.jitter as f32 * 1e3 / Packet::CLOCK_HZ as f32 });
            }
            _ => {}
        }
    }

    /// Sends an Opus packet; before the connection is there, it is left out.
    ///
    /// # Errors
    /// [`PeerError::NoOpus`] where the far side has none.
    pub fn send(&mut self, now: Instant, packet: &Packet) -> Result<(), PeerError> {
        let Some(mid) = self.mid.filter(|_| self.rtc.is_connected()) else { return Ok(()) };
        if self.sender.is_none() {
            let payload_type = self.rtc.media(mid).and_then(|media| media.remote_pts().first().copied());
            let payload_type = payload_type.ok_or(PeerError::NoOpus)?;
            let mut api = self.rtc.direct_api();
            let stream = api.stream_tx_by_mid(mid, None).ok_or(PeerError::NoOpus)?;
            let sender = RtpSender::new(*payload_type, *stream.ssrc(), self.sequence as u16, fastrand::u32(..))?;
            self.sender = Some((sender, payload_type));
        }
        let Some((sender, payload_type)) = &mut self.sender else { return Ok(()) };
        let Some(header) = sender.next_header(packet) else { return Ok(()) };
        let mut api = self.rtc.direct_api();
        let stream = api.stream_tx_by_mid(mid, None).ok_or(PeerError::NoOpus)?;
        let rtp = RtpWrite::new(*payload_type, self.sequence.into(), header.timestamp, now, packet.as_bytes());
        stream.write_rtp(rtp.marker(header.marker));
        self.sequence += 1;
        Ok(())
    }

    /// Whether the connection is over.
    pub fn is_closed(&self) -> bool {
        !self.rtc.is_alive()
    }
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Peer({}, connected: {})", self.local, self.rtc.is_connected())
    }
}
