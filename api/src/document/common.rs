//! What operations have in common: headers both ways, and the errors that each may answer.

use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::{
    Components, Content, HttpMethod, ObjectBuilder, Ref, RefOr, Required, Response,
    ResponseBuilder, Type,
};
use zeitwork_web::problem::PROBLEM_JSON;

const REQUEST_ID: &str = "X-Request-Id";
const LOCATION: &str = "Location";
const RETRY_AFTER: &str = "Retry-After";
const RATE_LIMIT: &str = "RateLimit";
const RATE_LIMIT_POLICY: &str = "RateLimit-Policy";
const REPLAYED: &str = "Idempotency-Replayed";
const KEY: &str = "IdempotencyKey";

/// Headers of answers.
const HEADERS: &[(&str, &str)] = &[
    (
        REQUEST_ID,
        "Names the request: what the caller sent under this name, or ours. On every answer",
    ),
    (LOCATION, "Where what was made, or what is being done, is found"),
    (RETRY_AFTER, "Seconds after which to come back"),
    (RATE_LIMIT, "What is left of the quota, and in how many seconds it begins anew"),
    (RATE_LIMIT_POLICY, "The quota that is used up"),
    (REPLAYED, "`true`: this is the answer that the first request with this Idempotency-Key got"),
];

/// What of an operation decides which errors it may answer.
#[derive(Clone, Copy)]
struct Kind {
    /// Needs an API key.
    keyed: bool,
    writes: bool,
    input: Input,
}

/// What may be wrong with a request besides its path.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Input {
    Nothing,
    Query,
    /// Perhaps with a query.
    Body,
}

struct Answer {
    status: &'static str,
    /// Of the component.
    name: &'static str,
    description: &'static str,
    occurs: fn(Kind) -> bool,
}

/// The errors. A method that a path does not have is no operation: its 405 stands alone.
const ERRORS: &[Answer] = &[
    Answer {
        status: "400",
        name: "BadRequest",
        description: "The request cannot be read: no JSON, no cursor of ours, a header that is none",
        occurs: |_| true,
    },
    Answer {
        status: "401",
        name: "Unauthenticated",
        description: "No valid credentials, or no valid signature",
        occurs: |_| true,
    },
    Answer {
        status: "403",
        name: "Forbidden",
        description: "The key lacks the scope",
        occurs: |it| it.keyed,
    },
    Answer {
        status: "404",
        name: "NotFound",
        description: "There is nothing here that the key may see",
        occurs: |it| it.keyed,
    },
    Answer {
        status: "405",
        name: "MethodNotAllowed",
        description: "The path has no such method; the header Allow names those that it has",
        occurs: |_| false,
    },
    Answer {
        status: "409",
        name: "Conflict",
        description: "It does not fit the present state, or the name is taken",
        occurs: |it| it.keyed && it.writes,
    },
    Answer {
        status: "413",
        name: "PayloadTooLarge",
        description: "The body is too large",
        occurs: |it| it.writes || it.input == Input::Body,
    },
    Answer {
        status: "415",
        name: "UnsupportedMediaType",
        description: "The Content-Type is none that is understood",
        occurs: |it| it.input == Input::Body,
    },
    Answer {
        status: "422",
        name: "ValidationFailed",
        description: "The input is invalid (`errors` names each mistake), the organisation has as \
                      many as it may, or the Idempotency-Key belongs to another request",
        occurs: |it| it.keyed && (it.writes || it.input != Input::Nothing),
    },
    Answer {
        status: "429",
        name: "RateLimited",
        description: "Too many wrong keys came from this address",
        occurs: |it| it.keyed,
    },
    Answer {
        status: "500",
        name: "Internal",
        description: "A fault of ours; the request id leads to its cause in the logs",
        occurs: |_| true,
    },
    Answer {
        status: "503",
        name: "Unavailable",
        description: "The database or another part is away",
        occurs: |_| true,
    },
    Answer {
        status: "504",
        name: "Timeout",
        description: "The answer took too long; whether the request took effect is unknown",
        occurs: |_| true,
    },
];

/// Adds what operations refer to.
pub fn add_components(components: &mut Components) {
    for (name, description) in HEADERS {
        components.headers.insert((*name).to_owned(), header(description).into());
    }
    for answer in ERRORS {
        components.responses.insert(answer.name.to_owned(), error(answer).into());
    }
    components.parameters.insert(KEY.to_owned(), idempotency_key().into());
}

/// Adds to an operation what its kind says.
pub fn complete(method: &HttpMethod, operation: &mut Operation) {
    let kind = Kind {
        // An operation that says nothing of its own needs the document's key.
        keyed: operation.security.is_none(),
        writes: *method != HttpMethod::Get,
        input: match operation.parameters.iter().flatten().any(is_of_query) {
            _ if operation.request_body.is_some() => Input::Body,
            true => Input::Query,
            false => Input::Nothing,
        },
    };
    if kind.keyed && kind.writes {
        let key = RefOr::Ref(Ref::new(format!("#/components/parameters/{KEY}")));
        operation.parameters.get_or_insert_default().push(key);
    }
    for (status, answer) in &mut operation.responses.responses {
        let RefOr::T(answer) = answer else { continue };
        put_header(answer, REQUEST_ID);
        if matches!(status.as_str(), "201" | "202") {
            put_header(answer, LOCATION);
        }
        if kind.keyed && kind.writes {
            put_header(answer, REPLAYED);
        }
    }
    for answer in ERRORS.iter().filter(|answer| (answer.occurs)(kind)) {
        let shared = RefOr::Ref(Ref::from_response_name(answer.name));
        let answers = &mut operation.responses.responses;
        answers.entry(answer.status.to_owned()).or_insert(shared);
    }
}

fn is_of_query(parameter: &RefOr<Parameter>) -> bool {
    matches!(parameter, RefOr::T(it) if it.parameter_in == ParameterIn::Query)
}

fn put_header(answer: &mut Response, name: &str) {
    let shared = RefOr::Ref(Ref::new(format!("#/components/headers/{name}")));
    answer.headers.insert(name.to_owned(), shared);
}

fn header(description: &str) -> Header {
    let text = ObjectBuilder::new().schema_type(Type::String);
    HeaderBuilder::new().schema(Some(text)).description(Some(description)).build()
}

fn error(answer: &Answer) -> Response {
    let body = Content::new(Some(Ref::from_schema_name("ProblemBody")));
    let mut response =
        ResponseBuilder::new().description(answer.description).content(PROBLEM_JSON, body).build();
    put_header(&mut response, REQUEST_ID);
    if matches!(answer.status, "429" | "503") {
        put_header(&mut response, RETRY_AFTER);
    }
    if answer.status == "429" {
        put_header(&mut response, RATE_LIMIT);
        put_header(&mut response, RATE_LIMIT_POLICY);
    }
    response
}

fn idempotency_key() -> Parameter {
    let text =
        ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).max_length(Some(200));
    ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(
            "Makes the write safe to repeat: within 24 hours a request of the same API key with \
             the same value, path and body gets the first one's answer",
        ))
        .schema(Some(text))
        .build()
}
