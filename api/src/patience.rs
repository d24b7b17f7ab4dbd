//! No caller waits for a database that hangs: an answer that the api owes for too long is a 503.
//!
//! The time in which the api waits for the caller's own body does not count: that is bounded by
//! the limit of every request.

use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use zeitwork_web::{Code, Problem};

/// Below the five seconds within which every caller is answered, whatever the database does.
const LIMIT: Duration = Duration::from_secs(4);

/// The layer around everything that asks the database.
pub async fn layer(request: Request, next: Next) -> Response {
    let turn = Turn::default();
    let request = request.map(|body| Body::new(Watched { body, turn: turn.clone() }));
    let mut answer = pin!(next.run(request));
    loop {
        match tokio::time::timeout(turn.left(), answer.as_mut()).await {
            Ok(response) => return response,
            Err(_) if turn.left().is_zero() => break,
            Err(_) => {}
        }
    }
    tracing::warn!("the database did not answer in time");
    let text = "The database did not answer in time; whether the request took effect is unknown.";
    Problem::new(Code::DatabaseUnavailable).detail(text).into_response()
}

/// Whose turn it is, and since when.
#[derive(Debug, Clone)]
struct Turn(Arc<Mutex<State>>);

#[derive(Debug)]
enum State {
    /// The caller is to send more of the body.
    Callers,
    /// The api is to answer.
    Ours(Instant),
}

impl Default for Turn {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(State::Ours(Instant::now()))))
    }
}

impl Turn {
    /// Time that the api has left, or after which to look again.
    fn left(&self) -> Duration {
        match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            State::Callers => LIMIT,
            State::Ours(since) => LIMIT.saturating_sub(since.elapsed()),
        }
    }

    fn set(&self, state: State) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }
}

/// A body that says whose turn it is.
struct Watched {
    body: Body,
    turn: Turn,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        let state = if frame.is_pending() { State::Callers } else { State::Ours(Instant::now()) };
        self.turn.set(state);
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
