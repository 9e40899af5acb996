//! What is compared with what, and the ratio that is aimed at.

/// Ratio of two cases, or of the difference of two cases and a third.
pub struct Pair {
    /// What is measured of ours.
    pub what: &'static str,
    pub ours: Ours,
    /// What it is measured against.
    pub peer: &'static str,
    pub peer_case: &'static str,
    /// Largest ratio aimed at; none for what is only to be known.
    pub target: Option<f64>,
    /// Whether it stands in the README.
    pub in_readme: bool,
}

pub enum Ours {
    Case(&'static str),
    /// What the first takes more than the second, which does all else that the first does.
    Difference([&'static str; 2]),
}

impl Pair {
    const fn in_readme(self) -> Self {
        Self { in_readme: true, ..self }
    }

    pub fn name(&self) -> String {
        format!("{} over {}", self.what, self.peer)
    }

    /// Whether it is many streams, so that building it takes long.
    pub fn is_large(&self) -> bool {
        self.peer == "one stream"
    }

    /// Cases of ours, and then the peer's.
    pub fn cases(&self) -> Vec<&'static str> {
        match self.ours {
            Ours::Case(ours) => vec![ours, self.peer_case],
            Ours::Difference([more, less]) => vec![more, less, self.peer_case],
        }
    }

    /// What each case takes as what ours and the peer's take.
    pub fn sides(&self, costs: &[f64]) -> [f64; 2] {
        match (&self.ours, costs) {
            (Ours::Difference(_), [more, less, peer]) => [more - less, *peer],
            (_, [ours, peer]) => [*ours, *peer],
            _ => unreachable!("a cost for each case"),
        }
    }
}

/// Hush over hush-vani in commit df25d54, which the aim is half of: median of four runs, 0.42 to 0.46.
const HUSH_BEFORE: f64 = 0.44;

pub const PAIRS: &[Pair] = &[
    pair("`Gain`", "gain-l2", "copy of the frame", "copy-l2", Some(1.3)).in_readme(),
    pair("`Gain`", "gain-l2", "copy to the first cache", "copy-l2-to-l1", None),
    pair("`NoiseGate` and `LevelMeter`", "gate-meter-l2", "copy of the frame", "copy-l2", Some(3.0)).in_readme(),
    pair("`HighPass`", "high-pass-l2", "copy of the frame", "copy-l2", Some(25.0)).in_readme(),
    pair("`Limiter`, at rest", "limiter-idle-l2", "copy of the frame", "copy-l2", Some(6.0)).in_readme(),
    pair("`Limiter`, limiting all the time", "limiter-busy-l2", "copy of the frame", "copy-l2", Some(60.0)).in_readme(),
    pair("`Gain`", "gain-l2", "plain loop", "plain-gain-l2", None),
    pair("`LevelMeter`", "meter-l2", "plain loop for the RMS", "plain-rms-l2", None),
    pair("`HighPass`", "high-pass-l2", "plain loop of two biquads", "plain-biquads-l2", None),
    pair("`Denoise`, `Light`", "denoise-light", "nnnoiseless", "nnnoiseless", Some(0.35)).in_readme(),
    pair("`Denoise`, `Standard`", "denoise-standard", "nnnoiseless", "nnnoiseless", Some(1.8)).in_readme(),
    pair("`Denoise`, `Best`", "denoise-best", "nnnoiseless", "nnnoiseless", Some(3.5)).in_readme(),
    rnnoise("RNNoise 0.2 in C, as built by pyrnnoise with its weights as floats", "rnnoise-0.2-c", Some(0.25))
        .in_readme(),
    rnnoise("RNNoise 0.2 in C, with its weights as integers", "rnnoise-0.2-c-int8", Some(0.25)),
    Pair {
        what: "Hush in `Denoise` (`Best` less `Standard`)",
        ours: Ours::Difference(["denoise-best", "denoise-standard"]),
        peer: "hush-vani",
        peer_case: "hush-vani/16k-mono-10ms",
        target: Some(0.5 * HUSH_BEFORE),
        in_readme: false,
    },
    pair("low-latency", "low-latency", "sonora: NS and AGC2", "sonora-ns-agc2", Some(0.1)).in_readme(),
    pair("balanced", "balanced", "sonora: NS and AGC2", "sonora-ns-agc2", Some(1.5)).in_readme(),
    pair("high-quality", "high-quality", "sonora: NS and AGC2", "sonora-ns-agc2", None).in_readme(),
    pair("`Denoise`, `Standard`", "denoise-standard", "sonora: NS", "sonora-ns", None),
    pair("`AutoGain` with its detector", "auto-gain", "sonora: AGC2", "sonora-agc2", None),
    pair("`EchoCancel`", "call-echo-cancel", "sonora: AEC3", "sonora-aec3", None).in_readme(),
    pair("low-latency with echo cancellation", "call-low-latency", "sonora: AEC3", "sonora-aec3", None),
    pair(
        "balanced with echo cancellation",
        "call-balanced",
        "sonora: AEC3, NS and AGC2",
        "sonora-aec3-ns-agc2",
        Some(1.2),
    )
    .in_readme(),
    pair(
        "high-quality with echo cancellation",
        "call-high-quality",
        "sonora: AEC3, NS and AGC2",
        "sonora-aec3-ns-agc2",
        None,
    ),
    pair("`VoiceActivity`", "voice-activity/16k-mono-10ms", "earshot", "earshot/16k-mono-10ms", None),
    pair("`LoudnessMeter`", "loudness", "ebur128", "ebur128", None).in_readme(),
    pair("`Resample` 16 → 48 kHz", "resample-to-48k/16k-mono-10ms", "rubato", "rubato-to-48k/16k-mono-10ms", None)
        .in_readme(),
    pair(
        "`Resample` 44.1 → 48 kHz",
        "resample-to-48k/44.1k-mono-10ms",
        "rubato",
        "rubato-to-48k/44.1k-mono-10ms",
        None,
    ),
    pair("`OpusEncode`, 20 ms", "opus-encode/48k-mono-20ms", "libopus", "libopus-encode/48k-mono-20ms", None)
        .in_readme(),
    pair("`OpusDecode`, 20 ms", "opus-decode/48k-mono-20ms", "libopus", "libopus-decode/48k-mono-20ms", None)
        .in_readme(),
    pair("balanced, 10 streams in turn", "balanced-of-10", "one stream", "balanced-of-1", None),
    pair("balanced, 100 streams in turn", "balanced-of-100", "one stream", "balanced-of-1", None),
    pair("balanced, 1000 streams in turn", "balanced-of-1000", "one stream", "balanced-of-1", Some(1.25)),
    pair("`Denoise`, `Standard`, batch of 64", "denoise-standard-of-64", "one stream", "denoise-standard", Some(0.4)),
    pair("`Denoise`, `Best`, batch of 64", "denoise-best-of-64", "one stream", "denoise-best", Some(0.4)),
];

/// An engine that is to be as fast beside a busy thread as alone.
pub const LEAST_DISTURBED: (&str, &str, f64) = ("`Denoise`, `Best`, beside the busy thread", "denoise-best", 1.3);

const fn pair(
    what: &'static str,
    ours: &'static str,
    peer: &'static str,
    peer_case: &'static str,
    target: Option<f64>,
) -> Pair {
    Pair { what, ours: Ours::Case(ours), peer, peer_case, target, in_readme: false }
}

/// Our RNNoise 0.2 is only to be had together with RNNoise 0.1, in `Standard`: so the difference holds what the vote costs too.
const fn rnnoise(peer: &'static str, peer_case: &'static str, target: Option<f64>) -> Pair {
    let ours = Ours::Difference(["denoise-standard", "denoise-light"]);
    Pair { what: "RNNoise 0.2 in `Denoise` (`Standard` less `Light`)", ours, peer, peer_case, target, in_readme: false }
}
