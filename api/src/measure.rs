//! Figures of the api: requests by route and status, their time, and the pool.

use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::HeaderValue;
use http::header::X_CONTENT_TYPE_OPTIONS;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use zeitwork_web::Metrics;

/// What is counted apart: routes are patterns, so there are as many as the router has.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    method: String,
    route: String,
    status: u16,
}

/// Requests that were answered.
#[derive(Debug, Clone)]
pub struct Requests {
    answered: Family<Labels, Counter>,
    duration: Histogram,
}

impl Requests {
    /// None yet.
    pub fn new(metrics: &Metrics) -> Self {
        let answered = Family::default();
        // 1 ms to 16 s.
        let duration = Histogram::new(exponential_buckets(0.001, 2.0, 15));
        metrics.register(|registry| {
            registry.register("api_requests", "Requests answered", answered.clone());
            let help = "Time until the answer began";
            registry.register("api_request_duration_seconds", help, duration.clone());
        });
        Self { answered, duration }
    }
}

/// Counts a request, and tells browsers to believe the content type.
pub async fn layer(State(requests): State<Requests>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let route = request.extensions().get::<MatchedPath>().map(|it| it.as_str().to_owned());
    let method = match *request.method() {
        http::Method::GET => "GET",
        http::Method::POST => "POST",
        http::Method::PUT => "PUT",
        http::Method::PATCH => "PATCH",
        http::Method::DELETE => "DELETE",
        // Anybody can make up a method; none may make up a series.
        _ => "other",
    };
    let mut response = next.run(request).await;
    requests.duration.observe(began.elapsed().as_secs_f64());
    let route = route.unwrap_or_else(|| "none".to_owned());
    let labels = Labels { method: method.to_owned(), route, status: response.status().as_u16() };
    requests.answered.get_or_create(&labels).inc();
    let nosniff = HeaderValue::from_static("nosniff");
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, nosniff);
    response
}
