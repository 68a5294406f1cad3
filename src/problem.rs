//! RFC 9457 problem documents: what our own API says when it refuses a request. The only place that knows its status codes.

use serde::Serialize;

/// The kinds of refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The request is not what the contract says.
    Invalid,
    /// No key, or not a known one.
    Unauthorized,
    /// The key may not do this.
    Forbidden,
    /// Nothing here.
    NotFound,
    /// This path takes another method.
    MethodNotAllowed,
    /// The request did not arrive in time.
    Timeout,
    /// It contradicts what is known.
    Conflict,
    /// The body is above the limit.
    TooLarge,
    /// More than may be asked now.
    TooMany,
    /// Not now: try again, or use the fallback.
    Unavailable,
    /// More is asked than can be answered in time: use the fallback.
    Overloaded,
}

impl Code {
    /// HTTP status.
    pub const fn status(self) -> u16 {
        match self {
            Code::Invalid => 400,
            Code::Unauthorized => 401,
            Code::Forbidden => 403,
            Code::NotFound => 404,
            Code::MethodNotAllowed => 405,
            Code::Timeout => 408,
            Code::Conflict => 409,
            Code::TooLarge => 413,
            Code::TooMany => 429,
            Code::Unavailable | Code::Overloaded => 503,
        }
    }

    /// The word in `code`, and the end of `type`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Code::Invalid => "invalid",
            Code::Unauthorized => "unauthorized",
            Code::Forbidden => "forbidden",
            Code::NotFound => "not_found",
            Code::MethodNotAllowed => "method_not_allowed",
            Code::Timeout => "timeout",
            Code::Conflict => "conflict",
            Code::TooLarge => "too_large",
            Code::TooMany => "too_many",
            Code::Unavailable => "unavailable",
            Code::Overloaded => "overloaded",
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Code::Invalid => "The request is not valid",
            Code::Unauthorized => "A valid key is needed",
            Code::Forbidden => "This key may not do that",
            Code::NotFound => "There is nothing here",
            Code::MethodNotAllowed => "This path takes another method",
            Code::Timeout => "The request did not arrive in time",
            Code::Conflict => "The request contradicts what is known",
            Code::TooLarge => "The request is too large",
            Code::TooMany => "Too many requests",
            Code::Unavailable => "Not available at this moment",
            Code::Overloaded => "Too much to do at this moment",
        }
    }
}

/// One thing that is wrong in a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Fault {
    /// Where: a JSON path such as `from`.
    pub at: String,
    /// The offending value, shortened; absent for personal fields.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// What is allowed there.
    pub allowed: String,
}

/// A problem document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Problem {
    /// `urn:outcry:problem:` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// The code in words.
    pub title: &'static str,
    /// HTTP status.
    pub status: u16,
    /// What is wrong with this request and what to do.
    pub detail: String,
    /// Stable word.
    pub code: &'static str,
    /// Every fault found.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Fault>,
}

impl Problem {
    /// A problem with a detail for the reader.
    pub fn new(code: Code, detail: impl Into<String>) -> Problem {
        Problem {
            kind: format!("urn:outcry:problem:{}", code.as_str()),
            title: code.title(),
            status: code.status(),
            detail: detail.into(),
            code: code.as_str(),
            errors: Vec::new(),
        }
    }

    /// An invalid request, with every fault found in it.
    pub fn invalid(errors: Vec<Fault>) -> Problem {
        let places: Vec<&str> = errors.iter().map(|fault| fault.at.as_str()).collect();
        let detail = format!("Nothing was changed. See errors: {}.", places.join(", "));
        Problem { errors, ..Problem::new(Code::Invalid, detail) }
    }

    /// The document's bytes.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a struct of strings and numbers serialises")
    }
}

impl Fault {
    /// A fault, its value shortened to 60 characters.
    pub fn new(at: &str, value: Option<&str>, allowed: &str) -> Fault {
        let value = value.map(|value| value.chars().take(60).collect());
        Fault { at: at.to_owned(), value, allowed: allowed.to_owned() }
    }
}
