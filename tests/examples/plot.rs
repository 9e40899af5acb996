//! `plot`: any WAV file that the others read is drawn.

use std::fs;

use voxframe_testkit::program::example;
use voxframe_testkit::wav::{self, fixture_path};

use crate::Folder;

#[test]
fn plot_draws_any_wav_file_that_the_others_read() {
    let folder = Folder::new();
    let (text, picture) = (folder.file("text.wav"), folder.file("out.png"));
    let [before, after] = ["speech_noisy.wav", "speech_stereo_44100.wav"].map(fixture_path);
    let float = folder.file("float.wav");
    wav::write(&float, 44_100, 1, 32, &[0.1; 44_100]);
    for (before, after) in [(&before, &after), (&float, &before)] {
        example("plot", &[before, after, &picture]).ok();
        let file = std::io::BufReader::new(fs::File::open(&picture).unwrap());
        let mut reader = png::Decoder::new(file).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut pixels).unwrap();
        let colours: std::collections::HashSet<&[u8]> = pixels.chunks_exact(3).collect();
        assert!(reader.info().size() == (1400, 1630) && colours.len() > 200, "{}", colours.len());
    }
    fs::write(&text, "no sound").unwrap();
    example("plot", &[&text, &after, &picture]).refused(&text, "but something else");
}
