//! The tables in `docs/stages.md` against the code: every setting is there, with the default it has; both ends of its
//! range are accepted, and what lies just outside is refused.

use voxframe::denoise::Engine;
use voxframe::echo::Suppression;
use voxframe::input_check::InputCheck;
use voxframe::resample::Quality;
use voxframe::*;

/// A setting as the code has it.
struct Setting<S> {
    name: &'static str,
    /// The default, as a table shows it.
    default: String,
    /// Its number, where it is one.
    number: Option<f64>,
    /// Changes it to a number; `None` where its type has no such number.
    set: fn(&mut S, f64) -> Option<()>,
    /// The next number up or down.
    next: fn(f64, bool) -> f64,
}

/// A type of setting.
trait Value: Copy + std::fmt::Debug {
    fn shown(self) -> String {
        format!("`{self:?}`")
    }

    fn number(self) -> Option<f64> {
        None
    }

    fn of(_number: f64) -> Option<Self> {
        None
    }

    fn next(number: f64, up: bool) -> f64 {
        number + if up { 1.0 } else { -1.0 }
    }
}

impl Value for f32 {
    fn shown(self) -> String {
        self.to_string()
    }

    fn number(self) -> Option<f64> {
        Some(self.into())
    }

    fn of(number: f64) -> Option<Self> {
        Some(number as f32)
    }

    fn next(number: f64, up: bool) -> f64 {
        let number = number as f32;
        (if up { number.next_up() } else { number.next_down() }).into()
    }
}

macro_rules! integers {
    ($($type:ty),*) => {$(
        impl Value for $type {
            fn shown(self) -> String {
                self.to_string()
            }

            fn number(self) -> Option<f64> {
                Some(self.into())
            }

            fn of(number: f64) -> Option<Self> {
                (f64::from(Self::MIN)..=f64::from(Self::MAX)).contains(&number).then_some(number as Self)
            }
        }
    )*};
}

integers!(u8, u32);

impl Value for bool {
    fn shown(self) -> String {
        if self { "yes" } else { "no" }.into()
    }
}

impl Value for Engine {}
impl Value for Suppression {}
impl Value for Quality {}
#[cfg(feature = "opus")]
mod opus {
    use voxframe::opus::{Application, Bandwidth, RateControl, Signal};

    use super::*;

    impl Value for Application {}
    impl Value for RateControl {}
    impl Value for Signal {}
    impl Value for Bandwidth {}

    impl Value for OpusDecode {
        fn shown(self) -> String {
            if self == Self::default() { "default" } else { "changed" }.into()
        }
    }
}

/// A row of a table.
struct Row {
    name: String,
    default: String,
    range: String,
    unit: String,
}

/// A table cell as the code would write it: with a hyphen for a minus, without spaces in numbers.
fn plain(cell: &str) -> String {
    let cell: Vec<char> = cell.trim().replace('−', "-").chars().collect();
    let is_digit = |i: usize| cell.get(i).is_some_and(char::is_ascii_digit);
    let within = |i: usize| cell[i] == ' ' && i > 0 && is_digit(i - 1) && (1..4).all(|more| is_digit(i + more));
    (0..cell.len()).filter(|&i| !within(i)).map(|i| cell[i]).collect()
}

/// The rows of a stage's table.
fn table(stage: &str) -> Vec<Row> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/stages.md");
    let text = std::fs::read_to_string(path).unwrap();
    let section = text.split("\n## ").find(|section| section.lines().next() == Some(stage));
    let section = section.unwrap_or_else(|| panic!("{stage} has no section"));
    assert!(section.contains("Latency: "), "{stage}: no word on latency");
    let rows = section.lines().filter(|line| line.starts_with("| `")).map(|line| {
        let cells: Vec<String> = line.trim_matches('|').split('|').map(plain).collect();
        let [name, default, range, unit, live, source] = &cells[..] else { panic!("{stage}: {line}") };
        assert!(["live", "fixed"].contains(&live.as_str()), "{stage}: {line}");
        assert!(!source.is_empty() || default == "default", "{stage}: no source: {line}");
        let (default, range, unit) = (default.clone(), range.clone(), unit.clone());
        Row { name: name.trim_matches('`').into(), default, range, unit }
    });
    rows.collect()
}

fn check<S: Copy>(stage: &str, defaults: S, settings: &[Setting<S>], prepare: impl Fn(S) -> Result<()>) {
    let rows = table(stage);
    let names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names, settings.iter().map(|setting| setting.name).collect::<Vec<_>>(), "{stage}");
    prepare(defaults).unwrap();
    for (setting, row) in settings.iter().zip(&rows) {
        let name = format!("{stage}::{}", setting.name);
        assert!(row.default == "none" || row.default == setting.default, "{name}: {}", setting.default);
        for (ending, unit) in [
            ("_ms", "ms"),
            ("_hz", "Hz"),
            ("_percent", "%"),
            ("_bps", "bit/s"),
            ("_db_per_s", "dB/s"),
            ("_dbov", "dBov"),
        ] {
            assert!(!setting.name.ends_with(ending) || row.unit == unit, "{name}: {}", row.unit);
        }
        assert!(!setting.name.ends_with("_db") || row.unit.starts_with("dB"), "{name}: {}", row.unit);

        let accepted = |number: f64| {
            let mut changed = defaults;
            (setting.set)(&mut changed, number).is_some() && prepare(changed).is_ok()
        };
        if setting.number.is_none() || row.range == "any" {
            let choices: Vec<&str> = row.range.split(", ").collect();
            assert!(setting.number.is_some() || row.default == "default" || choices.contains(&row.default.as_str()));
            continue;
        }
        // A bound may be another setting, which has its default.
        let bound = |text: &str| {
            let of = |setting: &Setting<S>| setting.number.unwrap_or_else(|| panic!("{name}: {text}"));
            let other = settings.iter().find(|other| text == format!("`{}`", other.name));
            other.map(of).unwrap_or_else(|| text.parse().unwrap_or_else(|_| panic!("{name}: {text}")))
        };
        let pieces: Vec<(f64, f64)> = row
            .range
            .split(", ")
            .map(|piece| {
                let (low, high) = piece.split_once(" to ").unwrap_or((piece, piece));
                let low = low.strip_prefix("above ").map_or_else(|| bound(low), |low| (setting.next)(bound(low), true));
                let below = high.strip_prefix("below ");
                (low, below.map_or_else(|| bound(high), |high| (setting.next)(bound(high), false)))
            })
            .collect();
        for &(low, high) in &pieces {
            assert!(accepted(low) && accepted(high), "{name}: {low} to {high} is refused");
            for outside in [(setting.next)(low, false), (setting.next)(high, true)] {
                assert!(!accepted(outside), "{name}: {outside} is accepted");
            }
        }
        assert!(!accepted(f64::NAN) || (setting.next)(0.0, true) == 1.0, "{name}: NaN is accepted");
    }
}

macro_rules! check {
    ($stage:ident { $($field:ident),* $(,)? }, $defaults:expr, $prepare:expr) => {{
        let defaults: $stage = $defaults;
        // Fails to compile if a setting is missing.
        let $stage { $($field),* } = defaults;
        fn next<V: Value>(_: V) -> fn(f64, bool) -> f64 {
            V::next
        }
        let settings = [$(Setting::<$stage> {
            name: stringify!($field),
            default: $field.shown(),
            number: $field.number(),
            set: |settings, number| Some(settings.$field = Value::of(number)?),
            next: next($field),
        }),*];
        check(stringify!($stage), defaults, &settings, $prepare);
    }};
    ($stage:ident { $($field:ident),* $(,)? }) => {
        check!($stage { $($field),* }, $stage::default(), |stage: $stage| stage.prepare(format()).map(drop))
    };
}

fn format() -> Format {
    Format::mono(48_000).unwrap()
}

#[test]
#[rustfmt::skip] // a line a stage
fn the_tables_are_what_the_code_does() {
    check!(InputCheck { silence_db, silence_ms });
    check!(Gain { gain_db, muted, ramp_ms });
    check!(EchoCancel { suppression, comfort_noise, delay_hint_ms, bypassed });
    check!(HighPass { cutoff_hz, order, rumble_db, bypassed });
    check!(NoiseGate { open_db, close_db, attack_ms, hold_ms, release_ms, floor_db, window_ms, above_noise_db, lookahead_ms });
    check!(AutoGain { target_dbov, max_gain_db, up_db_per_s, down_db_per_s, tolerance_db, max_noise_dbfs, bypassed });
    check!(VoiceActivity { onset_threshold, offset_threshold, hangover_ms });
    check!(Limiter { ceiling_db, lookahead_ms, release_ms });
    check!(LevelMeter { interval_ms, hold_ms, fall_db_per_s });
    #[cfg(feature = "resample")]
    check!(Resample { sample_rate_hz, quality }, Resample::to(48_000), |stage: Resample| stage.prepare(format()).map(drop));
    #[cfg(feature = "denoise")]
    check!(Denoise { engine, suppression_db, bypassed });
    #[cfg(feature = "loudness")]
    use voxframe::loudness::LoudnessMeter;
    #[cfg(feature = "loudness")]
    check!(LoudnessMeter { dual_mono, programme });
    #[cfg(feature = "spectrum")]
    use voxframe::spectrum::Spectrum;
    #[cfg(feature = "spectrum")]
    check!(Spectrum { fft_size, smoothing, min_db, max_db });
    // Without it, what needs it is refused.
    #[cfg(feature = "deep-plc")]
    {
        check!(OpusEncode { application, packet_ms, bitrate_bps, rate_control, complexity, signal, max_bandwidth, fec, loss_percent, dred_ms, dtx }, OpusEncode::default(), |stage: OpusEncode| stage.prepare(format()).map(drop));
        check!(OpusDecode { gain_db, complexity }, OpusDecode::default(), |stage: OpusDecode| stage.prepare(format()).map(drop));
    }
    #[cfg(feature = "opus")]
    check!(JitterBuffer { min_delay_ms, max_delay_ms, start_delay_ms, quantile, forget_factor, max_redundancy_wait_ms, decoder }, JitterBuffer::default(), |buffer: JitterBuffer| buffer.open(format()).map(drop));
}

#[test]
fn numbers_are_read_as_they_are_written() {
    for (cell, number) in [(" −120 ", "-120"), ("600 000", "600000"), ("10 to 10 000", "10 to 10000"), ("1 2", "1 2")]
    {
        assert_eq!(plain(cell), number);
    }
}
