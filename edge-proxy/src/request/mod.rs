//! A request, phase by phase: normalize → route → headers → forward (retry, upgrade) → finish.

pub mod body;
pub mod finish;
pub mod forward;
pub mod headers;
pub mod normalize;
pub mod retry;
pub mod trace;
pub mod upgrade;

use std::rc::Rc;

use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::{Request, Response};

use crate::answer::{self, Refusal};
use crate::connection::Client;
use crate::worker::Worker;
use body::Payload;
use finish::Finish;

/// Answers one request; there is always an answer.
pub async fn serve(
    worker: Rc<Worker>,
    client: Rc<Client>,
    mut request: Request<Incoming>,
) -> Response<Payload> {
    let id = trace::request_id(&mut request);
    let mut finish = Finish::begin(worker.clone(), client.clone(), &request, id.clone());
    let wants_html = answer::wants_html(&request);
    let mut response = match run(&worker, &client, request, &mut finish).await {
        Ok(response) => {
            let (parts, incoming) = response.into_parts();
            Response::from_parts(parts, Payload::instance(incoming, finish))
        }
        Err(refusal) => {
            finish.refused(refusal);
            answer::render(refusal, wants_html, &id, finish)
        }
    };
    response.headers_mut().insert(trace::X_REQUEST_ID, id);
    if worker.is_stopping() && response.status() != hyper::StatusCode::SWITCHING_PROTOCOLS {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    let status = response.status();
    response.body_mut().begin(status);
    response
}

async fn run(
    worker: &Rc<Worker>,
    client: &Rc<Client>,
    mut request: Request<Incoming>,
    finish: &mut Finish,
) -> Result<Response<body::Answered>, Refusal> {
    let target = normalize::check(&mut request, client)?;
    let upgrade = upgrade::wanted(&mut request);
    let protocol = upgrade.as_ref().map(|upgrade| &upgrade.protocol);
    headers::towards_instance(&mut request, &target, client, protocol);
    let request = request.map(|incoming| body::Upload::of(incoming, &client.tap));
    let mut response = forward::forward(worker, client, &target, request, upgrade, finish).await?;
    headers::towards_client(&mut response, finish.cookie_guard());
    Ok(response)
}
