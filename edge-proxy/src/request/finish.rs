//! The last phase: whatever became of a request is counted and logged once.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

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
    pub fn begin<B>(
        worker: Rc<Worker>,
        client: Rc<Client>,
        request: &Request<B>,
        id: HeaderValue,
    ) -> Self {
        client.tap.close();
        worker.budget.earn();
        worker.counters.in_flight.add(1);
        let record = worker.log.is_on().then(|| {
            Box::new(Record {
                id,
                client: client.peer,
                method: request.method().clone(),
                uri: request.uri().clone(),
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
        let class = usize::from(self.status / 100).min(counters.requests.len()) - 1;
        counters.requests[class].add(1);
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
