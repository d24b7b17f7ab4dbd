use reqwest::RequestBuilder;
use secrecy::SecretString;
use zeitwork_auth::signature::header_value;
use zeitwork_database::webhook_deliveries;
use zeitwork_model::scope::Scope;

use crate::support::{Reply, SECRET, World};

const BODY: &str = r#"{"ref":"refs/heads/main","repository":{"id":7,"full_name":"acme/shop"},"installation":{"id":9}}"#;

fn sign(secret: &str, body: &[u8]) -> String {
    header_value(&SecretString::from(secret.to_owned()), body)
}

fn delivery(world: &World, id: &str) -> RequestBuilder {
    world
        .http
        .post(world.url("/webhooks/github"))
        .header("x-github-event", "push")
        .header("x-github-delivery", id)
}

fn json(request: RequestBuilder) -> RequestBuilder {
    request.header("content-type", "application/json").body(BODY)
}

async fn stored(world: &World) -> Vec<webhook_deliveries::Delivery> {
    let mut connection = world.database.owner.acquire().await.unwrap();
    webhook_deliveries::list(&mut connection, None, 100).await.unwrap()
}

#[tokio::test]
async fn a_signed_delivery_is_stored_once_however_often_it_comes() {
    let world = World::start().await;
    for _ in 0..3 {
        let request = json(delivery(&world, "d-1"));
        let signed = request.header("x-hub-signature-256", sign(SECRET, BODY.as_bytes()));
        let reply = Reply::of(signed).await;
        let place = reply.headers["location"].to_str().unwrap().to_owned();
        reply.expect(202);
        let found = world.user(Scope::Platform).await.get(&place).await.expect(200);
        assert_eq!(found["items"][0]["delivery_id"], "d-1");
    }
    let rows = stored(&world).await;
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].repository.as_deref(), Some("acme/shop"));
}

#[tokio::test]
async fn a_form_is_signed_as_it_is_sent() {
    let world = World::start().await;
    let pairs = [("payload", BODY)];
    let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    let request = delivery(&world, "d-2")
        .header("content-type", "application/x-www-form-urlencoded")
        .header("x-hub-signature-256", sign(SECRET, form.as_bytes()))
        .body(form);
    Reply::of(request).await.expect(202);
    assert_eq!(stored(&world).await.len(), 1);
}

/// Every way to get the signature wrong that we could think of.
fn forgeries() -> Vec<(&'static str, Vec<String>)> {
    let body = BODY.as_bytes();
    let good = sign(SECRET, body);
    let digits = good["sha256=".len()..].to_owned();
    let sha1 = "sha1=0123456789012345678901234567890123456789".to_owned();
    let one = |text: String| vec![text];
    vec![
        ("no header", vec![]),
        ("empty", one(String::new())),
        ("scheme alone", one("sha256".to_owned())),
        ("scheme and sign", one("sha256=".to_owned())),
        ("digits alone", one(digits.clone())),
        ("sha1 scheme", one(format!("sha1={digits}"))),
        ("sha1 value", one(sha1)),
        ("sha512 scheme", one(format!("sha512={digits}"))),
        ("scheme in upper case", one(format!("SHA256={digits}"))),
        ("digits in upper case", one(format!("sha256={}", digits.to_uppercase()))),
        ("space inside", one(format!("sha256= {digits}"))),
        ("colon", one(format!("sha256:{digits}"))),
        ("quoted", one(format!("\"{good}\""))),
        ("two in one", one(format!("{good},{good}"))),
        ("two in one with space", one(format!("{good}, {good}"))),
        ("two headers", vec![good.clone(), good.clone()]),
        ("a bad and a good header", vec![sign("other", body), good.clone()]),
        ("a good and a bad header", vec![good.clone(), sign("other", body)]),
        ("one digit short", one(good[..good.len() - 1].to_owned())),
        ("two digits short", one(good[..good.len() - 2].to_owned())),
        ("one byte long", one(format!("{good}00"))),
        ("last digit changed", one(changed(&good))),
        ("zeros", one(format!("sha256={}", "0".repeat(64)))),
        ("no hexadecimal", one(format!("sha256={}", "g".repeat(64)))),
        ("base 64", one("sha256=3q2+7w==".to_owned())),
        ("the secret itself", one(format!("sha256={SECRET}"))),
        ("wrong secret", one(sign("another secret", body))),
        ("empty secret", one(sign("", body))),
        ("secret with line end", one(sign(&format!("{SECRET}\n"), body))),
        ("secret in upper case", one(sign(&SECRET.to_uppercase(), body))),
        ("signature of nothing", one(sign(SECRET, b""))),
        ("signature of another body", one(sign(SECRET, b"{}"))),
        (
            "signature of the body with a line end",
            one(sign(SECRET, format!("{BODY}\n").as_bytes())),
        ),
        (
            "signature of the body with spaces",
            one(sign(SECRET, BODY.replace(',', ", ").as_bytes())),
        ),
        ("signature of the URL", one(sign(SECRET, b"/api/v1/webhooks/github"))),
    ]
}

fn changed(signature: &str) -> String {
    let (head, last) = signature.split_at(signature.len() - 1);
    format!("{head}{}", if last == "0" { "1" } else { "0" })
}

#[tokio::test]
async fn every_forgery_is_refused_and_leaves_nothing() {
    let world = World::start().await;
    let forgeries = forgeries();
    assert!(forgeries.len() >= 30);
    for (kind, headers) in forgeries {
        let request = headers.iter().fold(json(delivery(&world, "forged")), |it, text| {
            it.header("x-hub-signature-256", text)
        });
        let reply = Reply::of(request).await;
        assert_eq!(reply.status, 401, "{kind}");
        reply.problem(401, "signature_invalid");
    }
    // The right signature in the header of before, or in the query, counts for nothing.
    let good = sign(SECRET, BODY.as_bytes());
    for request in [
        json(delivery(&world, "forged")).header("x-hub-signature", &good),
        json(delivery(&world, "forged")).query(&[("x-hub-signature-256", &good)]),
        json(delivery(&world, "forged")).bearer_auth(SECRET),
    ] {
        Reply::of(request).await.problem(401, "signature_invalid");
    }
    assert_eq!(stored(&world).await.len(), 0);
}

#[tokio::test]
async fn both_secrets_are_taken_while_one_rotates() {
    let world = World::with(|config| config.webhook_secrets.push("next".to_owned().into())).await;
    for (id, secret) in [("a", SECRET), ("b", "next")] {
        let signed =
            json(delivery(&world, id)).header("x-hub-signature-256", sign(secret, BODY.as_bytes()));
        Reply::of(signed).await.expect(202);
    }
    assert_eq!(stored(&world).await.len(), 2);
}

#[tokio::test]
async fn without_a_secret_the_endpoint_says_so() {
    let world = World::with(|config| config.webhook_secrets.clear()).await;
    let reply = Reply::of(json(delivery(&world, "d"))).await;
    reply.problem(503, "github_not_configured");
}

#[tokio::test]
async fn a_signed_but_unreadable_delivery_is_refused() {
    let world = World::start().await;
    let send = |kind: &'static str, id: &'static str, body: &'static [u8]| {
        let request = delivery(&world, id).header("content-type", kind).body(body);
        Reply::of(request.header("x-hub-signature-256", sign(SECRET, body)))
    };
    send("application/json", "d", b"not json").await.problem(400, "malformed_json");
    send("application/json", "d", b"").await.problem(400, "malformed_json");
    send("application/x-www-form-urlencoded", "d", b"x=1").await.problem(400, "malformed_json");
    send("text/plain", "d", b"{}").await.problem(415, "unsupported_media_type");
    send("application/json", "a b", b"{}").await.problem(400, "bad_request");
    let nul = br#"{"repository":{"id":1,"full_name":"a\u0000b"}}"#;
    send("application/json", "nul", nul).await.expect(202);
    assert_eq!(stored(&world).await.len(), 1);
}

#[tokio::test]
async fn a_body_above_githubs_limit_is_refused() {
    let world = World::start().await;
    let body = vec![b' '; 25 * 1024 * 1024 + 1];
    let request = delivery(&world, "large")
        .header("content-type", "application/json")
        .header("x-hub-signature-256", sign(SECRET, &body))
        .body(body);
    Reply::of(request).await.problem(413, "payload_too_large");
}

#[tokio::test]
async fn a_mangled_but_signed_delivery_is_stored_or_refused_and_nothing_breaks() {
    let world = World::start().await;
    let odd = [
        "[]",
        "null",
        "7",
        "\"x\"",
        "{\"repository\":null}",
        "{\"repository\":[]}",
        "{\"repository\":{\"id\":\"7\"}}",
        "{\"repository\":{\"id\":1e400}}",
        "{\"repository\":{\"id\":99999999999999999999}}",
        "{\"installation\":{\"id\":-1}}",
        "{\"repository\":{\"id\":1,\"id\":2}}",
        "{\"repository\":{\"id\":1,\"full_name\":3}}",
    ];
    let mut bodies: Vec<Vec<u8>> = odd.iter().map(|text| text.as_bytes().to_vec()).collect();
    bodies.push("[".repeat(10_000).into_bytes());
    for at in 0..BODY.len() {
        let mut cut = BODY.as_bytes().to_vec();
        cut.truncate(at);
        bodies.push(cut);
        let mut flipped = BODY.as_bytes().to_vec();
        flipped[at] ^= 1 << (at % 8);
        bodies.push(flipped);
    }
    for (number, body) in bodies.into_iter().enumerate() {
        let request = delivery(&world, &format!("m-{number}"))
            .header("content-type", "application/json")
            .header("x-hub-signature-256", sign(SECRET, &body))
            .body(body.clone());
        let status = Reply::of(request).await.status.as_u16();
        let shown = String::from_utf8_lossy(&body);
        assert!(matches!(status, 202 | 400), "{status} {shown}");
        assert!(status == 202 || number >= odd.len(), "{shown}");
    }
}
