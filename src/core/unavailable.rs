//! Stand-in for a processor that was not built.

use std::convert::Infallible;
use std::marker::PhantomData;

use super::error::Result;
use super::format::Format;
use super::processor::Processor;

/// Processor of a stage whose feature is off. It cannot exist: `prepare` answers
/// [`Error::Unavailable`](crate::Error::Unavailable).
#[derive(Debug)]
pub struct Unavailable<I, O> {
    never: Infallible,
    marker: PhantomData<fn(I) -> O>,
}

impl<I, O> Processor for Unavailable<I, O> {
    type Input = I;
    type Output = O;

    fn process<'a>(&'a mut self, _: &'a mut I) -> Result<Option<&'a mut O>> {
        match self.never {}
    }

    fn reset(&mut self) {
        match self.never {}
    }

    fn input_format(&self) -> Format {
        match self.never {}
    }
}
