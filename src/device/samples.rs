//! Sample types of audio devices and their conversion from and to 32-bit floats.

pub use dasp::sample::{I24, U24};

mod sealed {
    pub trait Sealed {}
}

/// Sample type of an audio device: `i8`, `i16`, [`I24`], `i32`, `i64`, `u8`, `u16`, [`U24`], `u32`, `u64`, `f32` or
/// `f64`, which are the types of `cpal`.
///
/// Full scale is ±1.0 in floats and the whole range in integers: 0 is −1.0 in the unsigned types, and their middle is
/// silence. [`I24`] and [`U24`] are `dasp`'s, held in 32 bits; bits above the 24 are ignored.
///
/// ```
/// use voxframe::device::{DeviceSample, I24};
/// assert_eq!([0u8.to_f32(), i16::MIN.to_f32(), I24::from(1 << 22).to_f32()], [-1.0, -1.0, 0.5]);
/// assert_eq!((u16::from_f32(0.0), i16::from_f32(7.0)), (32_768, 32_767));
/// ```
pub trait DeviceSample: Copy + Send + 'static + sealed::Sealed {
    /// Value as a float. Exact up to 24 bits; the nearest float for wider types.
    fn to_f32(self) -> f32;

    /// Nearest value to a float, halves away from zero. Integers are clipped at full scale, floats are not; NaN is
    /// silence in an integer.
    fn from_f32(value: f32) -> Self;
}

/// A value at another full scale, which a cast makes the nearest integer. (On a stock x86-64, `round` is a call.)
fn rounded(value: f32, full_scale: f64) -> f64 {
    let scaled = f64::from(value) * full_scale;
    scaled + 0.5f64.copysign(scaled)
}

macro_rules! integers {
    ($($signed:ident, $unsigned:ident, $full_scale:expr;)*) => {$(
        impl sealed::Sealed for $signed {}
        impl sealed::Sealed for $unsigned {}

        impl DeviceSample for $signed {
            fn to_f32(self) -> f32 {
                self as f32 * (1.0 / $full_scale)
            }

            fn from_f32(value: f32) -> Self {
                // The cast saturates.
                rounded(value, $full_scale) as $signed
            }
        }

        impl DeviceSample for $unsigned {
            fn to_f32(self) -> f32 {
                ((self ^ (1 << ($unsigned::BITS - 1))) as $signed).to_f32()
            }

            fn from_f32(value: f32) -> Self {
                $signed::from_f32(value) as $unsigned ^ (1 << ($unsigned::BITS - 1))
            }
        }
    )*};
}

integers! {
    i8, u8, 128.0;
    i16, u16, 32_768.0;
    i32, u32, 2_147_483_648.0;
    i64, u64, 9_223_372_036_854_775_808.0;
}

/// Half the range of 24 bits.
const HALF_24: i32 = 1 << 23;

impl sealed::Sealed for I24 {}

impl DeviceSample for I24 {
    fn to_f32(self) -> f32 {
        // Shifted up, the sign is where it belongs and the upper bits are gone.
        (self.inner() << 8).to_f32()
    }

    fn from_f32(value: f32) -> Self {
        I24::new_unchecked((rounded(value, HALF_24.into()) as i32).clamp(-HALF_24, HALF_24 - 1))
    }
}

impl sealed::Sealed for U24 {}

impl DeviceSample for U24 {
    fn to_f32(self) -> f32 {
        ((self.inner() ^ HALF_24) << 8).to_f32()
    }

    fn from_f32(value: f32) -> Self {
        U24::new_unchecked(I24::from_f32(value).inner() + HALF_24)
    }
}

impl sealed::Sealed for f32 {}

impl DeviceSample for f32 {
    fn to_f32(self) -> f32 {
        self
    }

    fn from_f32(value: f32) -> Self {
        value
    }
}

impl sealed::Sealed for f64 {}

impl DeviceSample for f64 {
    fn to_f32(self) -> f32 {
        self as f32
    }

    fn from_f32(value: f32) -> Self {
        value.into()
    }
}

/// Adds every `stride`th sample, times `gain`, to `sums`.
pub(super) fn add<S: DeviceSample>(sums: &mut [f32], samples: &[S], stride: usize, gain: f32) {
    let each = |(sum, sample): (&mut f32, &S)| *sum += sample.to_f32() * gain;
    // A known stride is several times as fast, and most devices have one channel or two.
    match stride {
        1 => sums.iter_mut().zip(samples).for_each(each),
        2 => sums.iter_mut().zip(samples.iter().step_by(2)).for_each(each),
        _ => sums.iter_mut().zip(samples.iter().step_by(stride)).for_each(each),
    }
}

/// Writes `values` to every `stride`th sample.
pub(super) fn put<S: DeviceSample>(samples: &mut [S], stride: usize, values: &[f32]) {
    for (sample, value) in samples.iter_mut().step_by(stride).zip(values) {
        *sample = S::from_f32(*value);
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use super::*;

    /// Each sample is this float, and this float is the sample.
    #[track_caller]
    fn exact<S: DeviceSample + PartialEq + Debug>(pairs: &[(S, f32)]) {
        for &(sample, value) in pairs {
            assert_eq!(sample.to_f32(), value, "{sample:?}");
            assert_eq!(S::from_f32(value), sample, "{value}");
        }
    }

    /// Each float becomes this sample.
    #[track_caller]
    fn nearest<S: DeviceSample + PartialEq + Debug>(pairs: &[(f32, S)]) {
        for &(value, sample) in pairs {
            assert_eq!(S::from_f32(value), sample, "{value}");
        }
    }

    #[test]
    fn every_type_is_converted_exactly_both_ways() {
        exact(&[(-128i8, -1.0), (-1, -0.007_812_5), (0, 0.0), (64, 0.5), (127, 0.992_187_5)]);
        exact(&[(0u8, -1.0), (127, -0.007_812_5), (128, 0.0), (192, 0.5), (255, 0.992_187_5)]);
        exact(&[(-32_768i16, -1.0), (-1, -1.0 / 32_768.0), (0, 0.0), (32_767, 0.999_969_5)]);
        exact(&[(0u16, -1.0), (32_767, -1.0 / 32_768.0), (32_768, 0.0), (65_535, 0.999_969_5)]);
        let i24 = |value| I24::new(value).unwrap();
        let u24 = |value| U24::new(value).unwrap();
        exact(&[(i24(-8_388_608), -1.0), (i24(-1), -1.0 / 8_388_608.0), (i24(8_388_607), 0.999_999_9)]);
        exact(&[(u24(0), -1.0), (u24(8_388_607), -1.0 / 8_388_608.0), (u24(8_388_608), 0.0), (u24(12_582_912), 0.5)]);
        exact(&[(i32::MIN, -1.0), (-1 << 30, -0.5), (0, 0.0), (1 << 30, 0.5), (256, 1.0 / 8_388_608.0)]);
        exact(&[(0u32, -1.0), (1 << 30, -0.5), (1 << 31, 0.0), (3 << 30, 0.5)]);
        exact(&[(i64::MIN, -1.0), (0, 0.0), (1 << 62, 0.5)]);
        exact(&[(0u64, -1.0), (1 << 63, 0.0), (3 << 62, 0.5)]);
        exact(&[(-3.5f32, -3.5), (0.1, 0.1)]);
        exact(&[(-3.5f64, -3.5), (0.25, 0.25)]);
        assert_eq!(0.1f64.to_f32(), 0.1f32);
    }

    #[test]
    fn floats_are_rounded_and_clipped() {
        nearest(&[(-2.0, -128i8), (2.0, 127), (0.5 / 128.0, 1), (-0.5 / 128.0, -1), (0.49 / 128.0, 0)]);
        nearest(&[(-2.0, 0u8), (2.0, 255), (0.5 / 128.0, 129), (f32::NAN, 128)]);
        nearest(&[(-2.0, -32_768i16), (0.999_99, 32_767), (0.5, 16_384), (f32::NAN, 0)]);
        nearest(&[(f32::NEG_INFINITY, 0u16), (f32::INFINITY, 65_535), (f32::NAN, 32_768)]);
        for (value, sample) in [(-2.0, -8_388_608), (0.999_99, 8_388_524), (0.5, 4_194_304), (2.0, 8_388_607)] {
            assert_eq!(I24::from_f32(value).inner(), sample);
            assert_eq!(U24::from_f32(value).inner(), sample + 8_388_608);
        }
        nearest(&[(-2.0, i32::MIN), (0.999_99, 2_147_462_144), (0.5, 1 << 30), (2.0, i32::MAX)]);
        nearest(&[(-2.0, 0u32), (2.0, u32::MAX), (0.0, 1 << 31)]);
        nearest(&[(-2.0, i64::MIN), (2.0, i64::MAX), (0.0, 0)]);
        nearest(&[(-2.0, 0u64), (2.0, u64::MAX), (f32::NAN, 1 << 63)]);
        nearest(&[(2.0, 2.0f64), (-2.0, -2.0)]);
    }

    #[test]
    fn bits_above_the_24_do_not_count() {
        assert_eq!(I24::new_unchecked(0x00ff_ffff).to_f32(), -1.0 / 8_388_608.0);
        assert_eq!(I24::new_unchecked(0x7f00_0001).to_f32(), 1.0 / 8_388_608.0);
        assert_eq!(U24::new_unchecked(0x7f80_0000).to_f32(), 0.0);
    }

    #[test]
    fn one_channel_of_many_is_picked() {
        let mut sums = [1.0; 2];
        add(&mut sums, &[0.2, 0.3, 0.4, 0.5, 0.6], 3, 10.0);
        assert_eq!(sums, [3.0, 6.0]);
        let mut samples = [9i16; 5];
        put(&mut samples, 3, &[0.5, -0.5]);
        assert_eq!(samples, [16_384, 9, 9, -16_384, 9]);
    }
}
