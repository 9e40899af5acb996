//! The sample types of devices.

use dasp::Sample;

/// Samples of one of the types that devices deliver.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Samples<'a> {
    /// 16-bit integers.
    I16(&'a [i16]),
    /// 24-bit integers in the lower bits of 32; the upper eight are ignored.
    I24(&'a [i32]),
    /// 32-bit integers.
    I32(&'a [i32]),
    /// Floats with full scale at ±1.0.
    F32(&'a [f32]),
}

/// Room for samples of one of the types that devices take. Integers are rounded, and clipped at full scale.
#[derive(Debug)]
#[non_exhaustive]
pub enum SamplesMut<'a> {
    /// 16-bit integers.
    I16(&'a mut [i16]),
    /// 24-bit integers, sign-extended to 32.
    I24(&'a mut [i32]),
    /// 32-bit integers.
    I32(&'a mut [i32]),
    /// Floats with full scale at ±1.0, never clipped.
    F32(&'a mut [f32]),
}

macro_rules! conversions {
    ($($ty:ty => $variant:ident),*) => {$(
        impl<'a> From<&'a [$ty]> for Samples<'a> {
            fn from(samples: &'a [$ty]) -> Self {
                Samples::$variant(samples)
            }
        }

        impl<'a> From<&'a mut [$ty]> for SamplesMut<'a> {
            fn from(samples: &'a mut [$ty]) -> Self {
                SamplesMut::$variant(samples)
            }
        }
    )*};
}

conversions!(i16 => I16, i32 => I32, f32 => F32);

impl Samples<'_> {
    /// The number of samples, all channels together.
    pub fn len(&self) -> usize {
        match self {
            Samples::I16(s) => s.len(),
            Samples::I24(s) | Samples::I32(s) => s.len(),
            Samples::F32(s) => s.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds every `stride`th sample from `offset` on, times `gain`, to `sums`.
    pub(super) fn add_to(&self, sums: &mut [f32], offset: usize, stride: usize, gain: f32) {
        fn add<S: Copy>(sums: &mut [f32], samples: &[S], stride: usize, gain: f32, float: impl Fn(S) -> f32) {
            let each = |(sum, sample): (&mut f32, &S)| *sum += float(*sample) * gain;
            // A known stride is several times as fast, and most devices have one channel or two.
            match stride {
                1 => sums.iter_mut().zip(samples).for_each(each),
                2 => sums.iter_mut().zip(samples.iter().step_by(2)).for_each(each),
                _ => sums.iter_mut().zip(samples.iter().step_by(stride)).for_each(each),
            }
        }
        match self {
            Samples::I16(s) => add(sums, &s[offset..], stride, gain, |s| s.to_sample()),
            // Shifted up, the sign is where it belongs and the upper bits are gone.
            Samples::I24(s) => add(sums, &s[offset..], stride, gain, |s| (s << 8).to_sample()),
            Samples::I32(s) => add(sums, &s[offset..], stride, gain, |s| s.to_sample()),
            Samples::F32(s) => add(sums, &s[offset..], stride, gain, |s| s),
        }
    }
}

impl SamplesMut<'_> {
    /// The number of samples, all channels together.
    pub fn len(&self) -> usize {
        match self {
            SamplesMut::I16(s) => s.len(),
            SamplesMut::I24(s) | SamplesMut::I32(s) => s.len(),
            SamplesMut::F32(s) => s.len(),
        }
    }

    /// Whether there is room for none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes every `stride`th sample from `offset` on.
    pub(super) fn put(&mut self, offset: usize, stride: usize, values: &[f32]) {
        fn put<S>(samples: &mut [S], stride: usize, values: &[f32], convert: impl Fn(f32) -> S) {
            for (sample, value) in samples.iter_mut().step_by(stride).zip(values) {
                *sample = convert(*value);
            }
        }
        // A cast from float saturates.
        match self {
            SamplesMut::I16(s) => put(&mut s[offset..], stride, values, |v| rounded(v, 32_768.0) as i16),
            SamplesMut::I24(s) => {
                put(&mut s[offset..], stride, values, |v| (rounded(v, 8_388_608.0) as i32).clamp(-8_388_608, 8_388_607))
            }
            SamplesMut::I32(s) => put(&mut s[offset..], stride, values, |v| rounded(v, 2_147_483_648.0) as i32),
            SamplesMut::F32(s) => put(&mut s[offset..], stride, values, |v| v),
        }
    }
}

/// A value at another full scale, which a cast makes the nearest integer. (On a stock x86-64, `round` is a call.)
fn rounded(value: f32, full_scale: f64) -> f64 {
    let scaled = f64::from(value) * full_scale;
    scaled + 0.5f64.copysign(scaled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_comes_back_as_it_went() {
        let check = |samples: Samples<'_>, wanted: &[f32]| {
            let mut sums = vec![0.0; wanted.len()];
            samples.add_to(&mut sums, 0, 1, 1.0);
            assert_eq!(sums, wanted);
        };
        let (mut short, mut packed, mut long) = ([-32_768, -1, 0, 32_767], [0; 3], [0; 3]);
        check(Samples::I16(&short), &[-1.0, -1.0 / 32_768.0, 0.0, 32_767.0 / 32_768.0]);
        check(Samples::I24(&[0x00ff_ffff, -8_388_608, 0x7f00_0001]), &[-1.0 / 8_388_608.0, -1.0, 1.0 / 8_388_608.0]);
        check(Samples::I32(&[i32::MIN, 1 << 30]), &[-1.0, 0.5]);
        for (i, value) in [-2.0, 0.999_99, 0.5].into_iter().enumerate() {
            SamplesMut::I16(&mut short).put(i, 1, &[value]);
            SamplesMut::I24(&mut packed).put(i, 1, &[value]);
            SamplesMut::I32(&mut long).put(i, 1, &[value]);
        }
        assert_eq!(short[..3], [-32_768, 32_767, 16_384]);
        assert_eq!(packed, [-8_388_608, 8_388_524, 4_194_304]);
        assert_eq!(long, [i32::MIN, 2_147_462_144, 1 << 30]);
    }

    #[test]
    fn one_channel_of_many_is_picked() {
        let mut sums = [1.0; 2];
        Samples::F32(&[0.1, 0.2, 0.3, 0.4, 0.5, 0.6]).add_to(&mut sums, 1, 3, 10.0);
        assert_eq!(sums, [3.0, 6.0]);
    }
}
