//! Stretch control: how long the delay has been off its target, and when sound was stretched last.

use super::decision::StretchView;

/// Time since the last splice, and since the delay was right.
pub(super) struct StretchControl {
    /// Length of a frame in chunks of 10 ms.
    frame_chunks: u32,
    chunks_since_splice: u32,
    chunks_off_target: u32,
}

impl StretchControl {
    pub fn new(frame_ms: u32) -> Self {
        Self { frame_chunks: frame_ms / 10, chunks_since_splice: 0, chunks_off_target: 0 }
    }

    /// Forgets when it spliced last.
    pub fn reset(&mut self) {
        (self.chunks_since_splice, self.chunks_off_target) = (0, 0);
    }

    /// Takes note of the delay error of a frame, once a frame while a stream plays.
    pub fn observe(&mut self, excess: i64, is_background: bool) -> StretchView {
        self.chunks_since_splice = self.chunks_since_splice.saturating_add(self.frame_chunks);
        self.chunks_off_target = self.chunks_off_target.saturating_add(self.frame_chunks);
        let mut view = StretchView {
            excess,
            is_background,
            chunks_since_splice: self.chunks_since_splice,
            chunks_off_target: self.chunks_off_target,
        };
        if view.is_tolerable() {
            (self.chunks_off_target, view.chunks_off_target) = (0, 0);
        }
        view
    }

    /// The frame was spliced.
    pub fn spliced(&mut self) {
        self.chunks_since_splice = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::super::decision::{Operation, Sender, StreamState, View, decide};
    use super::super::ticks::TICKS_PER_MS;
    use super::*;

    /// Splices in ten seconds, and the frame of the first one, where everything correlates.
    fn splices(excess_ms: i64, is_background: bool) -> (usize, Option<usize>) {
        let mut control = StretchControl::new(10);
        let mut spliced = Vec::new();
        for frame in 0..1000 {
            let stretch = control.observe(excess_ms * TICKS_PER_MS, is_background);
            if decide(&View::FrameReady { state: StreamState::Playing(Sender::Talking), stretch }) != Operation::Normal
            {
                control.spliced();
                spliced.push(frame);
            }
        }
        (spliced.len(), spliced.first().copied())
    }

    #[test]
    fn small_errors_wait_for_a_pause_and_large_ones_do_not() {
        assert_eq!(splices(9, false), (0, None), "within what is tolerated");
        assert_eq!(splices(-4, false), (0, None));
        let (few, first) = splices(30, false);
        assert!((399..=405).contains(&first.unwrap()) && few > 50, "{few} from {first:?}");
        let (few, first) = splices(-30, false);
        assert!((99..=105).contains(&first.unwrap()) && few > 50, "{few} from {first:?}");
        let (many, first) = splices(30, true);
        assert!(first.unwrap() < 5 && many > 300, "{many} from {first:?}");
        let (many, first) = splices(200, false);
        assert!(first.unwrap() < 5 && many > 300, "{many} from {first:?}");
    }

    #[test]
    fn patience_begins_anew_when_the_delay_was_right() {
        let mut control = StretchControl::new(20);
        let off = |control: &mut StretchControl| control.observe(30 * TICKS_PER_MS, false).chunks_off_target;
        assert_eq!([off(&mut control), off(&mut control)], [2, 4]);
        assert_eq!(control.observe(0, false).chunks_off_target, 0);
        assert_eq!(off(&mut control), 2);
    }
}
