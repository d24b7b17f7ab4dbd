//! Choice of an instance, the connection to it, the exchange, and the next one where that is
//! allowed.

use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::{Request, Response, StatusCode};

use super::body::{Answered, Upload, UploadError};
use super::finish::Finish;
use super::normalize::Target;
use super::{retry, upgrade};
use crate::answer::Refusal;
use crate::connection::Client;
use crate::routes::table::{Site, Table};
use crate::upstream::pool::{self, Sender};
use crate::upstream::{Flight, balance};
use crate::worker::Worker;

/// An instance that says nothing for so long is connected to once more, to tell the slow from
/// those whose host is gone: what was sent there would be waited for in vain. Doubles each time.
const PATIENCE: Duration = Duration::from_secs(1);

/// How one attempt ended.
enum Attempt {
    Answered(Response<Incoming>, Sender),
    /// Nothing of the request was sent; it comes back whole.
    Unsent(Request<Upload>),
    /// The connection died after it was sent and before an answer.
    Died(Option<Request<Upload>>),
    /// Its host is gone from the network, and another instance may be asked the same.
    Unreachable(Request<Upload>),
    Refused(Refusal),
}

/// Sends the request to an instance of its host and waits for the answer's head.
///
/// # Errors
/// The answer that we must give ourselves.
pub async fn forward(
    worker: &Rc<Worker>,
    client: &Rc<Client>,
    target: &Target,
    mut request: Request<Upload>,
    mut upgrade: Option<upgrade::Wanted>,
    finish: &mut Finish,
) -> Result<Response<Answered>, Refusal> {
    let mut tried: Vec<u64> = Vec::new();
    let mut fresh = false;
    for attempt in 0..retry::ATTEMPTS {
        if attempt > 0 {
            worker.counters.retries.add(1);
        }
        let (site, flight) = choose(worker, &target.name, &tried, finish)?;
        let Some((sender, pooled)) = connection(worker, &flight, fresh).await else {
            tried.push(flight.upstream.serial);
            continue;
        };
        let limit = Duration::from_millis(site.timeout_ms.into());
        let elsewhere = || retry::is_elsewhere(worker, &target.name, &tried, &flight.upstream);
        match exchange(worker, sender, request, &flight, limit, elsewhere).await {
            Attempt::Answered(response, sender) => {
                flight.upstream.health.answered();
                let joined = upgrade.take();
                return answered(worker, client, response, sender, flight, joined);
            }
            Attempt::Refused(refusal) => return Err(refusal),
            Attempt::Unsent(back) => request = back,
            Attempt::Died(Some(copy)) if worker.budget.spend() => request = copy,
            Attempt::Died(_) => return Err(Refusal::ConnectFailed),
            Attempt::Unreachable(copy) => {
                tried.push(flight.upstream.serial);
                request = copy;
                continue;
            }
        }
        // A pooled connection may just have been closed; a new one that dies is the instance's.
        if !pooled {
            worker.failed(&flight.upstream);
            tried.push(flight.upstream.serial);
        }
        fresh = true;
    }
    Err(Refusal::ConnectFailed)
}

/// The instance to ask, counted; see [`crate::routes::table`] for why the version is read twice.
fn choose(
    worker: &Worker,
    host: &str,
    tried: &[u64],
    finish: &mut Finish,
) -> Result<(Arc<Site>, Rc<Flight>), Refusal> {
    let table: &Table = &worker.table;
    loop {
        let version = table.version();
        let site = table.find(host).ok_or(Refusal::NoRoute)?;
        let upstream = balance::choose(&site.upstreams, tried, &worker.random);
        let Some(upstream) = upstream else {
            finish.routed(&site);
            let unserved = site.upstreams.is_empty();
            return Err(if unserved { Refusal::NoInstance } else { Refusal::ConnectFailed });
        };
        let flight = Flight::begin(upstream.clone());
        if table.version() == version {
            finish.routed(&site);
            finish.asked(upstream);
            return Ok((site, Rc::new(flight)));
        }
    }
}

/// A connection to the instance, and whether it was used before. None: it cannot be connected to.
async fn connection(worker: &Worker, flight: &Flight, fresh: bool) -> Option<(Sender, bool)> {
    let upstream = &flight.upstream;
    if !fresh && let Some(sender) = worker.pool.take(upstream).await {
        return Some((sender, true));
    }
    match pool::connect(upstream).await {
        Ok(sender) => Some((sender, false)),
        Err(error) => {
            tracing::debug!(%error, address = %upstream.address, "cannot connect to an instance");
            worker.failed(upstream);
            None
        }
    }
}

async fn exchange(
    worker: &Worker,
    mut sender: Sender,
    mut request: Request<Upload>,
    flight: &Rc<Flight>,
    limit: Duration,
    elsewhere: impl Fn() -> bool,
) -> Attempt {
    let mut copy = retry::is_repeatable(&request).then(|| retry::copy(&request));
    request.body_mut().board(Some(flight.clone()));
    flight.moved.set(Instant::now());
    let mut patience = PATIENCE;
    let mut probe_at = Instant::now() + patience;
    let mut sending = pin!(sender.try_send_request(request));
    let sent = loop {
        let until = probe_at.min(flight.moved.get() + limit);
        if let Ok(sent) = tokio::time::timeout_at(until.into(), &mut sending).await {
            break sent;
        }
        // An upload that moves is no instance that is silent.
        if flight.moved.get() + limit <= Instant::now() {
            return Attempt::Refused(Refusal::Timeout);
        }
        if Instant::now() < probe_at {
            continue;
        }
        let is_reachable = tokio::select! {
            biased;
            sent = &mut sending => break sent,
            is_reachable = pool::is_reachable(&flight.upstream) => is_reachable,
        };
        if !is_reachable {
            worker.failed(&flight.upstream);
            if let Some(copy) = copy.take_if(|_| elsewhere() && worker.budget.spend()) {
                return Attempt::Unreachable(copy);
            }
        }
        patience *= 2;
        probe_at = Instant::now() + patience;
    };
    match sent {
        Ok(response) => Attempt::Answered(response, sender),
        Err(error) => broken(error, copy),
    }
}

fn broken(mut error: TrySendError<Request<Upload>>, copy: Option<Request<Upload>>) -> Attempt {
    if let Some(mut request) = error.take_message() {
        request.body_mut().board(None);
        return Attempt::Unsent(request);
    }
    let error = error.into_error();
    match upload_error(&error) {
        Some(UploadError::Stalled) => Attempt::Refused(Refusal::SlowRequest),
        Some(UploadError::Client(_)) => {
            Attempt::Refused(Refusal::BadRequest("the request's body broke off"))
        }
        None => {
            tracing::debug!(error = ?error, "an instance ended a connection without an answer");
            Attempt::Died(copy)
        }
    }
}

fn upload_error(error: &hyper::Error) -> Option<&UploadError> {
    std::error::Error::source(error)?.downcast_ref()
}

fn answered(
    worker: &Rc<Worker>,
    client: &Rc<Client>,
    mut response: Response<Incoming>,
    sender: Sender,
    flight: Rc<Flight>,
    upgrade: Option<upgrade::Wanted>,
) -> Result<Response<Answered>, Refusal> {
    let mut sender = Some(sender);
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        // Nobody asked for another protocol: what follows would be read as something else.
        let Some(wanted) = upgrade else { return Err(Refusal::ConnectFailed) };
        upgrade::join(worker, client, wanted, &mut response, flight.clone());
        sender = None;
    }
    let worker = worker.clone();
    Ok(response.map(|incoming| Answered { incoming, flight, sender, worker }))
}
