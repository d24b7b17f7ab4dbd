//! Logs (JSON lines on stderr) and traces (OTLP, when an endpoint is set).
//!
//! Field names are dotted and the same everywhere (`project.id`, `request.id`); units stand in
//! the name (`duration_ms`). Secrets are `SecretString`s and cannot be logged by mistake.

use std::time::Duration;

use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};
use opentelemetry::trace::{TraceContextExt as _, TracerProvider as _};
use opentelemetry_otlp::WithExportConfig as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::filter::{EnvFilter, ParseError};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};
use tracing_subscriber::{Layer, Registry};

use crate::config::Settings;

#[cfg(test)]
mod tests;

/// How long the last spans may take to leave.
const FLUSH_LIMIT: Duration = Duration::from_secs(3);

/// Why there is no telemetry.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// `RUST_LOG` cannot be read.
    #[error("RUST_LOG is no list of directives such as info,zeitwork_api=debug")]
    Filter(#[from] ParseError),
    /// The exporter refuses its endpoint.
    #[error("OTEL_EXPORTER_OTLP_ENDPOINT cannot be used")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
    /// The process already has a subscriber.
    #[error("logging was initialised twice")]
    Twice(#[from] TryInitError),
}

/// What telemetry is told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TelemetrySettings {
    /// Directives in `RUST_LOG`'s form.
    pub filter: String,
    /// Base URL of an OTLP collector (HTTP), for example `http://127.0.0.1:4318`.
    pub otlp_endpoint: Option<String>,
    /// Settings without effect, which somebody has set: the log begins with them.
    pub unused: Vec<&'static str>,
}

impl TelemetrySettings {
    /// Reads `RUST_LOG` and `OTEL_EXPORTER_OTLP_ENDPOINT`; empty is as unset, as these two
    /// names belong to others.
    #[must_use]
    pub fn read(settings: &Settings) -> Self {
        let read = |name| settings.raw(name).filter(|text| !text.is_empty()).map(str::to_owned);
        let filter = read("RUST_LOG").unwrap_or_else(|| "info".to_owned());
        let unused = settings.unused().collect();
        Self { filter, otlp_endpoint: read("OTEL_EXPORTER_OTLP_ENDPOINT"), unused }
    }
}

/// Keeps the exporter alive; [`Telemetry::shutdown`] sends what is left.
#[derive(Debug, Default)]
#[must_use = "spans are lost without shutdown"]
pub struct Telemetry {
    provider: Option<SdkTracerProvider>,
}

impl Telemetry {
    /// Starts logging and, if wanted, tracing for the whole process. `service` is the daemon's
    /// name, for example `zeitwork-api`. After [`crate::Lifecycle`], before anything that logs.
    ///
    /// # Errors
    /// A filter or endpoint that cannot be used, or a second call.
    pub fn start(
        service: &'static str,
        settings: &TelemetrySettings,
    ) -> Result<Self, TelemetryError> {
        let filter = EnvFilter::builder().parse(&settings.filter)?;
        let provider = settings.otlp_endpoint.as_deref();
        let provider = provider.map(|endpoint| provider_for(service, endpoint)).transpose()?;
        let traces = provider.as_ref().map(|it| trace_layer(it.tracer(service)));
        Registry::default()
            .with(traces)
            .with(filter)
            .with(log_layer(std::io::stderr))
            .try_init()?;
        // The standard hook prints plain text between the JSON lines. What a panic says is logged
        // by whoever catches it; the place is known only here.
        std::panic::set_hook(Box::new(|panic| {
            let location = panic.location().map(ToString::to_string).unwrap_or_default();
            tracing::error!(panic.location = location, "panic");
        }));
        for name in &settings.unused {
            tracing::warn!(setting = name, "{name} is set, and not used by this version");
        }
        Ok(Self { provider })
    }

    /// Sends the last spans, at most a few seconds.
    pub async fn shutdown(self) {
        let Some(provider) = self.provider else { return };
        // It blocks, and on a runtime of one worker it would wait for itself.
        let flush =
            tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(FLUSH_LIMIT));
        if !matches!(tokio::time::timeout(FLUSH_LIMIT, flush).await, Ok(Ok(Ok(())))) {
            tracing::warn!("the last spans were not sent");
        }
    }
}

fn log_layer<S, W>(writer: W) -> impl Layer<S>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
    W: for<'a> tracing_subscriber::fmt::MakeWriter<'a> + 'static,
{
    tracing_subscriber::fmt::layer().json().flatten_event(true).with_writer(writer)
}

fn trace_layer<S>(tracer: SdkTracer) -> impl Layer<S>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    tracing_opentelemetry::layer().with_tracer(tracer)
}

/// With the blocking client: the asynchronous one panics in the batch thread at its first flush
/// and all spans vanish (opentelemetry-rust #3125).
fn provider_for(
    service: &'static str,
    endpoint: &str,
) -> Result<SdkTracerProvider, opentelemetry_otlp::ExporterBuildError> {
    // The exporter's client speaks TLS and wants the process's provider; another `main` may have
    // installed the same one already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
        .with_timeout(FLUSH_LIMIT)
        .build()?;
    let resource = Resource::builder().with_service_name(service).build();
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
}

/// The current span as a W3C `traceparent` (<https://www.w3.org/TR/trace-context/>), to hand to
/// another process in a header or a row; none where nothing is traced.
#[must_use]
pub fn traceparent() -> Option<String> {
    let context = Span::current().context();
    let span = context.span();
    let it = span.span_context();
    let flags = it.trace_flags().to_u8();
    it.is_valid().then(|| format!("00-{}-{}-{flags:02x}", it.trace_id(), it.span_id()))
}

/// Makes `span` a child of a span in another process; an invalid `traceparent` is ignored.
pub fn continue_trace(span: &Span, traceparent: &str) {
    if let Some(parent) = parse_traceparent(traceparent) {
        let context = opentelemetry::Context::new().with_remote_span_context(parent);
        // Fails only where nothing is traced.
        let _ = span.set_parent(context);
    }
}

fn parse_traceparent(text: &str) -> Option<SpanContext> {
    let mut parts = text.split('-');
    let (version, trace, span, flags) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let exact = version != "00" || parts.next().is_none();
    let lengths = (version.len(), trace.len(), span.len(), flags.len()) == (2, 32, 16, 2);
    if !exact || !lengths || version == "ff" {
        return None;
    }
    let trace = TraceId::from_hex(trace).ok()?;
    let span = SpanId::from_hex(span).ok()?;
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()? & 1);
    let context = SpanContext::new(trace, span, flags, true, TraceState::NONE);
    context.is_valid().then_some(context)
}
