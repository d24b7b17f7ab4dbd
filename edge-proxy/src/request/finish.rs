//! The last phase: whatever became of a request is counted and logged once.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use hyper::body::{Body as _, Incoming};
use hyper::header::{HOST, HeaderValue};
use hyper::{Request, StatusCode};

use crate::access_log::Record;
use crate::answer::Refusal;
use crate::connection::Client;
use crate::routes::table::Site;
use crate::upstream::Upstream;
use crate::worker::Worker;

/// nginx's number for a client that left before the answer.
const CLIENT_LEFT: u16 = 499;

/// What will be said of a request; said when it is dropped.
#[derive(Debug)]
pub struct Finish {
    worker: Rc<Worker>,
    client: Rc<Client>,
    started: Instant,
    record: Option<Box<Record>>,
    status: u16,
    bytes: u64,
    complete: bool,
    site: Option<Arc<Site>>,
}

impl Finish {
    /// A request came.
    #[must_use]
    pub fn begin(
        worker: Rc<Worker>,
        client: Rc<Client>,
        request: &Request<Incoming>,
        id: HeaderValue,
    ) -> Self {
        client.tap.close(!request.body().is_end_stream());
        worker.budget.earn();
        worker.counters.in_flight.add(1);
        let record = worker.log.is_on().then(|| {
            Box::new(Record {
                id,
                client: client.peer,
                method: Some(request.method().clone()),
                uri: Some(request.uri().clone()),
                host: request.headers().get(HOST).cloned(),
                ..Record::default()
            })
        });
        Self {
            worker,
            client,
            started: Instant::now(),
            record,
            status: CLIENT_LEFT,
            bytes: 0,
            complete: false,
            site: None,
        }
    }

    /// The route that was found.
    pub fn routed(&mut self, site: &Arc<Site>) {
        self.site = Some(site.clone());
    }

    /// The instance that is asked.
    pub fn asked(&mut self, upstream: &Upstream) {
        if let Some(record) = &mut self.record {
            record.instance = upstream.instance;
        }
    }

    /// The host whose cookies are guarded, on a shared domain.
    #[must_use]
    pub fn cookie_guard(&self) -> Option<&str> {
        self.site.as_ref().filter(|site| site.shared_domain).map(|site| &*site.host)
    }

    /// The answer is our own.
    pub fn refused(&mut self, refusal: Refusal) {
        self.worker.counters.refusals[refusal.index()].add(1);
        if let Some(record) = &mut self.record {
            record.answer = Some(refusal.code());
        }
    }

    /// The answer's status.
    pub fn answering(&mut self, status: StatusCode) {
        self.status = status.as_u16();
    }

    /// Bytes of the answer's body.
    pub fn count(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    /// The answer was passed on to its end.
    pub fn complete(&mut self) {
        self.complete = true;
    }
}

impl Drop for Finish {
    fn drop(&mut self) {
        self.client.tap.open();
        let counters = &self.worker.counters;
        counters.in_flight.subtract(1);
        counters.bytes.add(self.bytes);
        counters.ended(self.status);
        if let Some(mut record) = self.record.take() {
            record.site = self.site.take();
            record.status = self.status;
            record.bytes = self.bytes;
            record.complete = self.complete;
            record.took = self.started.elapsed();
            record.ended = Some(Instant::now());
            counters.log_dropped.add(self.worker.log.push(*record) as u64);
        }
    }
}

/// The same for what was refused before there was a request.
pub fn unread(worker: &Worker, client: IpAddr, refusal: Refusal, id: HeaderValue) {
    let counters = &worker.counters;
    let status = refusal.status().as_u16();
    counters.refusals[refusal.index()].add(1);
    counters.ended(status);
    if worker.log.is_on() {
        let record = Record {
            id,
            client,
            answer: Some(refusal.code()),
            status,
            complete: true,
            ended: Some(Instant::now()),
            ..Record::default()
        };
        counters.log_dropped.add(worker.log.push(record) as u64);
    }
}
