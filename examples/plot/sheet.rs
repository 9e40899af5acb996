//! The sheet.

use std::error::Error;
use std::ops::Range;

use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::register_font;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::analysis::{BIN_HZ, RATE_HZ, Track, when};
use crate::common::canvas::{Canvas, SCALE, magma};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;
type Area<'a> = DrawingArea<BitMapBackend<'a>, Shift>;
type Panel<'a> = ChartContext<'a, BitMapBackend<'a>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

const WIDTH: u32 = 1400;
const HEIGHT: u32 = 1630;
const LEFT: u32 = 84;
const RIGHT: u32 = 118;
/// Below a panel.
const GAP: u32 = 16;
const BEFORE: RGBColor = RGBColor(150, 150, 150);
const AFTER: RGBColor = RGBColor(0, 107, 178);
const INK: RGBColor = RGBColor(45, 45, 45);
const GRID: RGBColor = RGBColor(224, 224, 224);
/// The spectrogram's colours span so many dB, down from the loudest sound.
const SPAN_DB: f32 = 75.0;
/// A gain is drawn where the level before was higher than this, in dBFS: that of nothing has no meaning.
const AUDIBLE_DBFS: f32 = -80.0;

/// Draws both recordings.
pub fn draw(before: &Track, after: &Track) -> Result<Canvas> {
    for (style, font) in [(FontStyle::Normal, notosans::REGULAR_TTF), (FontStyle::Bold, notosans::BOLD_TTF)] {
        register_font("sans-serif", style, font).map_err(|_| "the font cannot be read")?;
    }
    let mut canvas = Canvas::new(WIDTH * SCALE, HEIGHT * SCALE);
    let size = (canvas.width, canvas.height);
    let root = BitMapBackend::with_buffer(&mut canvas.pixels, size).into_drawing_area();
    let tracks = [(before, BEFORE), (after, AFTER)];
    let mut sheet = Sheet { root, seconds: before.seconds().max(after.seconds()), top: 26 };
    sheet.header(tracks)?;
    sheet.waveforms(tracks)?;
    sheet.spectrograms(tracks)?;
    sheet.levels(tracks)?;
    sheet.speech(tracks)?;
    sheet.gain(before, after)?;
    sheet.root.present()?;
    drop(sheet);
    Ok(canvas.reduced())
}

/// A sheet being filled from the top.
struct Sheet<'a> {
    root: Area<'a>,
    seconds: f64,
    /// Where the next panel begins.
    top: u32,
}

impl<'a> Sheet<'a> {
    /// The names, which tell the colours too, and what can be said of the whole in figures.
    fn header(&mut self, tracks: [(&Track, RGBColor); 2]) -> Result {
        for ((track, colour), which) in tracks.into_iter().zip(["before", "after"]) {
            let corners = [(LEFT, self.top), (LEFT + 20, self.top + 20)].map(|corner| signed(scaled(corner)));
            self.root.draw(&Rectangle::new(corners, colour.filled()))?;
            // The font's letters sit a little high in their line.
            let middle = self.top + 13;
            let left = Pos::new(HPos::Left, VPos::Center);
            self.text((LEFT + 32, middle), which, 26, FontStyle::Bold, left)?;
            self.text((LEFT + 134, middle), &track.name, 26, FontStyle::Normal, left)?;
            let [lufs, floor] = [track.lufs, track.noise_floor()].map(|level| number(f64::from(level.round())));
            let figures = format!("{:.1} s   {lufs} LUFS   noise floor {floor} dBFS", track.seconds());
            self.text((WIDTH - RIGHT, middle), &figures, 26, FontStyle::Normal, Pos::new(HPos::Right, VPos::Center))?;
            self.top += 40;
        }
        self.top += 12;
        Ok(())
    }

    fn waveforms(&mut self, tracks: [(&Track, RGBColor); 2]) -> Result {
        let peak = tracks.iter().flat_map(|(track, _)| &track.samples).fold(0.01f32, |peak, s| peak.max(s.abs()));
        let full = f64::from((peak * 10.0).ceil() / 10.0);
        let columns = ((WIDTH - LEFT - RIGHT) * SCALE) as usize;
        let per_column = self.seconds * f64::from(RATE_HZ) / columns as f64;
        for ((track, colour), which) in tracks.into_iter().zip(["before", "after"]) {
            let title = format!("Waveform {which} (full scale is 1)");
            let mut panel = self.panel(&title, 96, -full..full, &[-full, 0.0, full], number)?;
            panel.draw_series((0..columns).filter_map(|column| {
                let start = (column as f64 * per_column) as usize;
                // One sample more, so that the columns touch.
                let end = ((column + 1) as f64 * per_column) as usize + 1;
                let samples = track.samples.get(start..end.min(track.samples.len()))?;
                let [low, high] = samples.iter().fold([0.0f32; 2], |[low, high], &s| [low.min(s), high.max(s)]);
                let t = start as f64 / f64::from(RATE_HZ);
                Some(PathElement::new(vec![(t, low.into()), (t, high.into())], colour.stroke_width(SCALE)))
            }))?;
        }
        Ok(())
    }

    fn spectrograms(&mut self, tracks: [(&Track, RGBColor); 2]) -> Result {
        let loudest = tracks.iter().flat_map(|(track, _)| &track.spectra).flat_map(|(_, levels)| levels);
        let top_db = (loudest.fold(-45.0f32, |most, &db| most.max(db)) / 5.0).ceil() * 5.0;
        let ticks = [0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 24.0].map(|khz| mel(khz * 1000.0));
        for ((track, _), which) in tracks.into_iter().zip(["before", "after"]) {
            let title = format!("Spectrogram {which} (kHz, mel scale)");
            let range = 0.0..mel(f64::from(RATE_HZ) / 2.0);
            let panel = self.panel(&title, 236, range.clone(), &ticks, |m| number(hertz(m).round() / 1000.0))?;
            let area = panel.plotting_area().strip_coord_spec();
            let (width, height) = area.dim_in_pixel();
            for y in 0..height {
                let hz = |y: u32| hertz(range.end * (1.0 - f64::from(y) / f64::from(height)));
                let bins = hz(y + 1) / BIN_HZ..hz(y) / BIN_HZ;
                for x in 0..width {
                    let t = self.seconds * (f64::from(x) + 0.5) / f64::from(width);
                    if t <= track.seconds() {
                        let (r, g, b) = magma(1.0 + (level_at(track, t, &bins) - top_db) / SPAN_DB);
                        area.draw_pixel((x as i32, y as i32), &RGBColor(r, g, b))?;
                    }
                }
            }
            self.colour_bar(236, top_db)?;
        }
        Ok(())
    }

    /// What the colours mean, right of the panel of this height that was drawn last.
    fn colour_bar(&self, height: u32, top_db: f32) -> Result {
        let left = WIDTH - RIGHT + 16;
        let top = self.top - height - GAP;
        for y in 0..height * SCALE {
            let (r, g, b) = magma(1.0 - y as f32 / (height * SCALE) as f32);
            let (x, y) = ((left * SCALE) as i32, (top * SCALE + y) as i32);
            self.root.draw(&PathElement::new(vec![(x, y), (x + 14 * SCALE as i32, y)], RGBColor(r, g, b)))?;
        }
        for step in 0..=3 {
            let y = top + height * step / 3;
            let text = number((top_db - SPAN_DB * step as f32 / 3.0).into());
            let text = if step == 0 { format!("{text} dB") } else { text };
            self.label((left + 22, y), &text, Pos::new(HPos::Left, VPos::Center))?;
        }
        Ok(())
    }

    fn levels(&mut self, tracks: [(&Track, RGBColor); 2]) -> Result {
        let quietest = tracks.iter().flat_map(|(track, _)| &track.levels).fold(0.0, |least, &db| db.min(least));
        let low = (f64::from(quietest) / 20.0).floor().max(-5.0) * 20.0;
        let ticks = tens(low, 0.0, 20.0);
        let mut panel = self.panel("Level (dBFS, RMS over 50 ms)", 190, low..0.0, &ticks, number)?;
        for (track, colour) in tracks {
            let points = track.levels.iter().enumerate().map(|(i, &db)| (when(i), f64::from(db).clamp(low, 0.0)));
            panel.draw_series(line(points, colour))?;
        }
        Ok(())
    }

    fn speech(&mut self, tracks: [(&Track, RGBColor); 2]) -> Result {
        let mut panel = self.panel("Speech probability (RNNoise)", 110, 0.0..1.0, &[0.0, 0.5, 1.0], number)?;
        for (track, colour) in tracks {
            panel.draw_series(line(track.speech.iter().copied(), colour))?;
        }
        Ok(())
    }

    fn gain(&mut self, before: &Track, after: &Track) -> Result {
        let gains = || {
            let pairs = before.levels.iter().zip(&after.levels).enumerate();
            let heard = pairs.map(|(i, (&b, &a))| (when(i), (b > AUDIBLE_DBFS).then_some(f64::from(a - b))));
            heard.map(|(t, gain)| (t, gain.map(|gain| gain.clamp(-70.0, 40.0))))
        };
        let all = || gains().filter_map(|(_, gain)| gain);
        let low = (all().fold(0.0, f64::min) / 10.0).floor() * 10.0;
        let high = ((all().fold(0.0, f64::max) / 10.0).ceil() * 10.0).max(low + 10.0);
        let ticks = tens(low, high, if high - low > 40.0 { 20.0 } else { 10.0 });
        let mut panel = self.panel("Gain, after − before (dB)", 150, low..high, &ticks, number)?;
        panel.draw_series([PathElement::new(vec![(0.0, 0.0), (self.seconds, 0.0)], BEFORE.stroke_width(SCALE))])?;
        let points: Vec<_> = gains().collect();
        for run in points.split(|(_, gain)| gain.is_none()).filter(|run| !run.is_empty()) {
            panel.draw_series(line(run.iter().filter_map(|&(t, gain)| Some((t, gain?))), AFTER))?;
        }
        for t in time_ticks(self.seconds) {
            let x = LEFT + (f64::from(WIDTH - LEFT - RIGHT) * t / self.seconds) as u32;
            let text = if t == 0.0 { "0 s".into() } else { number(t) };
            self.label((x, self.top - GAP + 8), &text, Pos::new(HPos::Center, VPos::Top))?;
        }
        Ok(())
    }

    /// A panel below the last one, with a grid.
    fn panel(
        &mut self,
        title: &str,
        height: u32,
        range: Range<f64>,
        ticks: &[f64],
        label: impl Fn(f64) -> String,
    ) -> Result<Panel<'a>> {
        self.top += 34;
        let anchor = Pos::new(HPos::Left, VPos::Bottom);
        self.text((LEFT, self.top - 8), title, 23, FontStyle::Bold, anchor)?;
        let (place, size) = ((LEFT, self.top), (WIDTH - LEFT - RIGHT, height));
        let area = self.root.clone().shrink(scaled(place), scaled(size));
        let mut panel = ChartBuilder::on(&area).build_cartesian_2d(0.0..self.seconds, range.clone())?;
        let across = ticks.iter().map(|&y| [(0.0, y), (self.seconds, y)]);
        let down = time_ticks(self.seconds).into_iter().map(|t| [(t, range.start), (t, range.end)]);
        panel.draw_series(across.chain(down).map(|line| PathElement::new(line, GRID.stroke_width(SCALE))))?;
        for &tick in ticks {
            let share = (range.end - tick) / (range.end - range.start);
            let y = self.top + (f64::from(height) * share) as u32;
            self.label((LEFT - 10, y), &label(tick), Pos::new(HPos::Right, VPos::Center))?;
        }
        self.top += height + GAP;
        Ok(panel)
    }

    /// What stands at an axis.
    fn label(&self, place: (u32, u32), text: &str, anchor: Pos) -> Result {
        self.text(place, text, 21, FontStyle::Normal, anchor)
    }

    /// A text that has its anchor at a place.
    fn text(&self, place: (u32, u32), text: &str, size: u32, style: FontStyle, anchor: Pos) -> Result {
        let style = ("sans-serif", size * SCALE, style).into_font().color(&INK).pos(anchor);
        Ok(self.root.draw_text(text, &style, signed(scaled(place)))?)
    }
}

fn scaled((x, y): (u32, u32)) -> (u32, u32) {
    (x * SCALE, y * SCALE)
}

fn signed((x, y): (u32, u32)) -> (i32, i32) {
    (x as i32, y as i32)
}

/// A line through points, piece by piece: drawn whole, its sharp bends would have long tips.
fn line(
    points: impl Iterator<Item = (f64, f64)> + Clone,
    colour: RGBColor,
) -> impl Iterator<Item = PathElement<(f64, f64)>> {
    let ends = points.clone().skip(1);
    points.zip(ends).map(move |(a, b)| PathElement::new([a, b], colour.stroke_width(2 * SCALE)))
}

/// The level in dB at a time over a range of FFT bins: the mean of the powers, or between two bins what lies between.
fn level_at(track: &Track, t: f64, bins: &Range<f64>) -> f32 {
    let after = track.spectra.partition_point(|(when, _)| *when < t).clamp(1, track.spectra.len() - 1);
    let [(t0, first), (t1, second)] = &track.spectra[after - 1..=after] else { return f32::NEG_INFINITY };
    let part = ((t - t0) / (t1 - t0)).clamp(0.0, 1.0) as f32;
    let between = |a: f32, b: f32, part: f32| {
        let [a, b] = [a, b].map(|db| db.max(-300.0));
        a + (b - a) * part
    };
    let bin = |k: usize| between(first[k.min(first.len() - 1)], second[k.min(second.len() - 1)], part);
    if bins.end - bins.start > 2.0 {
        let (start, end) = (bins.start as usize, bins.end as usize);
        let power: f32 = (start..end).map(|k| 10f32.powf(bin(k) / 10.0)).sum();
        return 10.0 * (power / (end - start) as f32).log10();
    }
    let middle = 0.5 * (bins.start + bins.end);
    between(bin(middle as usize), bin(middle as usize + 1), middle.fract() as f32)
}

/// O'Shaughnessy's mel scale.
fn mel(hz: f64) -> f64 {
    2595.0 * (1.0 + hz / 700.0).log10()
}

fn hertz(mel: f64) -> f64 {
    700.0 * (10f64.powf(mel / 2595.0) - 1.0)
}

/// The multiples of `step` in a range.
fn tens(low: f64, high: f64, step: f64) -> Vec<f64> {
    ((low / step).ceil() as i32..=(high / step).floor() as i32).map(|n| f64::from(n) * step).collect()
}

/// Round times, at most a dozen.
fn time_ticks(seconds: f64) -> Vec<f64> {
    let steps = (-1..).flat_map(|power| [1.0, 2.0, 5.0].map(|digit| digit * 10f64.powi(power)));
    let step = steps.into_iter().find(|step| seconds / step <= 12.0).unwrap_or(seconds);
    (0..=(seconds / step) as usize).map(|n| n as f64 * step).collect()
}

/// A number with a real minus sign.
fn number(value: f64) -> String {
    let rounded = (value * 100.0).round() / 100.0;
    format!("{}", if rounded == 0.0 { 0.0 } else { rounded }).replace('-', "−")
}
