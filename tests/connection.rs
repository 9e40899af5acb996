//! Connection monitor: exact sequences of qualities and reasons, from synthetic traces and from what stacks report.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use voxframe::call::{ConnectionMonitor, ConnectionQuality, ConnectionReport, ConnectionThresholds};

/// Changes of the quality, as `time quality: reason`, over reports each `step_ms`, and polls each 100 ms in between.
fn changes(step_ms: u64, until_ms: u64, report: impl Fn(f64) -> ConnectionReport) -> Vec<String> {
    let mut monitor = ConnectionMonitor::default();
    let mut changes = Vec::new();
    for at_ms in (0..until_ms).step_by(100) {
        let at = Duration::from_millis(at_ms);
        let changed = match at_ms % step_ms {
            0 => monitor.report(&ConnectionReport { at, ..report(at_ms as f64 / 1000.0) }),
            _ => monitor.poll(at),
        };
        changes.extend(changed.map(|now| {
            assert_eq!(now.since, at);
            format!("{:.1} s {}: {}", at.as_secs_f32(), now.quality, now.reason.unwrap())
        }));
    }
    changes
}

fn rtt(ms: f64) -> ConnectionReport {
    ConnectionReport { round_trip_time_ms: Some(ms as f32), ..ConnectionReport::default() }
}

fn loss(share: f64) -> ConnectionReport {
    ConnectionReport { loss: Some(share as f32), ..ConnectionReport::default() }
}

#[test]
fn a_step_down_is_seen_after_a_second_and_a_half_and_one_up_after_five() {
    // The mean over 5 s passes 50, 100 and 200 ms one after the other, in both directions.
    let found = changes(1000, 40_000, |at| rtt(if (10.0..20.0).contains(&at) { 250.0 } else { 30.0 }));
    let expected = [
        "11.5 s good: round-trip time 74 ms > 50 ms",
        "14.5 s fair: round-trip time 162 ms > 100 ms",
        "17.5 s poor: round-trip time 250 ms > 200 ms",
        "26.0 s fair: round-trip time 118 ms > 100 ms",
        "31.1 s excellent: round-trip time 30 ms ≤ 50 ms",
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_ramp_goes_through_every_quality() {
    let found = changes(1000, 60_000, |at| loss(at.min(60.0 - at).max(0.0) / 400.0));
    let expected = [
        "8.5 s good: loss 1.5 % > 1 %",
        "12.5 s fair: loss 2.5 % > 2 %",
        "24.5 s poor: loss 5.5 % > 5 %",
        "49.0 s fair: loss 3.3 % > 2 %",
    ];
    assert_eq!(found, expected);
}

#[test]
fn noise_around_a_threshold_is_no_flapping() {
    // 2 % ± 1.5 %, anew each second.
    let noisy = |at: f64| (at * 12.9898).sin() * 43_758.547 % 1.0;
    let found = changes(1000, 300_000, |at| loss(0.02 + 0.015 * noisy(at)));
    println!("{found:#?}");
    assert!(found.len() <= 6, "{found:?}");
    // The same as a slow wave, which a quality could follow up and down forty times.
    let found = changes(1000, 300_000, |at| loss(0.02 + 0.015 * (at * 0.42).sin()));
    println!("{found:#?}");
    assert!(found.len() <= 6, "{found:?}");
}

#[test]
fn counters_wrap_begin_anew_and_take_back_what_was_late() {
    let counters = |lost: i64, received: u64| ConnectionReport {
        packets_lost: Some(lost),
        packets_received: Some(received),
        ..ConnectionReport::default()
    };
    // 3 % of 50 packets a second; the other side begins anew at 10 s, from nothing.
    let found = changes(1000, 30_000, |at| {
        let seconds = if at < 10.0 { at + 1000.0 } else { at - 10.0 };
        counters((seconds * 1.5) as i64, (seconds * 48.5) as u64)
    });
    assert_eq!(found, ["2.5 s fair: loss 3.0 % > 2 %"]);
    // The number received passes 2³².
    let found =
        changes(1000, 30_000, |at| counters((at * 1.5) as i64, (4_294_967_000 + (at * 48.5) as u64) & 0xffff_ffff));
    assert_eq!(found, ["2.5 s fair: loss 3.0 % > 2 %"]);
    // Half of what was lost comes late: 8 % and then nothing.
    let found = changes(1000, 30_000, |at| {
        let late = if at as u64 % 2 == 1 { 4 } else { 0 };
        counters(late, (at * 50.0) as u64)
    });
    assert!(found.iter().all(|change| !change.contains("poor")), "{found:?}");
}

/// What str0m told in a call with hardly any loss: two lost packets in 14 s by RTCP reports; by transport feedback a share
/// that jumped between 2 and 21 %, because the last packets of each feedback were still under way.
#[test]
fn a_stack_that_reports_packets_under_way_as_lost() {
    let jumps = [0.02, 0.21, 0.04, 0.0, 0.11, 0.02, 0.18, 0.03, 0.0, 0.07, 0.02, 0.09, 0.03, 0.05];
    let by_feedback = changes(1000, 14_000, |at| loss(jumps[at as usize % jumps.len()]));
    println!("{by_feedback:#?}");
    // With the counters of the reports beside it, those count.
    let by_reports = changes(1000, 14_000, |at| ConnectionReport {
        packets_lost: Some(i64::from(at > 3.0) + i64::from(at > 9.0)),
        packets_received: Some((at * 50.0) as u64),
        ..loss(jumps[at as usize % jumps.len()])
    });
    assert_eq!(by_reports, [""; 0]);
    assert!(by_feedback.len() <= 2, "{by_feedback:?}");
}

#[test]
fn silence_is_poor_and_nonsense_is_left_out() {
    let mut monitor = ConnectionMonitor::default();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&heard);
    monitor.on_change(move |reading| kept.lock().unwrap().push(reading.reason.unwrap().to_string()));
    assert_eq!(monitor.poll(Duration::from_secs(100)), None, "nothing is known");
    let nonsense = ConnectionReport {
        loss: Some(7.0),
        jitter_ms: Some(f32::NAN),
        round_trip_time_ms: Some(-1.0),
        packets_lost: Some(i64::MIN),
        packets_received: Some(u64::MAX),
        ..ConnectionReport::default()
    };
    monitor.report(&nonsense);
    monitor.report(&ConnectionReport { packets_lost: Some(i64::MAX), packets_received: Some(0), ..nonsense });
    assert_eq!((monitor.reading().mean_opinion_score, monitor.reading().reason), (None, None));
    monitor.report(&ConnectionReport { at: Duration::from_secs(20), ..rtt(20.0) });
    monitor.report(&ConnectionReport { at: Duration::from_secs(5), ..rtt(20.0) });
    assert!(monitor.reading().mean_opinion_score.unwrap() > 4.3);
    for tenth in 200..400 {
        monitor.poll(Duration::from_millis(tenth * 100));
    }
    assert_eq!(*heard.lock().unwrap(), ["no report for 13.6 s > 12 s"]);
    assert_eq!(monitor.reading().quality, ConnectionQuality::Poor);
    assert!(ConnectionMonitor::new(ConnectionThresholds { loss: [0.1, 0.05, 0.2], ..Default::default() }).is_err());
}
