//! `custom_stage`: a stage of one's own runs, is changed while it runs, and refuses what it cannot do.

use voxframe_testkit::program::example;

#[test]
fn a_stage_of_ones_own_works() {
    let run = example("custom_stage", &[]).ok();
    let bars: Vec<usize> = run.stdout.lines().map(|line| line.matches('#').count()).collect();
    // Twice a second from half to nothing and back, 50 ms a bar; switched off after 1250 ms, it is back in 100 ms.
    assert_eq!([0, 5, 10, 15, 20].map(|bar| bars[bar]), [50, 0, 50, 0, 50], "{run:?}");
    assert!(bars[27..30].iter().all(|&bar| bar == 50), "{run:?}");
    assert!(run.stdout.contains("refused: Tremolo::depth must be from 0 to 1, not 2"), "{run:?}");
}
