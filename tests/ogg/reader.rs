//! What others wrote is read as they meant it.

use std::fs;

use voxframe::ogg::{OggDamage, OggError, OggHead, OggReader};
use voxframe::{Format, OpusDecode, OpusEncode, Packet, Processor, Stage};
use voxframe_testkit::program::tool;
use voxframe_testkit::signal::level;
use voxframe_testkit::wav::{self, fixture_path, recordings_folder};

use crate::files::{
    Paged, Read, decode, encode, mend_checksums, packets_of, pages, read, read_with_damage, speech, stream_of, write,
    write_packets,
};
use crate::{MONO, file_of, refused};

/// Decodes a file, which opusdec, if it is installed, must decode to the same within a step of 16 bits.
#[track_caller]
fn decode_as_opusdec(file: &[u8]) -> Vec<f32> {
    let ours = decode(file);
    let folder = tempfile::tempdir().unwrap();
    let (path, out) = (folder.path().join("in.opus"), folder.path().join("out.wav"));
    fs::write(&path, file).unwrap();
    if tool("opusdec", &[&"--quiet", &"--float", &"--rate", &"48000", &path, &out]).is_some() {
        let theirs = wav::read(&out).samples;
        assert_eq!(theirs.len(), ours.len());
        let off = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        println!("{} samples, off by at most {:.3} steps of 16 bits", ours.len(), off * 32_768.0);
        assert!(off <= 1.0 / 32_768.0, "off by {off}");
    }
    ours
}

#[test]
fn sound_is_cut_at_any_rate() {
    let file = file_of(OpusEncode::voip(), &speech()[..30_003]);
    for (rate_hz, samples) in [(48_000, 30_003), (24_000, 15_002), (16_000, 10_001), (8_000, 5_001)] {
        let mut reader = OggReader::new(&file[..]).unwrap();
        let mut decoder = OpusDecode::default().prepare(Format::new(rate_hz, 1).unwrap()).unwrap();
        let (mut packet, mut heard) = (Packet::new(), Vec::new());
        while reader.read(&mut packet).unwrap() {
            while !packet.is_empty() {
                if let Some(frame) = decoder.process(&mut packet).unwrap() {
                    heard.extend(frame.samples()[reader.audible_range(frame)].to_vec());
                }
            }
        }
        assert_eq!(heard.len(), samples, "{rate_hz} Hz");
        assert!(rate_hz != 48_000 || heard == decode(&file));
    }
}

#[test]
fn other_encoders_files_are_decoded_to_the_sample() {
    let folder = tempfile::tempdir().unwrap();
    let (input, path) = (fixture_path("speech_clean.wav"), folder.path().join("out.opus"));
    for frame_ms in ["2.5", "5", "10", "20", "40", "60"] {
        if tool("opusenc", &[&"--quiet", &"--framesize", &frame_ms, &input, &path]).is_none() {
            return;
        }
        assert_eq!(decode(&fs::read(&path).unwrap()).len() as u64, wav::read(&input).header.samples, "{frame_ms} ms");
    }
}

#[test]
fn headers_and_granules_are_obeyed() {
    let original = packets_of(&file_of(OpusEncode::voip(), &[speech(), speech()].concat()[..130_000]));
    let plain = decode(&write_packets(&original));
    assert_eq!(plain.len(), 130_000);
    let decode_changed = |change: &dyn Fn(&mut Vec<Paged>)| {
        let mut packets = original.clone();
        change(&mut packets);
        decode_as_opusdec(&write_packets(&packets))
    };

    let quieter = decode_changed(&|packets| packets[0].0[16..18].copy_from_slice(&(-6i16 * 256).to_le_bytes()));
    assert!((level(&plain) - level(&quieter) - 6.0).abs() < 0.05);

    let skipped = decode_changed(&|packets| packets[0].0[10..12].copy_from_slice(&1312u16.to_le_bytes()));
    assert!(skipped[..] == plain[1000..], "{} of {}", skipped.len(), plain.len());

    // The last page may cut more than its last packet, but nothing before it.
    let shorter = decode_changed(&|packets| packets.last_mut().unwrap().1 -= 1700);
    assert!(shorter[..] == plain[..plain.len() - 1700], "{} of {}", shorter.len(), plain.len());
    let page_before = original.iter().rev().skip(1).find(|packet| packet.2).unwrap().1;
    let mut none = original.clone();
    none.last_mut().unwrap().1 = page_before - 5000;
    let none = decode(&write_packets(&none)); // opusdec finds that this is too much
    assert!(none[..] == plain[..page_before as usize - 312]);
    // Nor does it where it does not say that it is the last.
    let unended = decode_changed(&|packets| packets.last_mut().unwrap().3 = false);
    assert_eq!(unended.len(), (original.len() - 2) * 960 - 312);
    let longer = decode_changed(&|packets| packets.last_mut().unwrap().1 += 100_000);
    assert_eq!(longer.len(), unended.len());

    // Where a page says something else than its packets, the last page counts from there.
    let page = |packets: &[Paged], number: usize| packets.iter().position(|packet| packet.1 > 48_000 * number as u64);
    let (second, last) = (page(&original, 1).unwrap(), original.len() - 1);
    assert!(original[last].1 > original[second].1, "there are three pages");
    let shifted = decode_changed(&|packets| packets[second..].iter_mut().for_each(|packet| packet.1 += 480));
    assert!(shifted == plain);
    // What says too early that it is the last page is not.
    let early = decode_changed(&|packets| packets[second - 1].3 = true);
    assert!(early == plain);

    // A recording of a live stream begins anywhere.
    let joined = decode_changed(&|packets| packets[2..].iter_mut().for_each(|packet| packet.1 += 123_456_789));
    assert!(joined == plain);

    // Comments of any length are passed over.
    let commented = decode_changed(&|packets| packets[1].0.extend([7; 300_000]));
    assert!(commented == plain);
}

#[test]
fn streams_behind_each_other_are_read_one_after_the_other() {
    let speech = speech();
    let first = file_of(OpusEncode::voip(), &speech[..50_001]);
    let mono = decode(&first);
    let loud = OggHead { channels: 2, input_rate_hz: 16_000, gain_db: -3.5 };
    let stereo: Vec<f32> = speech[..30_000].iter().flat_map(|sample| [*sample, -sample]).collect();
    let second = write(loud, &encode(OpusEncode::voip(), 2, &stereo), 30_000);

    let mut chained = first.clone();
    chained.extend(&second);
    let found = read(&chained);
    let of = |stream: usize| -> Vec<&Read> { found.iter().filter(|read| read.stream == stream).collect() };
    let (one, two) = (of(0), of(1));
    assert_eq!(one.len() + two.len(), found.len());
    assert!(one.iter().all(|read| read.head == MONO) && two.iter().all(|read| read.head == loud));
    for stream in [&one, &two] {
        assert_eq!(stream[0].packet.position(), -312);
    }
    assert_eq!((one[one.len() - 1].end, two[two.len() - 1].end), (50_001, 30_000));

    // The same sound twice; and the same stream twice, serial number and all: there opusdec forgets to begin anew.
    let twice = decode_as_opusdec(&[first.clone(), file_of(OpusEncode::voip(), &speech[..50_001])].concat());
    assert!(twice[..50_001] == mono && twice[50_001..] == mono, "{}", twice.len());
    assert!(decode(&[&first[..], &first].concat()) == twice);
    let mut unended = packets_of(&first);
    unended.last_mut().unwrap().3 = false;
    let found = read(&[&write_packets(&unended)[..], &first].concat());
    assert_eq!(found.last().unwrap().stream, 1);

    // Headers that come twice are one stream; so does a stream of no packets count for nothing.
    let ends: Vec<usize> = pages(&first).iter().map(|page| page.end).collect();
    let doubled = [&first[..ends[1]], &first].concat();
    assert!(decode(&doubled) == mono);
    assert!(read(&doubled).iter().all(|read| read.stream == 0));

    // What is behind a stream that cannot be decoded is read after the error.
    let mut six = second.clone();
    six[28 + 9] = 6;
    mend_checksums(&mut six);
    let chain = [&first[..], &six, &first].concat();
    let mut reader = OggReader::new(&chain[..]).unwrap();
    let mut packet = Packet::new();
    let (mut errors, mut streams) = (Vec::new(), Vec::new());
    loop {
        match reader.read(&mut packet) {
            Ok(true) => streams.push(reader.stream()),
            Ok(false) => break,
            Err(error) => errors.push(error.to_string()),
        }
    }
    assert_eq!(errors, ["6 channels in mapping family 0: only mono and stereo are supported"]);
    assert_eq!(streams.iter().filter(|stream| **stream == 0).count(), one.len());
    assert_eq!(streams.iter().filter(|stream| **stream == 1).count(), one.len());
}

#[test]
fn streams_beside_the_first_opus_stream_are_skipped() {
    let plain = file_of(OpusEncode::voip(), &speech()[..90_000]);
    let ours = pages(&plain);
    let mut video = stream_of(99, &[b"\x80theora", b"second", b"third", b"fourth"]);
    let theirs = pages(&video);
    let page = |index: usize| &plain[ours[index].clone()];
    let mixed = |video: &[u8], video_first: bool| {
        let mut bytes = Vec::new();
        let other = |index: usize| &video[theirs[index].clone()];
        let (a, b) = if video_first { (other(0), page(0)) } else { (page(0), other(0)) };
        bytes.extend([a, b, other(1), page(1), page(2), other(2)].concat());
        (3..ours.len()).for_each(|index| bytes.extend(page(index)));
        bytes.extend(other(3));
        bytes
    };
    let wanted = decode(&plain);
    for video_first in [true, false] {
        let mixed = mixed(&video, video_first);
        assert!(decode_as_opusdec(&mixed) == wanted);
        assert!(read(&mixed).iter().all(|read| read.stream == 0));
    }
    assert_eq!(refused(&video), "not Opus but Theora video in Ogg");

    // Another one that is Opus.
    video = stream_of(98, &[b"OpusHead\x01\x01\0\0\0\0\0\0\0\0\0", b"OpusTags", b"third", b"fourth"]);
    let theirs = pages(&video);
    let mut bytes = [page(0), &video[theirs[0].clone()], &video[theirs[1].clone()]].concat();
    bytes.extend(&plain[ours[1].start..]);
    assert!(decode(&bytes) == wanted);
}

#[test]
fn an_input_may_come_in_pieces() {
    /// Gives a byte, is interrupted, has nothing, and so on.
    struct Drip<'a>(&'a [u8], usize);
    impl std::io::Read for Drip<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            self.1 += 1;
            match self.1 % 3 {
                0 => self.0.read(&mut buffer[..1]),
                1 => Err(std::io::ErrorKind::Interrupted.into()),
                _ if self.1 > 600 => Err(std::io::ErrorKind::WouldBlock.into()),
                _ => Err(std::io::ErrorKind::Interrupted.into()),
            }
        }
    }
    let file = file_of(OpusEncode { bitrate_bps: 6_000, ..OpusEncode::voip() }, &speech()[..96_000]);
    let mut reader = OggReader::new(Drip(&file, 0)).unwrap();
    let (mut packet, mut found, mut blocked) = (Packet::new(), Vec::new(), 0);
    loop {
        match reader.read(&mut packet) {
            Ok(true) => found.push(packet.clone()),
            Ok(false) => break,
            Err(OggError::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => blocked += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(blocked > 0);
    assert!(found.iter().eq(read(&file).iter().map(|read| &read.packet)));
}

#[test]
fn what_is_no_ogg_opus_file_is_refused() {
    let file = file_of(OpusEncode::voip(), &speech()[..24_000]);
    let vorbis = stream_of(1, &[b"\x01vorbis", b"\x03vorbis"]);
    assert_eq!(refused(&vorbis), "not Opus but Vorbis in Ogg");
    assert_eq!(refused(&stream_of(1, &[b"?", b"?"])), "not Opus but something else in Ogg");
    assert_eq!(refused(&[0; 1000]), "not an Ogg file");
    let untitled = [&file[..pages(&file)[0].end], &file[pages(&file)[1].end..]].concat();
    assert!(decode(&untitled) == decode(&file), "a lost comment header is no loss");
    let untagged = stream_of(1, &[&packets_of(&file)[0].0, b"\x08\x00\x00"]);
    assert_eq!(refused(&untagged), "its second packet is not a comment header");
    // Rubbish before a file is passed over, if it is not all there is.
    let behind = |rubbish: usize| [&vec![b'O'; rubbish][..], &file].concat();
    assert!(decode(&behind(60_000)) == decode(&file));
    assert_eq!(refused(&behind(100_000)), "not an Ogg file");
}

#[test]
fn recordings_are_decoded_as_by_opusdec() {
    let Some(folder) = recordings_folder("opus") else { return };
    // Samples per channel.
    let good = [
        ("8khz_5s.opus", 1, 240_000),
        ("bear.opus", 2, 131_520),
        ("de_f_kerstin_0004_original_opus.ogg", 1, 328_008),
        ("last-page.oga", 1, 253_440),
        ("no-last-page.oga", 1, 270_616),
    ];
    let bad = [
        ("bbb_6ch_opus.ogg", "6 channels in mapping family 1: only mono and stereo are supported"),
        ("bear-opus-negative-gain.mka", "not an Ogg file"),
        ("bad_ogg/move01d_IDX_13_RAND_35154275996070165946691.ogg", "not Opus but Vorbis in Ogg"),
        ("bad_ogg/order01d_IDX_32_RAND_22064097693866277502540.ogg", "not Opus but Vorbis in Ogg"),
        ("bad_ogg/order01d_IDX_62_RAND_1029626158139888904228417_minimized_403.ogg", "not Opus but Vorbis in Ogg"),
    ];
    for (name, channels, samples) in good {
        let path = folder.join(name);
        let file = fs::read(&path).unwrap();
        let (_, damage) = read_with_damage(&file);
        assert_eq!(damage, OggDamage::default(), "{name}");
        println!("{name}:");
        assert_eq!(decode_as_opusdec(&file).len(), samples * channels, "{name}");
    }
    // The same packets in Ogg.
    let (matroska, work) = (folder.join("bear-opus-negative-gain.mka"), tempfile::tempdir().unwrap());
    let ogg = work.path().join("bear.opus");
    if tool("ffmpeg", &[&"-v", &"error", &"-i", &matroska, &"-c", &"copy", &ogg]).is_some() {
        let file = fs::read(&ogg).unwrap();
        println!("bear-opus-negative-gain: {} dB", read(&file)[0].head.gain_db);
        assert!(read(&file)[0].head.gain_db < 0.0);
        decode_as_opusdec(&file);
    }
    for (name, reason) in bad {
        assert_eq!(refused(&fs::read(folder.join(name)).unwrap()), reason, "{name}");
    }
    // opusdec refuses this one; without its second headers it is `bear.opus`.
    let bear = decode(&fs::read(folder.join("bear.opus")).unwrap());
    let doubled = fs::read(folder.join("bear_duplicate_header.opus")).unwrap();
    assert!(decode(&doubled) == bear);
    assert!(read(&doubled).iter().all(|read| read.stream == 0));
}
