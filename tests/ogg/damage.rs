//! Damage becomes lost packets, and nothing else is lost with it.

use voxframe::OpusEncode;
use voxframe::opus::Application;

use crate::files::{decode, packets_of, pages, read, read_with_damage, speech, write_packets};
use crate::{file_of, refused};

#[test]
fn missing_pages_are_lost_packets() {
    let speech = [speech(), speech(), speech()].concat();
    for (bitrate_bps, across, length) in [(24_000, false, 96_000), (510_000, false, 96_001), (400_000, true, 288_000)] {
        let sound = &speech[..length];
        let settings = OpusEncode { bitrate_bps, application: Application::Audio, ..OpusEncode::voip() };
        let mut file = file_of(settings, sound);
        if across {
            // Hardly a page ends where a packet does.
            let mut packets = packets_of(&file);
            let mut granule = 0;
            for packet in &mut packets[2..] {
                granule += 960;
                (packet.1, packet.2) = (packet.1.min(granule), false);
            }
            file = write_packets(&packets);
        }
        let (whole, sounded) = (read(&file), decode(&file));
        let pages = pages(&file);
        assert!(pages.len() > 3);
        for missing in 2..pages.len() {
            let page = pages[missing].clone();
            let holed = [&file[..page.start], &file[page.end..]].concat();
            let (mut damaged, mut lengthened) = (file.clone(), file.clone());
            damaged[page.end - 1] ^= 4;
            lengthened[page.start + 26..][..1 + usize::from(file[page.start + 26])].fill(255);
            for (bytes, skipped) in [(&holed, 0), (&damaged, page.len()), (&lengthened, page.len())] {
                let (found, damage) = read_with_damage(bytes);
                // A hole at the end is not seen, and one at the beginning could be a live stream's.
                let within = missing > 2 && missing < pages.len() - 1;
                let lost_pages = u64::from(within);
                assert_eq!((damage.skipped_bytes, damage.lost_pages), (skipped as u64, lost_pages));
                // Who could tell a last page that says it is longer from one that is not all there?
                let truncated = bytes == &lengthened && missing == pages.len() - 1;
                assert_eq!((damage.invalid_packets, damage.truncated), (0, truncated));
                let lost = found.iter().filter(|read| read.packet.is_lost()).count();
                assert_eq!(lost > 0, within, "page {missing} of {}", pages.len());
                if !within {
                    continue;
                }
                assert_eq!(found.len(), whole.len());
                let mut next = None;
                for (found, whole) in found.iter().zip(&whole).rev() {
                    assert_eq!(found.packet.position(), whole.packet.position());
                    assert_eq!((found.packet.duration(), found.end), (whole.packet.duration(), whole.end));
                    match (found.packet.is_lost(), next) {
                        (false, _) => {
                            assert_eq!(found.packet.as_bytes(), whole.packet.as_bytes());
                            next = Some(whole.packet.as_bytes());
                        }
                        // All of a hole carries what comes behind it, whose FEC or DRED may reach that far.
                        (true, bytes) => assert_eq!(found.packet.as_bytes(), bytes.unwrap_or_default()),
                    }
                }
                let concealed = decode(bytes);
                assert_eq!(concealed.len(), sound.len());
                let before = found.iter().position(|read| read.packet.is_lost()).unwrap() * 960 - 312 - 480;
                assert!(concealed[..before] == sounded[..before]);
            }
        }
    }
}

#[test]
fn a_file_cut_anywhere_is_read_as_far_as_it_goes() {
    let file = file_of(OpusEncode::voip(), &speech()[..60_000]);
    let whole = read(&file);
    let pages = pages(&file);
    for length in 0..file.len() {
        let bytes = &file[..length];
        if length < pages[1].end {
            let wanted = if length == 0 { "not an Ogg file" } else { "ends within its headers" };
            assert_eq!(refused(bytes), wanted, "{length} bytes");
            continue;
        }
        let (found, damage) = read_with_damage(bytes);
        assert!(found.len() < whole.len() && found.iter().zip(&whole).all(|(a, b)| a.packet == b.packet));
        assert_eq!(damage.truncated, !pages.iter().any(|page| page.end == length), "{length} bytes");
    }
}
