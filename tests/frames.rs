//! The frame decoder reads what the other user sends, so it must handle any bytes. The corpus is in
//! `testdata/frames`.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "support/canonical.rs"]
mod canonical;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use error::ConnectionError;
use fastrand::Rng;
use sys::{process, socket};
use wire::frame::{CHUNK, MAX_LENGTH};
use wire::{Channel, Frame};

/// The system's allocator with a count of bytes for each thread, because tests run at the same
/// time.
struct Counting;

thread_local! {
    static ALLOCATED: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call is passed on unchanged to the system's allocator. A `realloc` comes here as an
// `alloc`.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.set(ALLOCATED.get() + layout.size());
        // SAFETY: the caller guarantees what this call needs.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above; the pointer comes from this allocator.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The number of bytes that this thread allocates during a function.
fn allocated<T>(act: impl FnOnce() -> T) -> (T, usize) {
    let before = ALLOCATED.get();
    let result = act();
    (result, ALLOCATED.get() - before)
}

/// If the test fails with these bytes, prints the command that adds them to the corpus.
struct Suspect<'a>(&'a [u8]);

impl Drop for Suspect<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let bytes: String = self.0.iter().map(|byte| format!("\\x{byte:02x}")).collect();
            eprintln!("failed over these bytes:\nprintf '{bytes}' > testdata/frames/FOLDER/NAME");
        }
    }
}

/// A folder of the corpus.
fn corpus(folder: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/frames").join(folder);
    let mut files: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    // In the same order on every machine, so that the random choices are the same, too.
    files.sort();
    files.into_iter().map(|path| (path.clone(), fs::read(&path).unwrap())).collect()
}

/// All frames of the corpus, from which others are made.
fn seeds() -> Vec<Vec<u8>> {
    corpus("valid").into_iter().chain(corpus("malformed")).map(|(_, bytes)| bytes).collect()
}

/// Checks what must be true for any bytes; returns whether they are a frame.
fn holds(bytes: &[u8]) -> bool {
    let _suspect = Suspect(bytes);
    let (decoded, allocated) = allocated(|| Frame::decode(bytes));
    assert_eq!(allocated, 0, "decoding has allocated");
    decoded.inspect(|frame| canonical::check(bytes, *frame)).is_ok()
}

fn pick<'a>(rng: &mut Rng, seeds: &'a [Vec<u8>]) -> &'a [u8] {
    &seeds[rng.usize(..seeds.len())]
}

/// Changes a frame in one of several ways.
fn mutate(rng: &mut Rng, bytes: &mut Vec<u8>, seeds: &[Vec<u8>]) {
    let (at, beginning) = (rng.usize(..=bytes.len()), rng.usize(..bytes.len().clamp(1, 4)));
    match rng.u8(..7) {
        0 => bytes.truncate(at),
        1 => bytes.insert(at, rng.u8(..)),
        2 => bytes.splice(at.., pick(rng, seeds).iter().skip(at).copied()).for_each(drop),
        3 => bytes.extend_from_slice(pick(rng, seeds)),
        // Kind and lengths are at the beginning.
        4 if !bytes.is_empty() => {
            bytes[beginning] = bytes[beginning].wrapping_add(*rng.choice(&[1, 255]).unwrap())
        }
        5 if !bytes.is_empty() => bytes[beginning] = rng.u8(..32),
        _ if at < bytes.len() => bytes[at] ^= 1 << rng.u8(..8),
        _ => {}
    }
}

/// A frame of the corpus, mutated several times.
fn mutated(rng: &mut Rng, seeds: &[Vec<u8>], times: usize) -> Vec<u8> {
    let mut bytes = pick(rng, seeds).to_vec();
    (0..times).for_each(|_| mutate(rng, &mut bytes, seeds));
    bytes
}

#[test]
fn every_valid_frame_of_the_corpus_encodes_to_the_same_bytes() {
    let mut kinds = BTreeSet::new();
    for (path, bytes) in corpus("valid") {
        assert!(holds(&bytes), "{path:?} is refused");
        kinds.insert(bytes[0]);
    }
    // All kinds of crates/wire/src/frame/mod.rs; a new one belongs here, too.
    assert!(kinds.into_iter().eq(0..=29), "a kind of frame is not in the corpus");
}

#[test]
fn every_malformed_frame_of_the_corpus_is_refused() {
    let corpus = corpus("malformed");
    assert!(corpus.len() > 50);
    for (path, bytes) in corpus {
        assert!(!holds(&bytes), "{path:?} is accepted");
    }
}

#[test]
fn an_attribute_is_as_large_as_the_kernel_takes_it_and_no_larger() {
    // Not in the corpus, because of its size.
    let bytes = [&b"\x13\x06user.a"[..], &[0; 65_537]].concat();
    assert!(holds(&bytes[..bytes.len() - 1]));
    assert!(!holds(&bytes));
}

#[test]
fn random_bytes_are_refused_or_have_only_one_encoding() {
    let mut rng = Rng::with_seed(1);
    let mut accepted = 0;
    for _ in 0..60_000 {
        let mut bytes = [0; 64];
        let length = rng.usize(..bytes.len());
        rng.fill(&mut bytes);
        // Most numbers are no kind of frame.
        bytes[0] %= 32;
        accepted += usize::from(holds(&bytes[..length]));
    }
    assert!(accepted > 1_000, "only {accepted} were accepted: this test checks too little");
}

#[test]
fn mutated_frames_are_refused_or_have_only_one_encoding() {
    let (mut rng, seeds) = (Rng::with_seed(2), seeds());
    let mut accepted = 0;
    for _ in 0..140_000 {
        let times = rng.usize(1..=3);
        accepted += usize::from(holds(&mutated(&mut rng, &seeds, times)));
    }
    assert!(accepted > 10_000, "only {accepted} were accepted: this test checks too little");
}

/// Bytes for a whole connection: valid frames, some of them mutated, and sometimes random bytes at
/// the end.
fn stream(rng: &mut Rng, valid: &[Vec<u8>]) -> Vec<u8> {
    let mut stream = Vec::new();
    for _ in 0..rng.usize(1..20) {
        let mut frame = pick(rng, valid).to_vec();
        match rng.u8(..100) {
            0 => frame = [&[18][..], &[0; 8], &vec![7; CHUNK]].concat(),
            1 => frame.resize(MAX_LENGTH + rng.usize(..2), 0),
            2..10 => mutate(rng, &mut frame, valid),
            _ => {}
        }
        stream.extend_from_slice(&u32::try_from(frame.len()).unwrap().to_le_bytes());
        stream.extend_from_slice(&frame);
    }
    if rng.u8(..4) == 0 {
        mutate(rng, &mut stream, valid);
    }
    stream
}

/// What a channel must receive from these bytes, by the simplest possible reader.
fn expected(mut stream: &[u8]) -> (Vec<Frame<'_>>, ConnectionError) {
    let mut frames = Vec::new();
    loop {
        let Some((length, rest)) = stream.split_first_chunk() else {
            return (frames, ConnectionError::Closed);
        };
        let length = u32::from_le_bytes(*length) as usize;
        if length > MAX_LENGTH {
            return (frames, ConnectionError::Protocol("a message that is too long"));
        }
        let Some((frame, rest)) = rest.split_at_checked(length) else {
            return (frames, ConnectionError::Closed);
        };
        match Frame::decode(frame) {
            Ok(Frame::KeepAlive) => {}
            Ok(frame) => frames.push(frame),
            Err(_) => return (frames, ConnectionError::Protocol("a malformed message")),
        }
        stream = rest;
    }
}

#[test]
fn a_channel_receives_the_same_of_any_bytes_in_any_pieces_and_does_not_grow() {
    let mut rng = Rng::with_seed(3);
    let valid: Vec<_> = corpus("valid").into_iter().map(|(_, bytes)| bytes).collect();
    let (mut received, mut ends) = (0, BTreeSet::new());
    for _ in 0..500 {
        let stream = stream(&mut rng, &valid);
        let (frames, end) = expected(&stream);
        let (ours, theirs) = socket::socketpair().unwrap();
        let with_first = rng.bool();
        socket::set_passcred(&ours, with_first).unwrap();
        let mut pieces = rng.fork();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut theirs = UnixStream::from(theirs);
                let (mut rest, longest) =
                    (&stream[..], *pieces.choice(&[8, 100, 5_000, 300_000]).unwrap());
                while !rest.is_empty() {
                    let (piece, after) = rest.split_at(pieces.usize(1..=longest).min(rest.len()));
                    // The receiver may have ended.
                    if theirs.write_all(piece).is_err() {
                        break;
                    }
                    rest = after;
                }
            });
            let _suspect = Suspect(&stream);
            // Closed when this closure ends, so that the sender does not wait for a receiver that
            // does not read.
            let mut channel = Channel::new(ours);
            let mut frames = frames.into_iter();
            let mut next = |frame: Result<Frame<'_>, ConnectionError>| {
                match frame {
                    Ok(frame) => assert_eq!(Some(frame), frames.next()),
                    Err(cause) => {
                        assert_eq!((None, cause), (frames.next(), end));
                        ends.insert(end.to_string());
                        return false;
                    }
                }
                received += 1;
                true
            };
            if with_first {
                let (first, allocated) = allocated(|| channel.receive_first());
                assert!(allocated <= 4_096, "the first reading has allocated {allocated} bytes");
                let frame = first.map(|(sender, frame)| {
                    assert_eq!(sender.uid, process::geteuid());
                    frame
                });
                if !next(frame) {
                    return;
                }
            }
            loop {
                let (frame, allocated) = allocated(|| channel.receive());
                assert_eq!(allocated, 0, "receiving has allocated");
                if !next(frame) {
                    return;
                }
            }
        });
    }
    assert!(
        received > 2_000 && ends.len() == 3,
        "{received} frames, {ends:?}: this test checks too little"
    );
}
