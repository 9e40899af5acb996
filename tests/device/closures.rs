//! Closures for frames and packets return what their last call returns, without a type annotation.

use std::io;

use voxframe::{Capture, Error, Frame, Gain, Processor, Stage};

/// What `anyhow::Error` is made of.
#[derive(Debug)]
struct Anything(String);

impl<E: std::error::Error + Send + Sync + 'static> From<E> for Anything {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// A capture, and something to run its frames through.
fn edge() -> (Capture, impl Processor<Input = Frame, Output = Frame>) {
    let capture = Capture::for_device(48_000, 1).unwrap();
    let gain = Gain::db(0.0).prepare(capture.output_format()).unwrap();
    (capture, gain)
}

fn no_room(_: &Frame) -> io::Result<()> {
    Err(io::ErrorKind::StorageFull.into())
}

fn anything(_: &Frame) -> Result<(), Anything> {
    Err(Anything("full".into()))
}

#[test]
fn a_closure_without_a_value_goes_with_every_error() -> Result<(), Anything> {
    fn in_io() -> io::Result<usize> {
        let (mut capture, mut gain) = edge();
        let mut frames = 0;
        capture.run(&[0.0f32; 960], &mut gain, |_| frames += 1)?;
        Ok(frames)
    }
    fn in_box() -> Result<usize, Box<dyn std::error::Error + Send + Sync>> {
        let (mut capture, mut gain) = edge();
        let mut frames = 0;
        capture.run_planar(&[[0i16; 960]], &mut gain, |_| frames += 1)?;
        capture.push_interleaved(&vec![0u8; 480], |_| frames += 1)?;
        Ok(frames)
    }
    let (mut capture, mut gain) = edge();
    let mut frames = 0;
    capture.run(&[0i32; 480], &mut gain, |_| frames += 1)?;
    assert_eq!((frames, in_io()?, in_box().unwrap()), (1, 2, 3));
    Ok(())
}

#[test]
fn a_closure_may_fail_with_an_error_of_its_own() {
    fn in_io() -> io::Result<()> {
        let (mut capture, mut gain) = edge();
        capture.run(&[0.0f32; 960], &mut gain, |frame| no_room(frame))?;
        unreachable!()
    }
    fn in_anything() -> Result<(), Anything> {
        let (mut capture, mut gain) = edge();
        let failed = capture.run(&[0.0f32; 960], &mut gain, |frame| anything(frame));
        assert_eq!(failed.unwrap_err().0, "full");
        capture.run(&[0.0f32; 960], &mut gain, |frame| no_room(frame))?;
        unreachable!()
    }
    assert_eq!(in_io().unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!(in_anything().unwrap_err().0, io::Error::from(io::ErrorKind::StorageFull).to_string());
}

#[test]
fn a_result_that_is_returned_has_the_function_s_error() {
    // Here even `?` inside needs no annotation.
    fn run(samples: &[f32]) -> io::Result<()> {
        let (mut capture, mut gain) = edge();
        capture.run(samples, &mut gain, |frame| {
            no_room(frame)?;
            Ok(())
        })
    }
    assert_eq!(run(&[0.0; 480]).unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert!(run(&[0.0; 479]).is_ok());
}

#[test]
fn an_error_of_the_crate_is_the_cause_of_one_of_io() {
    fn wrong() -> io::Result<()> {
        let (_, mut gain) = edge();
        let mut capture = Capture::for_device(16_000, 1)?;
        capture.run(&[0.0f32; 160], &mut gain, |_| {})?;
        Ok(())
    }
    let error = wrong().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<Error>());
    assert!(matches!(cause, Some(Error::WrongFormat { .. })), "{cause:?}");
}
