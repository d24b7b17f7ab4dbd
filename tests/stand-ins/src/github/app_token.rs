//! The App's own token: an RS256 JWT, checked as strictly as GitHub does.
//!
//! <https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-json-web-token-jwt-for-a-github-app>

use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Map, Value};

/// "The time must be no more than 10 minutes into the future."
const LONGEST_SECONDS: i64 = 600;

/// Why a token is refused, in GitHub's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// No JWT, another algorithm, another key, or another App's id.
    #[error("A JSON web token could not be decoded")]
    Undecodable,
    /// `iat` is missing, no integer, or in the future.
    #[error(
        "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued"
    )]
    IssuedAt,
    /// `exp` is missing, no number, or over.
    #[error(
        "'Expiration time' claim ('exp') must be a numeric value representing the future time at which the assertion expires"
    )]
    Expired,
    /// More than ten minutes.
    #[error("'Expiration time' claim ('exp') is too far in the future")]
    TooLong,
}

/// Checks signature and claims at the time `now` (seconds since 1970).
pub(crate) fn check(token: &str, public_key: &[u8], app_id: u64, now: i64) -> Result<(), Refused> {
    let mut rules = Validation::new(Algorithm::RS256);
    // The claims are judged below, with GitHub's own words and without leeway.
    rules.validate_exp = false;
    rules.validate_aud = false;
    rules.required_spec_claims.clear();
    let key = DecodingKey::from_rsa_der(public_key);
    let claims = jsonwebtoken::decode::<Map<String, Value>>(token, &key, &rules)
        .map_err(|_| Refused::Undecodable)?
        .claims;

    let issuer = match claims.get("iss") {
        Some(Value::Number(number)) => number.as_u64(),
        Some(Value::String(text)) => text.parse().ok(),
        _ => None,
    };
    if issuer != Some(app_id) {
        return Err(Refused::Undecodable);
    }
    let issued = claims.get("iat").and_then(Value::as_i64).ok_or(Refused::IssuedAt)?;
    if issued > now {
        return Err(Refused::IssuedAt);
    }
    let expires = claims.get("exp").and_then(Value::as_i64).ok_or(Refused::Expired)?;
    if expires <= now {
        return Err(Refused::Expired);
    }
    if expires - issued > LONGEST_SECONDS {
        return Err(Refused::TooLong);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
