//! Format parameters of Opus in SDP (RFC 7587, section 6.1).

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use super::settings::{Bandwidth, OpusEncode, RateControl};

/// Range of a bit rate that RFC 7587 takes seriously, in bits/s.
const BITRATE_BPS: std::ops::RangeInclusive<u32> = 6_000..=510_000;

/// Opus format parameters of an SDP `a=fmtp` line: what their author wants to receive, and may send (`sprop_`).
///
/// Parsed leniently, as RFC 7587 asks: unknown parameters and values out of range are ignored. Printed without what is the
/// default.
///
/// ```
/// use voxframe::opus::Fmtp;
/// let offer: Fmtp = "minptime=10; useinbandfec=1; x-new=7".parse()?;
/// assert!(offer.use_inband_fec && !offer.stereo);
/// assert_eq!(Fmtp { use_inband_fec: true, stereo: true, ..Fmtp::default() }.to_string(), "stereo=1;useinbandfec=1");
/// # Ok::<(), std::convert::Infallible>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fmtp {
    /// `maxplaybackrate`: highest sampling rate worth sending, in Hz, 8000 to 48 000. Default: 48 000.
    pub max_playback_rate_hz: Option<u32>,
    /// `sprop-maxcapturerate`: highest sampling rate that will be sent, in Hz, 8000 to 48 000. Default: 48 000.
    pub sprop_max_capture_rate_hz: Option<u32>,
    /// `ptime`: preferred packet length in ms, 3 to 120.
    pub ptime_ms: Option<u32>,
    /// `minptime`: shortest packet wanted in ms, 3 to 120.
    pub min_ptime_ms: Option<u32>,
    /// `maxptime`: longest packet wanted in ms, 3 to 120.
    pub max_ptime_ms: Option<u32>,
    /// `maxaveragebitrate`: highest average bit rate wanted in bits/s, 6000 to 510 000.
    pub max_average_bitrate_bps: Option<u32>,
    /// `stereo`: stereo is preferred to mono. Default: no.
    pub stereo: bool,
    /// `sprop-stereo`: stereo is likely to be sent. Default: no.
    pub sprop_stereo: bool,
    /// `cbr`: constant bit rate is wanted. Default: no.
    pub cbr: bool,
    /// `useinbandfec`: forward error correction can be used. Default: no.
    pub use_inband_fec: bool,
    /// `usedtx`: discontinuous transmission is wanted. Default: no.
    pub use_dtx: bool,
}

impl FromStr for Fmtp {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let mut fmtp = Self::default();
        for (key, value) in text.split(';').filter_map(|parameter| parameter.split_once('=')) {
            let number = value.trim().parse::<u32>().ok();
            let within = |range: std::ops::RangeInclusive<u32>| number.filter(|number| range.contains(number));
            let flag = number == Some(1);
            match key.trim() {
                "maxplaybackrate" => fmtp.max_playback_rate_hz = within(8_000..=48_000),
                "sprop-maxcapturerate" => fmtp.sprop_max_capture_rate_hz = within(8_000..=48_000),
                "ptime" => fmtp.ptime_ms = within(3..=120),
                "minptime" => fmtp.min_ptime_ms = within(3..=120),
                "maxptime" => fmtp.max_ptime_ms = within(3..=120),
                "maxaveragebitrate" => fmtp.max_average_bitrate_bps = within(BITRATE_BPS),
                "stereo" => fmtp.stereo = flag,
                "sprop-stereo" => fmtp.sprop_stereo = flag,
                "cbr" => fmtp.cbr = flag,
                "useinbandfec" => fmtp.use_inband_fec = flag,
                "usedtx" => fmtp.use_dtx = flag,
                _ => {}
            }
        }
        Ok(fmtp)
    }
}

impl fmt::Display for Fmtp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flag = |on: bool| on.then_some(1);
        let parameters = [
            ("maxplaybackrate", self.max_playback_rate_hz),
            ("sprop-maxcapturerate", self.sprop_max_capture_rate_hz),
            ("ptime", self.ptime_ms),
            ("minptime", self.min_ptime_ms),
            ("maxptime", self.max_ptime_ms),
            ("maxaveragebitrate", self.max_average_bitrate_bps),
            ("stereo", flag(self.stereo)),
            ("sprop-stereo", flag(self.sprop_stereo)),
            ("cbr", flag(self.cbr)),
            ("useinbandfec", flag(self.use_inband_fec)),
            ("usedtx", flag(self.use_dtx)),
        ];
        let mut separator = "";
        for (key, value) in parameters.iter().filter_map(|(key, value)| value.map(|value| (key, value))) {
            write!(f, "{separator}{key}={value}")?;
            separator = ";";
        }
        Ok(())
    }
}

impl OpusEncode {
    /// These settings, bent to what a receiver's format parameters ask for: bandwidth, bit rate ceiling, packet length,
    /// forward error correction, DTX and constant bit rate.
    ///
    /// What the parameters leave open stays. Forward error correction is turned on only where the receiver can use it;
    /// whether the receiver wants stereo ([`Fmtp::stereo`]) is for the format of the frames.
    ///
    /// ```
    /// use voxframe::OpusEncode;
    /// let opus = OpusEncode::voip().with_fmtp("minptime=10;useinbandfec=1;maxplaybackrate=16000");
    /// assert_eq!((opus.fec, opus.packet_ms), (true, 20.0));
    /// ```
    pub fn with_fmtp(self, fmtp: &str) -> Self {
        let fmtp: Fmtp = fmtp.parse().unwrap_or_default();
        let max_bandwidth = match fmtp.max_playback_rate_hz.unwrap_or(48_000) {
            0..12_000 => Bandwidth::Narrow,
            12_000..16_000 => Bandwidth::Medium,
            16_000..24_000 => Bandwidth::Wide,
            24_000..48_000 => Bandwidth::SuperWide,
            _ => Bandwidth::Full,
        };
        let shortest = fmtp.min_ptime_ms.unwrap_or(0) as f32;
        let longest = fmtp.max_ptime_ms.map_or(f32::INFINITY, |ms| ms as f32);
        let wanted = fmtp.ptime_ms.map_or(self.packet_ms, |ms| ms as f32);
        Self {
            max_bandwidth: max_bandwidth.min(self.max_bandwidth),
            packet_ms: nearest_packet_ms(wanted, shortest, longest).unwrap_or(self.packet_ms),
            bitrate_bps: self.bitrate_bps.min(fmtp.max_average_bitrate_bps.unwrap_or(u32::MAX)),
            rate_control: if fmtp.cbr { RateControl::Cbr } else { self.rate_control },
            fec: fmtp.use_inband_fec,
            dtx: self.dtx || fmtp.use_dtx,
            ..self
        }
    }

    /// Format parameters that say what this encoder will send, for an offer or answer. What a receiver wants is added by
    /// the application: see the fields of [`Fmtp`].
    pub fn fmtp(&self, channels: usize) -> Fmtp {
        let rate_hz = match self.max_bandwidth {
            Bandwidth::Narrow => Some(8_000),
            Bandwidth::Medium => Some(12_000),
            Bandwidth::Wide => Some(16_000),
            Bandwidth::SuperWide => Some(24_000),
            Bandwidth::Full => None,
        };
        Fmtp {
            sprop_max_capture_rate_hz: rate_hz,
            sprop_stereo: channels == 2,
            use_inband_fec: true,
            ..Fmtp::default()
        }
    }
}

/// The packet length of Opus nearest to `wanted` within both bounds.
fn nearest_packet_ms(wanted: f32, shortest: f32, longest: f32) -> Option<f32> {
    let fits = super::settings::PACKET_MS.into_iter().filter(|ms| (shortest..=longest).contains(ms));
    fits.min_by(|a, b| (a - wanted).abs().total_cmp(&(b - wanted).abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_browsers_send_is_understood() {
        // Chromium's and Firefox's lines.
        let chromium: Fmtp = "minptime=10;useinbandfec=1".parse().unwrap();
        assert_eq!(chromium, Fmtp { min_ptime_ms: Some(10), use_inband_fec: true, ..Fmtp::default() });
        let firefox: Fmtp = "maxplaybackrate=48000;stereo=1;useinbandfec=1".parse().unwrap();
        assert!(firefox.stereo && firefox.max_playback_rate_hz == Some(48_000));
    }

    #[test]
    fn what_is_printed_is_read_back_and_nonsense_is_ignored() {
        let all = Fmtp {
            max_playback_rate_hz: Some(16_000),
            sprop_max_capture_rate_hz: Some(24_000),
            ptime_ms: Some(20),
            min_ptime_ms: Some(10),
            max_ptime_ms: Some(60),
            max_average_bitrate_bps: Some(20_000),
            stereo: true,
            sprop_stereo: true,
            cbr: true,
            use_inband_fec: true,
            use_dtx: true,
        };
        assert_eq!(all.to_string().parse(), Ok(all));
        let nonsense = ";;=;stereo;cbr=2;usedtx=yes;ptime=0;maxaveragebitrate=99999999999;maxplaybackrate=-1;a=b=c";
        assert_eq!(nonsense.parse(), Ok(Fmtp::default()));
        assert_eq!(Fmtp::default().to_string(), "");
    }

    #[test]
    fn an_encoder_gives_what_a_receiver_asks_for() {
        let base = OpusEncode { bitrate_bps: 40_000, ..OpusEncode::voip() };
        assert_eq!(base.with_fmtp(""), base);
        let narrow = base.with_fmtp("maxplaybackrate=8000;maxaveragebitrate=12000;ptime=40;cbr=1;usedtx=1");
        assert_eq!((narrow.max_bandwidth, narrow.bitrate_bps, narrow.packet_ms), (Bandwidth::Narrow, 12_000, 40.0));
        assert_eq!((narrow.rate_control, narrow.dtx, narrow.fec), (RateControl::Cbr, true, false));
        assert_eq!(base.with_fmtp("minptime=60").packet_ms, 60.0);
        assert_eq!(base.with_fmtp("maxptime=10").packet_ms, 10.0);
        assert_eq!(base.with_fmtp("minptime=70;maxptime=75").packet_ms, 20.0, "no packet is as long as that");
        for (hz, band) in [(8_000, Bandwidth::Narrow), (12_000, Bandwidth::Medium), (16_000, Bandwidth::Wide)] {
            let sent = OpusEncode { max_bandwidth: band, ..base }.fmtp(1).to_string();
            assert_eq!(sent, format!("sprop-maxcapturerate={hz};useinbandfec=1"));
        }
    }
}
