//! The two bodies of an exchange: each passes frames on as they come, and knows its end.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::StatusCode;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::HeaderMap;
use tokio::time::Sleep;

use super::finish::Finish;
use super::headers;
use crate::upstream::Flight;
use crate::upstream::pool::Sender;
use crate::wire::Tap;
use crate::worker::Worker;

/// A client that sends nothing of its body for this long is given up.
const STALL: Duration = Duration::from_secs(30);

/// Why an upload broke off.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// The client's connection failed, or its framing did.
    #[error("the client's body broke off")]
    Client(#[source] hyper::Error),
    /// The client sent nothing for too long.
    #[error("the client's body stalled")]
    Stalled,
}

/// A request's body on its way to an instance.
#[derive(Debug)]
pub struct Upload {
    incoming: Option<Incoming>,
    /// Is told when the body was read to its end.
    tap: Option<Tap>,
    flight: Option<Rc<Flight>>,
    stall: Option<Pin<Box<Sleep>>>,
}

impl Upload {
    /// The client's body.
    #[must_use]
    pub fn of(incoming: Incoming, tap: &Tap) -> Self {
        let incoming = (!incoming.is_end_stream()).then_some(incoming);
        let tap = incoming.is_some().then(|| tap.clone());
        Self { incoming, tap, flight: None, stall: None }
    }

    /// No body.
    #[must_use]
    pub fn none() -> Self {
        Self { incoming: None, tap: None, flight: None, stall: None }
    }

    /// Counts as part of the exchange from now on.
    pub fn board(&mut self, flight: Option<Rc<Flight>>) {
        if let Some(flight) = &flight {
            flight.uploading.set(self.incoming.is_some());
        }
        self.flight = flight;
    }

    fn end(&mut self) {
        self.incoming = None;
        self.stall = None;
        if let Some(tap) = self.tap.take() {
            tap.body_is_over();
        }
        if let Some(flight) = self.flight.take() {
            flight.uploading.set(false);
        }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = UploadError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        let this = &mut *self;
        let Some(incoming) = this.incoming.as_mut() else {
            this.end();
            return Poll::Ready(None);
        };
        match Pin::new(incoming).poll_frame(context) {
            Poll::Pending => {
                let stall = this.stall.get_or_insert_with(|| Box::pin(tokio::time::sleep(STALL)));
                stall.as_mut().poll(context).map(|()| Some(Err(UploadError::Stalled)))
            }
            Poll::Ready(None) => {
                this.end();
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(UploadError::Client(error)))),
            Poll::Ready(Some(Ok(frame))) => {
                this.stall = None;
                if let Some(flight) = &this.flight {
                    flight.moved.set(Instant::now());
                }
                if this.incoming.as_ref().is_none_or(Body::is_end_stream) {
                    this.end();
                }
                Poll::Ready(Some(Ok(without_claims(frame))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

/// Trailers must not say what a head may not.
fn without_claims(frame: Frame<Bytes>) -> Frame<Bytes> {
    frame.into_trailers().map_or_else(
        |frame| frame,
        |trailers| {
            let kept: HeaderMap = trailers
                .iter()
                .filter(|(name, _)| !headers::is_claim(name.as_str()))
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect();
            Frame::trailers(kept)
        },
    )
}

/// An instance's answer with the connection that it comes on.
#[derive(Debug)]
pub struct Answered {
    /// The answer's body.
    pub incoming: Incoming,
    /// The exchange.
    pub flight: Rc<Flight>,
    /// The connection; none after an upgrade.
    pub sender: Option<Sender>,
    /// Whose pool it goes back to.
    pub worker: Rc<Worker>,
}

impl Answered {
    /// The whole answer was read: the connection may serve again, unless its upload goes on.
    fn end(&mut self) {
        if let Some(sender) = self.sender.take()
            && !self.flight.uploading.get()
        {
            self.worker.pool.put(&self.flight.upstream, sender);
        }
    }
}

#[derive(Debug)]
enum Source {
    Nothing,
    Own(Bytes),
    Instance(Answered),
}

/// An answer's body on its way to a client.
#[derive(Debug)]
pub struct Payload {
    source: Source,
    finish: Finish,
}

impl Payload {
    /// What an instance answers.
    #[must_use]
    pub fn instance(answered: Answered, finish: Finish) -> Self {
        let mut payload = Self { source: Source::Instance(answered), finish };
        payload.end_if_read();
        payload
    }

    /// What we answer.
    #[must_use]
    pub fn own(text: Bytes, finish: Finish) -> Self {
        Self { source: Source::Own(text), finish }
    }

    /// Notes the status that is answered.
    pub fn begin(&mut self, status: StatusCode) {
        self.finish.answering(status);
    }

    fn end_if_read(&mut self) {
        if let Source::Instance(answered) = &mut self.source
            && answered.incoming.is_end_stream()
        {
            answered.end();
            self.source = Source::Nothing;
            self.finish.complete();
        }
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = &mut *self;
        let polled = match &mut this.source {
            Source::Nothing => Poll::Ready(None),
            Source::Own(text) if text.is_empty() => Poll::Ready(None),
            Source::Own(text) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(text))))),
            Source::Instance(answered) => Pin::new(&mut answered.incoming).poll_frame(context),
        };
        match &polled {
            Poll::Pending => {}
            Poll::Ready(Some(Ok(frame))) => {
                this.finish.count(frame.data_ref().map_or(0, Bytes::len));
                if matches!(this.source, Source::Own(_)) {
                    this.finish.complete();
                }
                this.end_if_read();
            }
            // Without its end the answer is cut, so that the client sees that it is.
            Poll::Ready(Some(Err(_))) => this.source = Source::Nothing,
            Poll::Ready(None) => {
                if let Source::Instance(answered) = &mut this.source {
                    answered.end();
                }
                this.source = Source::Nothing;
                this.finish.complete();
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Nothing => true,
            Source::Own(text) => text.is_empty(),
            Source::Instance(answered) => answered.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Nothing => SizeHint::with_exact(0),
            Source::Own(text) => SizeHint::with_exact(text.len() as u64),
            Source::Instance(answered) => answered.incoming.size_hint(),
        }
    }
}
