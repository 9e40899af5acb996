//! What a file is by its first bytes.

/// Name of the kind of file, if that is well known: helps those who gave the wrong one.
pub fn file_kind(head: &[u8]) -> &'static str {
    let known: [(usize, &[u8], &str); 21] = [
        (0, b"RIFF", "a RIFF (WAV) file"),
        (0, b"RIFX", "a big-endian RIFF (RIFX) file"),
        (0, b"RF64", "an RF64 file"),
        (0, b"BW64", "a BW64 file"),
        (0, b"riff", "a Wave64 file"),
        (0, b"OggS", "an Ogg file"),
        (0, b"fLaC", "a FLAC file"),
        (0, b"ID3", "an MP3 file"),
        (0, b"FORM", "an AIFF file"),
        (0, b".snd", "an AU file"),
        (0, b"caff", "a CAF file"),
        (0, &[0x1a, 0x45, 0xdf, 0xa3], "a Matroska or WebM file"),
        (4, b"ftyp", "an MP4 file"),
        (0, &[0xff, 0xfb], "an MP3 file"),
        (0, &[0xff, 0xf1], "an AAC file"),
        (0, &[0xff, 0xf9], "an AAC file"),
        (0, &[0x0b, 0x77], "an AC-3 file"),
        (0, &[0x30, 0x26, 0xb2, 0x75], "a Windows Media file"),
        (0, b"#!AMR", "an AMR file"),
        (0, b"wvpk", "a WavPack file"),
        (0, b"Creative Voice File", "a VOC file"),
    ];
    let found = known.iter().find(|(at, magic, _)| head.get(*at..).is_some_and(|rest| rest.starts_with(magic)));
    match found {
        Some((_, _, name)) => name,
        None if head.is_empty() => "empty",
        None => "something else",
    }
}
