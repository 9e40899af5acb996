//! Decisions of the jitter buffer: what to do next, from nothing but what is seen. Pure, as NetEQ's decision logic.
//!
//! A frame is made in three steps. When it is wanted, playing may begin, or packets be flushed. While the sync buffer
//! holds less than a frame, more sound is made. When it holds one, that may be played faster or slower.

use super::ticks::{CHUNK_TICKS, MAX_PACKET_TICKS, TICKS_PER_MS};

/// Shortest packet (RFC 6716, section 3.2).
const MIN_PACKET_TICKS: i64 = 5 * TICKS_PER_MS / 2;

/// Excess of the delay above which packets are flushed: playing 15 % faster would take over 3 s.
const FLUSH_TICKS: i64 = 500 * TICKS_PER_MS;

/// Lack of delay beyond which the stream begins anew: no jitter, but wrong timestamps. Packets would all come too late.
const RESTART_TICKS: i64 = 1000 * TICKS_PER_MS;

/// Excess of the delay from which on sound is played faster: the longest period, less the slack of the target; half as
/// much in background noise.
const ACCELERATE_TICKS: i64 = CHUNK_TICKS;

/// Lack of delay from which on sound is played slower.
const PREEMPTIVE_EXPAND_TICKS: i64 = CHUNK_TICKS / 2;

/// Delay error above which sound is stretched more often and where it correlates less (NetEQ's fast accelerate).
const URGENT_TICKS: i64 = 100 * TICKS_PER_MS;

/// Correlation at which a splice is not heard, and at which it is no great harm (NetEQ's): the larger the delay error,
/// the less is asked for.
const MIN_CORRELATION: f32 = 0.9;
const MIN_CORRELATION_URGENT: f32 = 0.5;

/// Chunks of 10 ms between two splices (NetEQ: 5), and when it is urgent or in background noise.
const MIN_CHUNKS_BETWEEN: u32 = 5;
const MIN_CHUNKS_BETWEEN_URGENT: u32 = 2;

/// Delay error below which a pause is waited for to correct it; but for no more chunks than these: 4 s where the delay
/// is too long, 1 s where it is too short and packets may come too late.
const PATIENT_TICKS: i64 = 60 * TICKS_PER_MS;
const PATIENCE_CHUNKS_LONG: u32 = 400;
const PATIENCE_CHUNKS_SHORT: u32 = 100;

/// State of the stream that is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StreamState {
    /// Comfort noise, until the first packet of a stream has waited for the target delay.
    Buffering,
    /// Packets are played in their turn.
    Playing(Sender),
    /// Sound is filled in because no packet is there.
    Underrun {
        sender: Sender,
        /// Ticks filled in so far.
        filled: i64,
    },
}

/// What the last packet says of the sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sender {
    Talking,
    /// Silent: the packet had 1 or 2 bytes.
    Dtx,
}

/// First packet that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FirstPacket {
    /// Packets missing before it.
    pub missing: i64,
    /// Ticks from the end of the decoded sound to its begin.
    pub gap: i64,
    /// Whether it carries forward error correction.
    pub has_fec: bool,
}

/// What a decision is made from. Delays are in ticks; `excess` is the delay less its target, negative where too short.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum View {
    /// A frame is wanted. While buffering, the delay is the one that the first packet would be played with now.
    FrameWanted { state: StreamState, first: Option<FirstPacket>, excess: i64 },
    /// The sync buffer holds less than the frame.
    SoundWanted {
        state: StreamState,
        first: Option<FirstPacket>,
        excess: i64,
        /// Whether the last packet ended in background noise.
        after_background: bool,
    },
    /// The sync buffer holds the frame.
    FrameReady { state: StreamState, stretch: StretchView },
}

/// Delay error of a frame, and how long it has been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StretchView {
    pub excess: i64,
    /// Whether the frame holds no more than background noise.
    pub is_background: bool,
    /// Chunks of 10 ms since the last splice.
    pub chunks_since_splice: u32,
    /// Chunks of 10 ms since the delay was tolerable.
    pub chunks_off_target: u32,
}

/// Next step in making a frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Operation {
    /// Goes on with the next step: the frame is neither preceded by a flush, nor stretched.
    Normal,
    /// Begins to play with the first packet.
    Start,
    /// Drops packets until the delay is right.
    Flush,
    /// Ends the stream, to begin it again with the packets that are there.
    Restart,
    /// Decodes the first packet; the `skipped` ticks before it are left out.
    Decode { skipped: i64 },
    /// Ends an underrun: of what was filled in, `ticks` stand for what is missing, `packets` of it whole packets.
    Merge { ticks: i64, packets: i64 },
    /// Rebuilds or conceals the next `packets`, of `packet_ticks` each, with the help of the first packet there;
    /// `to_end` where the gap ends with them.
    Recover { packets: i64, packet_ticks: i64, to_end: bool },
    /// Conceals 10 ms, because no packet is there.
    Expand,
    /// Makes 10 ms of comfort noise, because no packet is there and none is expected.
    ComfortNoise,
    /// Makes 10 ms of comfort noise in a pause of the sender; `skipped` ticks of the pause are left out before, or
    /// added where negative.
    Pause { skipped: i64 },
    /// Plays faster, where there is a splice.
    Accelerate(Stretch),
    /// Plays slower, where there is a splice.
    PreemptiveExpand(Stretch),
}

/// Bounds of a splice.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Stretch {
    pub max_ticks: i64,
    pub min_correlation: f32,
}

impl StreamState {
    pub fn is_playing(self) -> bool {
        self != Self::Buffering
    }
}

impl StretchView {
    fn is_too_long(self) -> bool {
        self.excess >= if self.is_background { ACCELERATE_TICKS / 2 } else { ACCELERATE_TICKS }
    }

    /// Whether the delay is as good as right.
    pub fn is_tolerable(self) -> bool {
        !self.is_too_long() && self.excess > -PREEMPTIVE_EXPAND_TICKS
    }
}

/// What to do next.
pub(super) fn decide(view: &View) -> Operation {
    use StreamState::*;
    match *view {
        View::FrameWanted { state: Buffering, first: Some(_), excess: 0.. } => Operation::Start,
        View::FrameWanted { state: Buffering, .. } => Operation::Normal,
        View::FrameWanted { excess, .. } if excess > FLUSH_TICKS => Operation::Flush,
        View::FrameWanted { excess, .. } if excess < -RESTART_TICKS => Operation::Restart,
        View::FrameWanted { .. } => Operation::Normal,

        View::SoundWanted { state: Buffering, .. } => Operation::ComfortNoise,
        View::SoundWanted {
            state: Playing(sender) | Underrun { sender, .. }, first: None, after_background, ..
        } => {
            // Behind background the sender has probably paused (DTX), and noise is continued by noise.
            if sender == Sender::Dtx || after_background { Operation::ComfortNoise } else { Operation::Expand }
        }
        View::SoundWanted { state: Underrun { filled, .. }, first: Some(first), excess, .. } => {
            merge(first, filled.min(first.gap).min(excess))
        }
        View::SoundWanted { state: Playing(sender), first: Some(first), excess, .. } => match first {
            FirstPacket { gap: ..=0, .. } => Operation::Decode { skipped: 0 },
            FirstPacket { missing: 0, gap, .. } => pause(gap, excess),
            FirstPacket { gap, .. } if sender == Sender::Dtx => pause(gap, excess),
            FirstPacket { missing, gap, .. } => recover(gap, missing),
        },

        View::FrameReady { state: Playing(_), stretch } => decide_stretch(stretch),
        View::FrameReady { .. } => Operation::Normal,
    }
}

/// Lets up to `max_ticks` of what was filled in stand for what is missing: only as far as the delay is long enough
/// without. Where it is too short it has now grown, and nothing is lost that can be rebuilt.
fn merge(first: FirstPacket, max_ticks: i64) -> Operation {
    let FirstPacket { missing, gap, has_fec } = first;
    if max_ticks < CHUNK_TICKS {
        return Operation::Merge { ticks: 0, packets: 0 };
    }
    // Forward error correction rebuilds a whole packet or nothing.
    let unit = if missing > 0 && has_fec { gap / missing } else { MIN_PACKET_TICKS };
    let ticks = max_ticks / unit.max(MIN_PACKET_TICKS) * unit;
    Operation::Merge { ticks, packets: (ticks * missing / gap).min(missing - 1).max(0) }
}

/// Goes on with a pause of the sender, of `gap` ticks. It can be of any length: as long as brings the delay to its
/// target.
fn pause(gap: i64, excess: i64) -> Operation {
    let left = (gap - excess).max(0);
    if left < CHUNK_TICKS { Operation::Decode { skipped: gap } } else { Operation::Pause { skipped: gap - left } }
}

/// Fills in for the first of `missing` packets in a gap.
fn recover(gap: i64, missing: i64) -> Operation {
    let packet_ticks = (gap / missing / MIN_PACKET_TICKS * MIN_PACKET_TICKS).clamp(MIN_PACKET_TICKS, MAX_PACKET_TICKS);
    // What redundancy does not reach packet by packet it may reach in one go.
    let packets = ((gap - MAX_PACKET_TICKS + packet_ticks - 1) / packet_ticks)
        .clamp(1, (MAX_PACKET_TICKS / packet_ticks).min(missing));
    let to_end = missing == packets && gap - packets * packet_ticks < MIN_PACKET_TICKS;
    Operation::Recover { packets, packet_ticks, to_end }
}

fn decide_stretch(view: StretchView) -> Operation {
    let StretchView { excess, is_background, chunks_since_splice, chunks_off_target } = view;
    let error = excess.abs();
    if view.is_tolerable() {
        return Operation::Normal;
    }
    let patience = if excess > 0 { PATIENCE_CHUNKS_LONG } else { PATIENCE_CHUNKS_SHORT };
    if !is_background && error < PATIENT_TICKS && chunks_off_target < patience {
        return Operation::Normal;
    }
    let hurried = error > URGENT_TICKS || is_background;
    if chunks_since_splice < if hurried { MIN_CHUNKS_BETWEEN_URGENT } else { MIN_CHUNKS_BETWEEN } {
        return Operation::Normal;
    }
    let urgency = (error as f32 / URGENT_TICKS as f32).min(1.0);
    let min_correlation = match is_background {
        true => f32::NEG_INFINITY,
        false => MIN_CORRELATION + (MIN_CORRELATION_URGENT - MIN_CORRELATION) * urgency,
    };
    let stretch = Stretch { max_ticks: error + PREEMPTIVE_EXPAND_TICKS, min_correlation };
    if view.is_too_long() { Operation::Accelerate(stretch) } else { Operation::PreemptiveExpand(stretch) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Operation::*;
    use Sender::{Dtx, Talking};
    use StreamState::*;

    const MS: i64 = TICKS_PER_MS;

    fn frame_wanted(state: StreamState, first: Option<FirstPacket>, excess_ms: i64) -> Operation {
        decide(&View::FrameWanted { state, first, excess: excess_ms * MS })
    }

    fn sound_wanted(state: StreamState, first: Option<FirstPacket>, excess_ms: i64) -> Operation {
        decide(&View::SoundWanted { state, first, excess: excess_ms * MS, after_background: false })
    }

    fn first(missing: i64, gap_ms: i64) -> Option<FirstPacket> {
        Some(FirstPacket { missing, gap: gap_ms * MS, has_fec: false })
    }

    fn with_fec(missing: i64, gap_ms: i64) -> Option<FirstPacket> {
        first(missing, gap_ms).map(|first| FirstPacket { has_fec: true, ..first })
    }

    #[test]
    fn a_stream_starts_when_its_first_packet_has_waited_and_is_flushed_when_hopeless() {
        for (state, first, excess_ms, expected) in [
            (Buffering, None, 700, Normal),
            (Buffering, first(0, 0), -1, Normal),
            (Buffering, first(0, 0), 0, Start),
            (Buffering, first(0, 0), 700, Start),
            (Playing(Talking), first(0, 0), 500, Normal),
            (Playing(Talking), first(0, 0), 501, Flush),
            (Playing(Dtx), None, 501, Flush),
            (Underrun { sender: Talking, filled: 10 * MS }, first(0, 0), 501, Flush),
            (Playing(Talking), first(0, 0), -1000, Normal),
            (Playing(Talking), first(0, 0), -1001, Restart),
            (Underrun { sender: Dtx, filled: 10 * MS }, None, -1001, Restart),
            (Buffering, first(0, 0), -1001, Normal),
        ] {
            assert_eq!(frame_wanted(state, first, excess_ms), expected, "{state:?} {first:?} {excess_ms} ms");
        }
    }

    #[test]
    fn sound_comes_from_packets_and_what_stands_for_them() {
        let decode = |skipped_ms: i64| Decode { skipped: skipped_ms * MS };
        let paused = |skipped_ms: i64| Pause { skipped: skipped_ms * MS };
        let recover = |packets, packet_ms: i64, to_end| Recover { packets, packet_ticks: packet_ms * MS, to_end };
        for (state, first, excess_ms, expected) in [
            (Buffering, first(0, 0), 0, ComfortNoise),
            (Buffering, None, 0, ComfortNoise),
            // Nothing is there.
            (Playing(Talking), None, 0, Expand),
            (Playing(Dtx), None, 0, ComfortNoise),
            (Underrun { sender: Talking, filled: 30 * MS }, None, 0, Expand),
            (Underrun { sender: Dtx, filled: 30 * MS }, None, 0, ComfortNoise),
            // The next packet, and one that overlaps.
            (Playing(Talking), first(0, 0), 0, decode(0)),
            (Playing(Talking), first(1, -5), 100, decode(0)),
            // Pauses: the timestamps leap, the numbers do not; as long as brings the delay to its target.
            (Playing(Talking), first(0, 100), 0, paused(0)),
            (Playing(Talking), first(0, 100), 60, paused(60)),
            (Playing(Talking), first(0, 100), -60, paused(-60)),
            (Playing(Talking), first(0, 100), 91, decode(100)),
            (Playing(Talking), first(0, 9), 0, decode(9)),
            (Playing(Dtx), first(3, 100), 0, paused(0)),
            // Missing packets.
            (Playing(Talking), first(1, 20), 0, recover(1, 20, true)),
            (Playing(Talking), first(3, 60), 0, recover(1, 20, false)),
            (Playing(Talking), first(9, 180), 0, recover(3, 20, false)),
            (Playing(Talking), first(60, 1200), 0, recover(6, 20, false)),
            (Playing(Talking), first(1, 400), 0, recover(1, 120, false)),
            (
                Playing(Talking),
                first(2, 47),
                0,
                Recover { packets: 1, packet_ticks: 9 * MIN_PACKET_TICKS, to_end: false },
            ),
        ] {
            assert_eq!(sound_wanted(state, first, excess_ms), expected, "{state:?} {first:?} {excess_ms} ms");
        }
        let after_background =
            View::SoundWanted { state: Playing(Talking), first: None, excess: 0, after_background: true };
        assert_eq!(decide(&after_background), ComfortNoise, "noise is continued by noise");
    }

    #[test]
    fn what_was_filled_in_stands_for_missing_sound_only_beyond_the_target_delay() {
        let after = |filled_ms: i64| Underrun { sender: Talking, filled: filled_ms * MS };
        let merge = |ticks_ms: i64, packets| Merge { ticks: ticks_ms * MS, packets };
        for (filled_ms, first, excess_ms, expected) in [
            (40, first(0, 0), 40, merge(0, 0)),
            (40, first(2, 40), 40, merge(40, 1)),
            (40, first(3, 60), 40, merge(40, 2)),
            (40, first(3, 60), 25, merge(25, 1)),
            (40, first(3, 60), 9, merge(0, 0)),
            (40, first(3, 60), -30, merge(0, 0)),
            (200, first(3, 60), 100, merge(60, 2)),
            // Whole packets, where forward error correction may rebuild the next one.
            (40, with_fec(3, 60), 39, merge(20, 1)),
            (40, with_fec(3, 60), 19, merge(0, 0)),
            // A pause.
            (40, first(0, 500), 40, merge(40, 0)),
        ] {
            assert_eq!(sound_wanted(after(filled_ms), first, excess_ms), expected, "{filled_ms} {first:?} {excess_ms}");
        }
    }

    #[test]
    fn sound_is_stretched_where_the_delay_is_off_and_it_is_time() {
        let faster = |max_ms: i64, min_correlation| Accelerate(Stretch { max_ticks: max_ms * MS, min_correlation });
        let slower =
            |max_ms: i64, min_correlation| PreemptiveExpand(Stretch { max_ticks: max_ms * MS, min_correlation });
        let any = f32::NEG_INFINITY;
        // Excess in ms, background, chunks since the last splice, chunks off the target.
        for (excess_ms, is_background, chunks_since_splice, chunks_off_target, expected) in [
            (9, false, 1000, 1000, Normal),
            (-4, false, 1000, 1000, Normal),
            (4, true, 1000, 1000, Normal),
            (5, true, 2, 2, faster(10, any)),
            (5, true, 1, 2, Normal),
            (-5, true, 2, 2, slower(10, any)),
            (10, false, 1000, 399, Normal),
            (10, false, 1000, 400, faster(15, 0.86)),
            (10, false, 4, 400, Normal),
            (-10, false, 1000, 99, Normal),
            (-10, false, 1000, 100, slower(15, 0.86)),
            (60, false, 5, 5, faster(65, 0.66)),
            (60, false, 4, 5, Normal),
            (101, false, 2, 2, faster(106, 0.5)),
            (-300, false, 2, 2, slower(305, 0.5)),
        ] {
            let stretch = StretchView { excess: excess_ms * MS, is_background, chunks_since_splice, chunks_off_target };
            let found = decide(&View::FrameReady { state: Playing(Talking), stretch });
            let same = match (found, expected) {
                (Accelerate(a), Accelerate(b)) | (PreemptiveExpand(a), PreemptiveExpand(b)) => {
                    let close = (a.min_correlation - b.min_correlation).abs() < 1e-6;
                    a.max_ticks == b.max_ticks && (close || a.min_correlation == b.min_correlation)
                }
                _ => found == expected,
            };
            assert!(same, "{stretch:?}: {found:?}, not {expected:?}");
            for state in [Buffering, Underrun { sender: Talking, filled: 10 * MS }] {
                assert_eq!(decide(&View::FrameReady { state, stretch }), Normal);
            }
        }
    }
}
